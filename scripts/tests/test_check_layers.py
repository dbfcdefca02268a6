# SPDX-License-Identifier: MIT
"""Plants one violation of each rule in a small tree: it must be named there."""
import pathlib
import subprocess
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parent.parent / "check-layers"
SPDX = "// SPDX-License-Identifier: MIT\n"

CLEAN = {
    "harness/base/clock.c": '#include "harness/base/clock.h"\n'
                            "int a(void)\n{\n    return clock_gettime(0, 0);\n}\n",
    "harness/base/clock.h": "int a(void);\n",
    "allocator/heap/heap.h": "int h(void);\n",
    "allocator/subjects/hh.c": '#include "allocator/heap/heap.h"\n',
    "allocator/subjects/subjects.def": "SB_SUBJECT(hh)\n",
    "harness/run/worker.c": "void f(void)\n{\n    fork();\n    kill(1, 9);\n}\n",
    "harness/run/worker_test.c": 'void t(void)\n{\n    printf("hh");\n'
                                 "    exit(1);\n}\n",
    "harness/cli/main.c": '#include "harness/run/run.h"\n'
                          'int main(void)\n{\n    printf("x");\n    exit(1);\n}\n',
    "harness/run/run.h": "// printf( and fork( and time( in a comment\n"
                         'static const char *w = "exit(1) kill(2)";\n',
}


class Planted(unittest.TestCase):
    def run_on(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                spdx = SPDX.replace("//", "#") if path.endswith(".py") else SPDX
                (root / path).write_text(text[1:] if text[0] == "!" else spdx + text)
            done = subprocess.run([CHECK, "--root", root], capture_output=True,
                                  text=True, check=False)
            return done.returncode, done.stdout

    def found(self, path, text, rule, line=2):
        """The planted file is refused by this rule, on this line; nothing else is."""
        status, out = self.run_on({**CLEAN, path: text})
        self.assertEqual(status, 2, out)
        rows = out.splitlines()
        self.assertEqual(len(rows), 1, out)
        self.assertTrue(rows[0].startswith(f"{path}:{line}: {rule}: "), out)

    def test_clean_tree_passes(self):
        self.assertEqual(self.run_on(CLEAN), (0, ""))

    def test_no_source_is_an_error(self):
        self.assertEqual(self.run_on({"README.md": "nothing"}), (1, ""))

    def test_upward_include(self):
        self.found("harness/base/up.c", '#include "harness/run/run.h"\n', "rank")

    def test_sideways_include(self):
        self.found("workloads/x.c", '#include "harness/run/run.h"\n', "rank")

    def test_unknown_include(self):
        self.found("harness/base/x.c", '#include "clock.h"\n', "include")

    def test_heap_is_private(self):
        self.found("harness/store/x.c", '#include "allocator/heap/heap.h"\n', "privacy")

    def test_heap_stands_alone(self):
        _, out = self.run_on({**CLEAN, "allocator/heap/x.c":
                              '#include "harness/base/clock.h"\n'})
        self.assertIn("allocator/heap/x.c:2: privacy: the heap stands alone", out)

    def test_cycle(self):
        _, out = self.run_on({
            **CLEAN,
            "workloads/a.h": '#include "workloads/b.h"\n',
            "workloads/b.h": '#include "workloads/a.h"\n'})
        self.assertIn("workloads/b.h:2: cycle: workloads/a.h -> workloads/b.h", out)

    def test_calls(self):
        for text, rule in (('    printf("x");', "print"),
                           ('    fputs("x", stdout);', "print"),
                           ("    exit(3);", "exit"), ("    _exit(3);", "exit"),
                           ("    if (fork() == 0) {}", "fork"),
                           ("    kill(pid, 9);", "fork"),
                           ("    execve(a, b, c);", "exec"),
                           ("    t = clock_gettime(CLOCK_MONOTONIC, &s);", "clock"),
                           ("    t = __rdtsc();", "clock"),
                           ("    t = time(NULL);", "clock")):
            with self.subTest(text=text):
                self.found("harness/store/x.c",
                           f"void f(void)\n{{\n{text}\n}}\n", rule, 4)

    def test_members_of_such_names_are_no_calls(self):
        text = "void f(void)\n{\n    s->time(1);\n    snprintf(a, 1, b);\n}\n"
        self.assertEqual(self.run_on({**CLEAN, "harness/store/x.c": text}), (0, ""))

    def test_concrete_name(self):
        self.found("harness/store/x.c",
                   'int f(void)\n{\n    return is("hh");\n}\n', "name", 4)

    def test_long_function(self):
        body = "    f();\n" * 68
        self.found("harness/store/x.c", f"void f(void)\n{{\n{body}}}\n",
                   "function length", 3)

    def test_function_just_short_enough(self):
        body = "    f();\n" * 67
        self.assertEqual(self.run_on(
            {**CLEAN, "harness/store/x.c": f"void f(void)\n{{\n{body}}}\n"}), (0, ""))

    def test_long_python_function(self):
        body = "    f()\n" * 70
        self.found("scripts/x.py", f"def f():\n{body}", "function length")

    def test_long_file(self):
        self.found("harness/store/x.c", "int a;\n" * 500, "file length", 501)

    def test_long_line(self):
        self.found("harness/store/x.c", "int " + "a, " * 30 + "b;\n", "line length")

    def test_licence(self):
        self.found("harness/store/x.c", "!int a;\n", "licence", 1)


if __name__ == "__main__":
    unittest.main()
