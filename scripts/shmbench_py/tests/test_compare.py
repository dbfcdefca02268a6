# SPDX-License-Identifier: MIT
"""compare on run folders with planted differences: verdicts, refusals, exit status."""
import contextlib
import io
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from shmbench_py import compare, compare_cells
from shmbench_py.tests import planted
from shmbench_py.tests.test_report import SCHEMA, Balanced

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "shmbench-compare"


def run(*words):
    """Exit status, stdout and stderr of the verb."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = compare.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def verdicts(*words):
    """Exit status, and (section, workers, candidate) to its line in the JSON."""
    status, out, err = run(*words, "--json", "--no-page")
    assert out, err
    found = json.loads(out)
    assert found["exit_status"] == status, found
    return status, {(line["section"], line["workers"], line["candidate"]): line
                    for line in found["lines"]}


class WithRuns(unittest.TestCase):
    """a and b are alike; in c alpha is a tenth slower on mix, and so it is in d."""
    made = None

    @classmethod
    def setUpClass(cls):
        if WithRuns.made is None:  # once for all classes of this file
            WithRuns.made = pathlib.Path(tempfile.mkdtemp(prefix="shmbench-compare-"))
            unittest.addModuleCleanup(shutil.rmtree, WithRuns.made)
            tenth = {("alpha", "mix"): 1.10}
            for number, (name, slower) in enumerate(
                    (("a", None), ("b", None), ("c", tenth), ("d", tenth))):
                planted.write(WithRuns.made / name, number + 1, slower)
        cls.work = WithRuns.made
        for name in "abcd":
            setattr(cls, name, cls.work / name)

    def copy(self, folder, name):
        target = self.work / f"{self.id().rsplit('.', 1)[-1]}-{name}"
        shutil.copytree(folder, target)
        return target

    def changed(self, folder, trial=None, manifest=None):
        target = self.copy(folder, "changed")
        planted.rewrite(target, trial, manifest)
        return target

    def quick(self, folder):
        return self.changed(folder,
                            manifest=lambda m: m["plan"].update(profile="quick"))


class Verdicts(WithRuns):
    def test_alike(self):
        status, lines = verdicts(self.a, self.b)
        self.assertEqual(status, 0)
        self.assertEqual(len(lines), 8)  # two sections, two subjects, 1 and 2 workers
        self.assertLessEqual({line["verdict"] for line in lines.values()},
                             {"equal", "unresolved"})
        self.assertIn("equal", {line["verdict"] for line in lines.values()})

    def test_a_tenth_slower_is_found_where_it_was_planted(self):
        status, lines = verdicts(self.a, self.c)
        self.assertEqual(status, 3)
        for (section, _, candidate), line in lines.items():
            if (candidate, section) == ("alpha", "mix"):
                self.assertEqual(line["verdict"], "slower", line)
                self.assertAlmostEqual(line["ratio"]["value"], 1.10, delta=0.02)
            else:
                self.assertIn(line["verdict"], ("equal", "unresolved"), line)

    def test_the_other_way_is_faster_and_no_regression(self):
        status, lines = verdicts(self.c, self.a)
        self.assertEqual(status, 0)
        self.assertEqual(lines["mix", 1, "alpha"]["verdict"], "faster")

    def test_all_slower_alike_could_be_the_machine(self):
        slow = planted.write(self.work / "all", 5, {
            (s, c): 1.10 for s in ("alpha", "beta") for c in ("mix", "prodcon")})
        status, lines = verdicts(self.a, slow)
        self.assertEqual(status, 0)
        self.assertEqual({line["verdict"] for line in lines.values()}, {"unresolved"})

    def test_two_arms_of_one_run(self):
        status, lines = verdicts(self.c, "--baseline", "beta", "--candidate", "alpha")
        self.assertEqual(status, 3)
        self.assertEqual(lines["mix", 1, "alpha"]["verdict"], "slower")
        self.assertNotEqual(lines["prodcon", 1, "alpha"]["verdict"], "slower")

    def test_a_copy_is_no_regression(self):
        status, lines = verdicts(self.a, "--baseline", "alpha", "--candidate",
                                 "alpha (copy)")
        self.assertEqual(status, 0)
        self.assertLessEqual({line["verdict"] for line in lines.values()},
                             {"equal", "unresolved"})

    def test_quick_shows_and_refuses_nothing(self):
        slow = self.quick(self.c)
        status, out, _ = run(self.a, slow, "--no-page")
        self.assertEqual(status, 0)
        self.assertIn("never exit status 3", out)
        self.assertIn("slower", out)

    def test_without_control_no_difference(self):
        one = planted.without_control(self.copy(self.a, "a"))
        two = planted.without_control(self.copy(self.c, "c"))
        for words in ((one, two), (two, "--baseline", "beta", "--candidate", "alpha")):
            status, lines = verdicts(*words)
            self.assertEqual(status, 0)
            line = lines["mix", 1, "alpha"]
            self.assertEqual(line["verdict"], "unresolved")
            self.assertIn("no A/A control", line["reason"])
            self.assertAlmostEqual(line["ratio"]["value"], 1.10, delta=0.02)

    def test_a_control_that_is_off_resolves_nothing(self):
        def apart(row):
            if row["control"] and row["wall_ns"]:
                row["wall_ns"] = int(row["wall_ns"] * 1.06)
            return row
        off = self.changed(self.c, apart)
        status, lines = verdicts(self.a, off)
        self.assertEqual(status, 0)
        self.assertIn("not its original", lines["mix", 1, "alpha"]["reason"])
        self.assertEqual(verdicts(self.a, off, "--strict")[0], 4)

    def test_a_slow_half_is_not_confirmed(self):
        """The machine was slow for one arm in the later half: no regression."""
        def late(row):
            if row["subject"] == "beta" and row["round"] > 9 and row["wall_ns"]:
                row["wall_ns"] = int(row["wall_ns"] * 1.3)
            return row
        odd = self.changed(self.a, late)
        for words in ((self.b, odd),
                      (odd, "--baseline", "alpha", "--candidate", "beta")):
            status, lines = verdicts(*words)
            self.assertEqual(status, 0)
            self.assertEqual(lines["mix", 1, "beta"]["verdict"], "unresolved")

    def test_second_set_of_rounds(self):
        status, _ = verdicts(self.a, self.c, "--confirm", self.b, self.d)
        self.assertEqual(status, 3)
        again = planted.write(self.work / "again", 6)
        status, lines = verdicts(self.a, self.c, "--confirm", self.b, again)
        self.assertEqual(status, 0)
        self.assertIn("second set", lines["mix", 1, "alpha"]["reason"])

    def test_failed_check_comes_before_a_regression(self):
        def wrong(row):
            if row["trial_id"] == 7:
                row.update(status="failed", incorrect=True, detail="lost a block")
            return row
        status, out, _ = run(self.a, self.changed(self.c, wrong), "--no-page")
        self.assertEqual(status, 2)
        self.assertIn("lost a block", out)

    def test_an_arm_that_ended_badly_is_named(self):
        def hang(row):
            if row["arm"] == "beta" and row["section"] == "mix":
                row.update(status="hung", detail="ended by the watchdog")
            return row
        _, lines = verdicts(self.a, self.changed(self.b, hang))
        self.assertEqual(lines["mix", 1, "beta"]["verdict"], "unresolved")
        self.assertIn("ended by the watchdog", lines["mix", 1, "beta"]["reason"])

    def test_few_rounds_decide_nothing(self):
        few = self.changed(self.c, lambda row: row if row["round"] < 4 else None)
        _, lines = verdicts(self.a, few)
        self.assertIn("too few rounds", lines["mix", 1, "alpha"]["reason"])


class Metrics(WithRuns):
    def test_percentile_of_an_operation(self):
        def tail(row):
            for latency in row["latency"].values():
                latency["p99"] = 300 * (1.5 if row["subject"] == "beta" else 1.0)
            return row
        status, lines = verdicts(self.changed(self.a, tail), "--baseline", "alpha",
                                 "--candidate", "beta", "--metric", "p99.alloc")
        line = lines["mix", 1, "beta"]
        self.assertEqual((status, line["verdict"]), (3, "slower"))
        self.assertEqual(line["ratio"]["rounds"], planted.TIMED)
        for name in ("value", "low", "high"):
            self.assertAlmostEqual(line["ratio"][name], 1.5)
        self.assertEqual(set(line["base_rounds"].values()), {300})

    def test_footprint_over_live(self):
        _, lines = verdicts(self.a, "--baseline", "alpha", "--candidate", "beta",
                            "--metric", "footprint")
        # alpha 1.1 and beta 1.6 of live, as synthetic plants them, or a little more.
        line = lines["prodcon", 1, "beta"]
        self.assertEqual(line["verdict"], "larger")
        for side, share in (("base_rounds", 1.1), ("candidate_rounds", 1.6)):
            for value in line[side].values():
                self.assertGreaterEqual(value, share * 0.99)

    def test_every_operation_of_the_schema(self):
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        self.assertEqual(sorted(compare_cells.OPERATIONS),
                         sorted(schema["definitions"]["op"]["enum"]))

    def test_unknown(self):
        for name in ("speed", "p98.alloc", "p99.fly"):
            status, _, err = run(self.a, self.b, "--metric", name)
            self.assertEqual(status, 1)
            self.assertIn(name, err)

    def test_nothing_has_it(self):
        status, _, err = run(self.a, self.b, "--metric", "p99.compact")
        self.assertEqual(status, 1)
        self.assertIn("nothing to compare", err)


class Refused(WithRuns):
    def refused(self, other, field):
        status, out, err = run(self.a, other, "--no-page")
        self.assertEqual((status, out), (1, ""), field)
        self.assertIn(field, err)
        status, out, _ = run(self.a, other, "--force", "--no-page")
        self.assertEqual(status, 4, field)
        self.assertIn("compared by force", out)

    def test_field_that_differs_is_named(self):
        def cell(manifest):
            for row in manifest["plan"]["cells"]:
                row["options"]["bytes"] = 128

        def option(row):
            row["options"]["bytes"] = 128
            return row
        for number, (field, trial, manifest) in enumerate((
                ("environment.hash", None,
                 lambda m: m["environment"].update(hash="ffff")),
                ("environment.facts.cpu_model", None,
                 lambda m: (m["environment"].update(hash="ffff"),
                            m["environment"]["facts"].update(cpu_model="another"))),
                ("seeds.run", None, lambda m: m["seeds"].update(run=2)),
                ("build.storable", None, lambda m: m["build"].update(storable=False)),
                ("plan.settings.as", None,
                 lambda m: m["plan"]["settings"].update({"as": "threads"})),
                ("plan.settings.verify", None,
                 lambda m: m["plan"]["settings"].update(verify=True)),
                ("segment_bytes", None,
                 lambda m: m["plan"]["cells"][0].update(segment_bytes=1)))):
            with self.subTest(field=field):
                other = self.copy(self.b, str(number))
                planted.rewrite(other, trial, manifest)
                self.refused(other, field)
        other = self.changed(self.b, option, cell)
        status, _, err = run(self.a, other, "--force", "--no-page")
        self.assertEqual(status, 1)  # no cell in common: nothing can be shown
        status, _, err = run(self.a, other, "--no-page")
        self.assertEqual(status, 1)
        self.assertIn("options.bytes is 64 in A and 128 in B", err)

    def test_units(self):
        other = self.changed(self.b, manifest=lambda m: m.update(schema=2))
        status, _, err = run(self.a, other)
        self.assertEqual(status, 1)
        self.assertIn("schema 2", err)

    def test_one_run_twice(self):
        self.refused(self.a, "run_id")

    def test_torn(self):
        other = self.copy(self.b, "torn")
        path = other / "trials.ndjson"
        path.write_bytes(path.read_bytes()[:-40])
        self.refused(other, "is torn")

    def test_edited(self):
        def figure(row):
            if row["trial_id"] == 9:
                row["wall_ns"] //= 2
            return row

        def label(row):
            if row["trial_id"] == 9:
                row["workers"] = 3
            return row

        def records(row):
            if row["latency"]:
                next(iter(row["latency"].values()))["count"] += 1
            return row

        def twice(row):
            if row["trial_id"] == 9:
                row["trial_id"] = 8
            return row
        for number, (change, text) in enumerate((
                (figure, "trial 9: wall_ns is shorter than a worker's"),
                (label, "trial 9 differs from its cell in the plan: workers"),
                (records, "does not add up to its count"),
                (twice, "trial 8 is there twice"))):
            with self.subTest(text=text):
                other = self.copy(self.b, str(number))
                planted.rewrite(other, change)
                self.refused(other, text)

    def test_members_of_another_shape(self):
        def steps(manifest):
            manifest["plan"]["cells"][0]["steps"] = "many"

        def cell(manifest):
            manifest["plan"]["cells"][0] = []

        def workers(row):
            if row["trial_id"] == 9:
                row["workers_detail"] = ["one"]
            return row
        for number, (trial, manifest) in enumerate(((None, steps), (None, cell),
                                                    (workers, None))):
            with self.subTest(number=number):
                other = self.copy(self.b, str(number))
                planted.rewrite(other, trial, manifest)
                status, out, err = run(self.a, other, "--no-page")
                self.assertEqual((status, out), (1, ""))
                self.assertIn(other.name, err)

    def test_lines_taken_out(self):
        other = self.copy(self.b, "short")
        path = other / "trials.ndjson"
        lines = path.read_text().splitlines(True)
        path.write_text("".join(lines[:20] + lines[21:]))
        self.refused(other, "the manifest counts")

    def test_interrupted_is_whole_as_far_as_it_goes(self):
        other = self.changed(self.b, manifest=lambda m: m.update(
            state="interrupted", interrupted=True))
        self.assertEqual(run(self.a, other, "--no-page")[0], 0)

    def test_no_folder(self):
        status, _, err = run(self.a, self.work / "none")
        self.assertEqual(status, 1)
        self.assertIn("none: no such folder", err)

    def test_wrong_words(self):
        for words in ((), (self.a,), (self.a, self.b, self.c),
                      ("--fly", self.a, self.b),
                      (self.a, self.b, "--baseline", "alpha"),
                      (self.a, "--baseline", "alpha", "--candidate", "omega"),
                      (self.a, self.b, "--subject", "omega"),
                      (self.a, self.b, "--json", "--markdown"),
                      (self.a, self.c, "--confirm", self.b)):
            status, out, err = run(*words)
            self.assertEqual((status, out), (1, ""), words)
            self.assertTrue(err)
        self.assertEqual(run("--help")[0], 0)


class Shown(WithRuns):
    def test_page_is_whole_and_needs_nothing(self):
        out = self.work / "page"
        done = subprocess.run([PROGRAM, self.a, self.c, "--out", out],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(str(out / "compare.html"), done.stderr)
        text = (out / "compare.html").read_text(encoding="utf-8")
        parser = Balanced()
        parser.feed(text)
        self.assertEqual((parser.faults, parser.open), ([], []))
        self.assertEqual(len(parser.ids), len(set(parser.ids)), "an id twice")
        for link in parser.links:
            self.assertTrue(link.startswith("#"), link)
            self.assertIn(link[1:], parser.ids)
        self.assertNotRegex(text, r"<script|@import|url\((?!#)")
        self.assertLess(text.index("Two runs: their rounds"), text.index("<table"))
        for kind in ("forest", "rounds"):
            for section in ("mix", "prodcon"):
                stem = f"{kind}-{section}-1"
                self.assertIn(f'id="{stem}-figure_1"', text)
                for suffix in ("png", "svg"):
                    self.assertTrue((out / "compare" / f"{stem}.{suffix}").exists())
        again = self.work / "again"
        self.assertEqual(run(self.a, self.c, "--out", again)[0], 3)
        for path in sorted(out.rglob("*.*")):
            self.assertEqual(path.read_bytes(),
                             (again / path.relative_to(out)).read_bytes(), path)

    def test_page_lies_beside_b_and_report_leaves_it(self):
        b = self.copy(self.b, "b")
        self.assertEqual(run(self.a, b)[0], 0)
        self.assertTrue((b / "compare.html").exists())
        self.assertEqual(run(b, "--baseline", "alpha", "--candidate", "beta")[0], 0)
        self.assertNotIn("Two runs", (b / "compare.html").read_text(encoding="utf-8"))
        self.assertEqual([p.name for p in b.iterdir() if p.name.startswith(".")], [])

    def test_markdown_says_what_the_terminal_says(self):
        _, plain, _ = run(self.a, self.c, "--no-page")
        status, text, _ = run(self.a, self.c, "--no-page", "--markdown")
        self.assertEqual(status, 3)
        ratios = re.findall(r"\b\d\.\d{3}–\d\.\d{3}\b", plain)
        self.assertEqual(len(ratios), 8)
        self.assertEqual(re.findall(r"\b\d\.\d{3}–\d\.\d{3}\b", text), ratios)

    def test_subjects_of_two_runs(self):
        _, lines = verdicts(self.a, self.c, "--subject", "beta")
        self.assertEqual({key[2] for key in lines}, {"beta"})

    def test_ratio_by_another_road(self):
        """The shift between two runs, worked out here from the files."""
        def costs(folder):
            rows = map(json.loads, (folder / "trials.ndjson").read_text().splitlines())
            return [row["wall_ns"] / (row["steps"] / 2) for row in rows
                    if row["kept"] and not row["timed"] and row["workers"] == 2
                    and (row["arm"], row["section"]) == ("alpha", "mix")]
        ratios = sorted(y / x for x in costs(self.a) for y in costs(self.c))
        self.assertEqual(len(ratios), planted.ROUNDS ** 2)
        middle = (ratios[199] * ratios[200]) ** 0.5
        _, lines = verdicts(self.a, self.c)
        self.assertAlmostEqual(lines["mix", 2, "alpha"]["ratio"]["value"], middle)


if __name__ == "__main__":
    unittest.main()
