# SPDX-License-Identifier: MIT
"""shmbench from outside: what it says, what it returns, what it leaves behind.

Called by ctest with SHMBENCH (the executable), LIAR (a plugin that is wrong on purpose)
and SB_SCHEMA in the environment.
"""
import json
import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import unittest

import jsonschema

SHMBENCH = os.environ["SHMBENCH"]
LIAR = os.environ["LIAR"]
SCHEMA = json.loads(pathlib.Path(os.environ["SB_SCHEMA"]).read_text("utf-8"))
VERBS = ("list", "describe", "doctor", "run", "clean")
# A short run: two subjects, one cell.
SHORT = ("[global]\nrounds=2\nlatency_rounds=1\ntrial=2ms\n"
         "subjects=null,malloc\n[pair]\nworkers=1\n")

# Words, and what the one line must contain. Files are those of Case.setUp.
BAD = (
    ("", "say what to do"),
    ("rnu", "'run'"),
    ("worker", "no verb"),
    ("help nosuch", "nosuch"),
    ("list fish", "fish"),
    ("doctor fish", "fish"),
    ("clean fish", "fish"),
    ("describe", "which subject or workload"),
    ("describe nul", "'null'"),
    ("describe pair mix", "mix"),
    ("describe ./none.so", "./none.so"),
    ("run", "say what to measure"),
    ("run --fish", "--fish"),
    ("run --roundz 3", "--rounds"),
    ("run -x", "-x"),
    ("run --rounds", "--rounds N"),
    ("run --quiet=1", "takes no value"),
    ("run --s 1", "several options"),
    ("run --out a --out b", "twice"),
    ("run --profile=", "empty"),
    ("run --profile qick", "'quick'"),
    ("run --workload pear", "'pair'"),
    ("run --workload pair --subject nil", "'nil'"),
    ("run --workload pair --subject ./none.so", "./none.so"),
    ("run --workload pair --subject ./oops.ini", "./oops.ini"),
    ("run --workload pair --set pair.byte=4", "'bytes'"),
    ("run --workload pair --set pair.bytes=0", "out of range"),
    ("run --workload pair --set pair.bytes=much", "much"),
    ("run --workload pair --set bytes=0", "workload.key=value"),
    ("run --workload pair --rounds -1", "rounds"),
    ("run --workload pair --seed x", "seed"),
    ("run --workload pair --as fish", "processes, threads"),
    ("run --workload pair --medium fish", "memfd"),
    ("run --workload pair --workers 0", "workers"),
    ("run --workload pair --workers 1,2,1", "asked for twice"),
    ("run --workload pair --set pair.bytes=8,8", "asked for twice"),
    ("run --workload pair --subject null,null", "named twice"),
    ("run --workload pair --subject hh --set hh.batch=8,8", "named twice"),
    ("run --workload pair --subject nu\x1bll", "nu?ll"),
    ("run --workload mix --segment 4K --subject jemalloc_arena,null", "too small"),
    ("run none.ini", "none.ini"),
    ("run oops.ini", "oops.ini:1"),
    ("run value.ini", "value.ini:2"),
    ("run key.ini", "key.ini:2"),
    ("run section.ini", "section.ini:1"),
    ("run short.ini --out no/such", "no/such"),
    ("run short.ini --out short.ini", "is a file"),
    ("run short.ini --out used", "another run"),
    ("run short.ini --out /proc/none", "/proc/none"),
)


def validate(name, value):
    jsonschema.Draft7Validator(
        {"$ref": "#/definitions/" + name,
         "definitions": SCHEMA["definitions"]}).validate(value)


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.root = pathlib.Path(self.dir.name)
        for name, text in (("short", SHORT), ("oops", "oops\n"),
                           ("value", "[pair]\nworkers=x\n"),
                           ("key", "[global]\nfish=1\n[pair]\n"),
                           ("section", "[fish]\n")):
            (self.root / (name + ".ini")).write_text(text)
        (self.root / "used").mkdir()
        (self.root / "used" / "manifest.json").write_text("{}")

    def files(self):
        return sorted(str(path.relative_to(self.root))
                      for path in self.root.rglob("*"))

    def call(self, *words, **more):
        return subprocess.run([SHMBENCH, *words], cwd=self.root, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, **more)

    def check_folder(self, folder):
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        validate("manifest", manifest)
        trials = [json.loads(line) for line
                  in (folder / "trials.ndjson").read_text("utf-8").splitlines()]
        for trial in trials:
            validate("trial", trial)
        for line in (folder / "events.ndjson").read_text("utf-8").splitlines():
            validate("event", json.loads(line))
        return manifest, trials


class BadInput(Case):
    def test_each_is_one_clear_line(self):
        before = self.files()
        for words, says in BAD:
            with self.subTest(words):
                ended = self.call(*words.split())
                self.assertEqual(ended.returncode, 1, ended)
                self.assertEqual(ended.stdout, "")
                self.assertRegex(ended.stderr, r"\Ashmbench: [^\n]+\n\Z")
                self.assertIn(says, ended.stderr)
                self.assertEqual(self.files(), before)

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_folder_without_permission(self):
        (self.root / "locked").mkdir(mode=0o555)
        ended = self.call("run", "short.ini", "--out", "locked/r")
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, r"\Ashmbench: .*locked/r.*denied\n\Z")

    def test_a_pair_that_cannot_be_done_is_said(self):
        before = self.files()
        ended = self.call("run", "--workload", "prodcon", "--subject", "malloc",
                          "--workers", "2", "--out", "r", "--quiet")
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, r"\Ashmbench: nothing was measured: malloc on "
                                       r"prodcon: [^\n]+\n\Z")
        self.assertEqual(self.files(), before)

    def test_full_output(self):
        for words in ("list", "--help", "--version", "run --help",
                      "run short.ini --show-plan", "run short.ini --json --out r"):
            with self.subTest(words), open("/dev/full", "w", encoding="utf-8") as full:
                ended = subprocess.run([SHMBENCH, *words.split()], stdout=full,
                                       text=True, stderr=subprocess.PIPE, check=False,
                                       cwd=self.root)
                self.assertEqual(ended.returncode, 1)
                self.assertRegex(ended.stderr.splitlines()[-1],
                                 r"shmbench: .*No space left")

    def test_closed_streams(self):
        # Files opened instead would take their numbers, and what is said their place.
        for stream, code in ((0, 0), (1, 1), (2, 0)):
            with self.subTest(stream):
                folder = self.root / f"r{stream}"
                ended = subprocess.run(
                    ["/bin/sh", "-c", f'exec "$0" "$@" {stream}>&-', SHMBENCH,
                     "run", "short.ini", "--out", folder.name], text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                    cwd=self.root)
                self.assertEqual(ended.returncode, code, ended)
                self.check_folder(folder)

    def test_job_file_of_another_editor(self):
        (self.root / "bom.ini").write_bytes(
            b"\xef\xbb\xbf" + SHORT.replace("\n", "\r\n").encode())
        ended = self.call("run", "bom.ini", "--show-plan")
        self.assertEqual(ended.returncode, 0, ended)


class Words(Case):
    def test_help_of_each_verb(self):
        self.assertEqual(self.call("--help").returncode, 0)
        for verb in VERBS:
            with self.subTest(verb):
                ended = self.call(verb, "--help")
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))
                self.assertIn("Usage: shmbench " + verb, ended.stdout)
                self.assertIn(verb, self.call("--help").stdout)
                self.assertEqual(self.call("help", verb).stdout, ended.stdout)

    def test_list_names_what_describe_describes(self):
        names = []
        for kind in ("subjects", "workloads"):
            listed = self.call("list", kind).stdout.splitlines()
            self.assertEqual(listed[0], kind)
            names += [line.split()[0] for line in listed[1:] if line[2] != " "]
        self.assertIn("null", names)
        self.assertIn("pair", names)
        for name in names:
            with self.subTest(name):
                ended = self.call("describe", name)
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))
                self.assertTrue(ended.stdout.startswith(name + ": "))
        self.assertIn("latency_rounds", self.call("describe", "settings").stdout)
        self.assertIn("the same bytes twice", self.call("describe", LIAR).stdout)

    def test_doctor_says_the_same_twice(self):
        ended = self.call("doctor", "--json")
        self.assertEqual(ended.returncode, 0)
        environment = json.loads(ended.stdout)
        validate("manifest/properties/environment", environment)
        text = self.call("doctor").stdout
        for fact in environment["facts"]:
            self.assertRegex(text, r"(?m)^[! ] " + fact + " ")
        self.assertIn(environment["hash"], text)

    def test_a_verb_may_be_an_executable_beside(self):
        # The program finds what stands beside it, wherever it was copied to.
        program = self.root / "bin" / "shmbench"
        program.parent.mkdir()
        program.write_bytes(pathlib.Path(SHMBENCH).read_bytes())
        program.chmod(0o755)
        verb = program.with_name("shmbench-echo")
        verb.write_text('#!/bin/sh\necho "$@"\nexit 5\n')
        verb.chmod(0o755)
        ended = subprocess.run([program, "echo", "a", "--b"], text=True, check=False,
                               stdout=subprocess.PIPE)
        self.assertEqual((ended.returncode, ended.stdout), (5, "a --b\n"))
        self.assertIn("echo", subprocess.run(
            [program, "--help"], text=True, check=False, stdout=subprocess.PIPE).stdout)

    def test_show_plan_does_nothing(self):
        before = self.files()
        ended = self.call("run", "short.ini", "--show-plan", "--out", "r")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertIn("1 cells x 2 arms", ended.stdout)
        plan = json.loads(self.call("run", "short.ini", "--show-plan", "--json").stdout)
        validate("plan", plan)
        self.assertEqual(self.files(), before)


class Run(Case):
    def test_short_run(self):
        ended = self.call("run", "short.ini", "--out", "r", "--seed", "7")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(ended.stderr, "")
        manifest, trials = self.check_folder(self.root / "r")
        self.assertEqual(manifest["state"], "complete")
        self.assertEqual(manifest["seeds"]["run"], 7)
        self.assertEqual(manifest["plan"]["jobs"],
                         [{"name": "short.ini", "text": SHORT}])
        self.assertEqual(manifest["command_line"][:2], ["shmbench", "run"])
        self.assertEqual(manifest["trials"], len(trials))
        # Two rounds and one with stamps of each of two arms; round 0 does not count.
        self.assertEqual(sum(trial["kept"] for trial in trials), 6)
        self.assertEqual(manifest["trials_kept"], 6)
        self.assertEqual(sum(trial["round"] == 0 for trial in trials), 2)
        for line in ended.stdout.splitlines():
            self.assertLessEqual(len(line), 100, line)
        self.assertRegex(ended.stdout, r"(?m)^  malloc +[0-9.]+ [nu]s .* 1\.00 alloc ")
        self.assertRegex(ended.stdout, r"(?m)^pair  1 process, [0-9.]+ k? ?steps each$")
        self.assertIn("run folder: r", ended.stdout)
        self.assertTrue((self.root / "r/hgrm/c00-pair-w1.malloc.alloc.hgrm").exists())

    def test_rounds_share_their_seed(self):
        self.assertEqual(self.call("run", "short.ini", "--out", "r").returncode, 0)
        _, trials = self.check_folder(self.root / "r")
        seeds = {}
        for trial in trials:
            if trial["kept"]:
                seeds.setdefault(trial["round"], set()).add(trial["seed"])
        self.assertTrue(all(len(of_round) == 1 for of_round in seeds.values()), seeds)

    def test_json_instead_of_the_table(self):
        ended = self.call("run", "short.ini", "--json", "--out", "r")
        self.assertEqual(ended.returncode, 0)
        self.assertEqual(ended.stdout,
                         (self.root / "r/trials.ndjson").read_text("utf-8"))

    def test_only_the_measure_build_keeps_a_folder_unasked(self):
        build = self.call("--version").stdout
        ended = self.call("run", "short.ini", "--quiet")
        self.assertEqual(ended.returncode, 0)
        kept = list((self.root / "shmbench-results").glob("*"))
        if "(measure)" in build:
            self.assertEqual(len(kept), 1)
            manifest, _ = self.check_folder(kept[0])
            self.assertTrue(manifest["build"]["storable"])
            self.assertEqual(kept[0].name, manifest["run_id"])
        else:
            self.assertEqual(kept, [])
            self.assertRegex(ended.stderr, r"\Ashmbench: no run folder is kept: .*\n\Z")
            self.call("run", "short.ini", "--out", "r")
            manifest, _ = self.check_folder(self.root / "r")
            self.assertFalse(manifest["build"]["storable"])
            self.assertIn("preset", manifest["warnings"][0])

    def test_wrong_contents_are_exit_code_2(self):
        ended = self.call("run", "--workload", "mix", "--set", "mix.live=100",
                          "--subject", "malloc," + LIAR, "--rounds", "1", "--workers",
                          "1", "--verify", "--out", "r")
        self.assertEqual(ended.returncode, 2, ended)
        self.assertIn("INCORRECT", ended.stdout)
        self.assertIn("INCORRECT", ended.stderr)
        _, trials = self.check_folder(self.root / "r")
        wrong = {trial["subject"] for trial in trials if trial["incorrect"]}
        self.assertEqual(wrong, {"liar"})

    def test_progress_on_a_terminal(self):
        ours, theirs = pty.openpty()
        ended = subprocess.run([SHMBENCH, "run", "short.ini", "--out", "r"],
                               cwd=self.root, stdout=subprocess.PIPE, stderr=theirs,
                               check=False)
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # the terminal's other side is closed
            pass
        os.close(ours)
        self.assertEqual(ended.returncode, 0)
        self.assertIn(b"% ", shown)
        self.assertIn(b" left  ", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-80:])


class Interrupt(Case):
    LONG = ["run", "--workload", "pair", "--subject", "null,malloc", "--rounds", "1000",
            "--workers", "2", "--out", "r"]

    def start(self, *before):
        return subprocess.Popen([*before, SHMBENCH, *self.LONG], cwd=self.root,
                                text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True)

    def wait_for(self, run, enough):
        """Waits until the growing record is as the test wants it."""
        path = self.root / "r/trials.ndjson"
        while run.poll() is None:
            text = path.read_text("utf-8") if path.exists() else ""
            if enough(text.split("\n")[:-1]):
                return
        self.fail("the run ended by itself: " + str(run.communicate()))

    def test_what_was_measured_is_kept(self):
        for number, whole_group in ((signal.SIGINT, True), (signal.SIGTERM, False)):
            with self.subTest(number):
                run = self.start()
                self.wait_for(run, lambda lines: sum(
                    '"kept":true' in line for line in lines) >= 3)
                if whole_group:  # as a terminal does
                    os.killpg(run.pid, number)
                else:
                    run.send_signal(number)
                out, err = run.communicate(timeout=20)
                self.assertEqual(run.returncode, 130, err)
                self.assertRegex(err, r"\Ashmbench: interrupted: the [0-9]+ trials "
                                      r"that ended are in r\n\Z")
                self.assertIn("run folder: r", out)
                manifest, trials = self.check_folder(self.root / "r")
                self.assertEqual(manifest["state"], "interrupted")
                self.assertTrue(manifest["interrupted"])
                self.assertFalse(any(trial["status"] not in ("ok", "na")
                                     for trial in trials))
                self.assert_no_leftovers(run.pid)
                (self.root / "r").rename(self.root / str(number))

    def test_nohup(self):
        run = self.start("nohup")
        self.wait_for(run, lambda lines: len(lines) >= 1)
        run.send_signal(signal.SIGHUP)
        self.wait_for(run, lambda lines: len(lines) >= 10)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=20)
        self.assertEqual(run.returncode, 130)

    def test_before_anything_was_measured_nothing_is_left(self):
        before = self.files()
        run = self.start()
        self.wait_for(run, lambda lines: len(lines) >= 1)  # a pilot
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, 130)
        if "before anything" in err:  # else it was quicker than the signal
            self.assertEqual(self.files(), before)
        self.assert_no_leftovers(run.pid)

    def assert_no_leftovers(self, pid):
        self.assertEqual([path for path in os.listdir("/dev/shm")
                          if path.startswith(f"shmbench-{pid}-")], [])
        with self.assertRaises(ProcessLookupError):
            os.killpg(pid, 0)  # no process of its session is left


class FullDisk(Case):
    def test_trials_before_it_are_kept(self):
        """On a tmpfs of its own, which needs root and leave to mount."""
        script = ('mount -t tmpfs -o size=200k tmpfs used && cd used && '
                  '"$0" run ../short.ini --rounds 500 --out r; code=$?; '
                  'cat r/trials.ndjson >&3; exit $code')
        may = subprocess.run(["unshare", "-m", "true"], check=False,
                             stderr=subprocess.DEVNULL).returncode == 0
        if not may:
            self.skipTest("no leave to mount")
        record = self.root / "record"
        with open(record, "wb") as file:
            ended = subprocess.run(
                ["unshare", "-m", "sh", "-c", "exec 3>&1 1>&2; " + script, SHMBENCH],
                cwd=self.root, stdout=file, stderr=subprocess.PIPE, text=True,
                check=False)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        complaint = ended.stderr.splitlines()[-1]
        self.assertRegex(complaint, r"shmbench: r/trials\.ndjson cannot be written: No "
                                    r"space left on device; the [0-9]+ trials before "
                                    r"are in r")
        lines = record.read_text("utf-8").splitlines()
        for line in lines:
            validate("trial", json.loads(line))
        self.assertIn(f"the {len(lines)} trials", complaint)


if __name__ == "__main__":
    unittest.main()
