# SPDX-License-Identifier: MIT
"""The report from a synthetic run folder: complete, self-contained, repeatable."""
import hashlib
import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from shmbench_py import model, runfolder, tables, words
from shmbench_py.tests import synthetic

SCRIPTS = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = SCRIPTS / "shmbench-report"
SCHEMA = SCRIPTS.parent / "results" / "schema.json"
VOID = {"meta", "br", "link", "hr", "img"}


def digest(folder):
    return {path.relative_to(folder).as_posix():
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in (".html", ".md", ".svg", ".png")}


def report(*words_):
    return subprocess.run([PROGRAM, *map(str, words_)], capture_output=True, text=True,
                          check=False)


class Balanced(html.parser.HTMLParser):
    """Refuses tags that do not match, and collects ids and links."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.faults = [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        for name in ("href", "src", "xlink:href"):
            if name in found:
                self.links.append(found[name])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"{tag} at {self.getpos()}")


class WithRun(unittest.TestCase):
    """A synthetic run that is written once for all tests of the class."""
    small = False

    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="shmbench-report-"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.run_folder = synthetic.write(cls.work / "run", small=cls.small)

    def read(self, name):
        return (self.run_folder / name).read_text(encoding="utf-8")


class Drawn(WithRun):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.done = report(cls.run_folder)

    def test_says_where(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        self.assertEqual(self.done.stdout.strip(), str(self.run_folder / "report.html"))

    def test_page_is_whole_and_needs_nothing(self):
        text = self.read("report.html")
        parser = Balanced()
        parser.feed(text)
        self.assertEqual(parser.faults, [])
        self.assertEqual(parser.open, [])
        self.assertEqual(len(parser.ids), len(set(parser.ids)), "an id twice")
        for link in parser.links:
            self.assertTrue(link.startswith("#"), link)
            self.assertIn(link[1:], parser.ids)
        for reference in re.findall(r"url\(#([^)]*)\)", text):
            self.assertIn(reference, parser.ids)
        self.assertNotRegex(text, r"<script|@import|url\((?!#)")

    def test_every_kind_of_plot_as_png_and_svg(self):
        for kind in ("latency", "throughput", "lock", "compaction", "memory"):
            svgs = {p.stem for p in (self.run_folder / "plots").glob(f"{kind}-*.svg")}
            pngs = {p.stem for p in (self.run_folder / "plots").glob(f"{kind}-*.png")}
            self.assertTrue(svgs, kind)
            self.assertEqual(svgs, pngs)
            for stem in svgs:
                self.assertIn(f'id="{stem}-figure_1"', self.read("report.html"))

    def test_colours_follow_the_page(self):
        drawn = "".join(re.findall(r"<svg.*?</svg>", self.read("report.html"), re.S))
        self.assertIn("var(--s0)", drawn)
        self.assertEqual(re.findall(r"(?:fill|stroke): ?#(?!fff)\w+", drawn), [])

    def test_same_input_same_bytes(self):
        again = report(self.run_folder, "--out", self.work / "again")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(digest(self.run_folder), digest(self.work / "again"))

    def test_warnings_lead(self):
        text = self.read("report.html")
        self.assertLess(text.index("synthetic: invented for the tests"),
                        text.index("Which shared heap suits you, and what it costs"))
        self.assertIn("transparent huge pages are on for private memory", text)

    def test_what_is_missing_says_why(self):
        text = self.read("report.html")
        for reason in ("no package of that name", "this heap is private to one",
                       "the subject cannot compact"):
            self.assertIn(reason, text)
            self.assertIn(reason, self.read("report.md"))

    def test_figures_are_those_of_the_trials(self):
        """One figure is worked out here from the file, by another road."""
        costs = []
        for line in (self.run_folder / "trials.ndjson").read_text().splitlines():
            trial = json.loads(line)
            key = (trial["arm"], trial["section"], trial["workers"])
            if key == ("beta", "mix", 2) and trial["kept"] and not trial["timed"]:
                costs.append(trial["wall_ns"] / (trial["steps"] / 2))
        costs.sort()
        self.assertEqual(len(costs), synthetic.ROUNDS)
        self.assertIn(f">{words.time(costs[len(costs) // 2])}<",
                      self.read("report.html"))

    def test_figures_of_a_workload_are_shown(self):
        text = self.read("report.html")
        self.assertIn(">planted share<", text)
        self.assertIn(">0.188<", text)

    def test_every_operation_has_its_latency(self):
        run = runfolder.read(self.run_folder)
        head = "Latency of every operation</summary>"
        table = self.read("report.html").split(head)[1]
        hist = model.make(run).cells[0].of("beta").latency["free"]
        self.assertIn(f">{words.time(hist.quantile(0.9))}<", table)

    def test_by_link_from_another_folder(self):
        link = self.work / "shmbench-report"
        link.symlink_to(PROGRAM)
        done = subprocess.run([sys.executable, link, "--help"], capture_output=True,
                              text=True, cwd=self.work, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_installed_beside_share(self):
        shutil.copytree(SCRIPTS / "shmbench_py",
                        self.work / "usr/share/shmbench/shmbench_py")
        (self.work / "usr/bin").mkdir()
        shutil.copy(PROGRAM, self.work / "usr/bin")
        done = subprocess.run([self.work / "usr/bin/shmbench-report", "--help"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class Model(WithRun):
    def made(self):
        return model.make(runfolder.read(self.run_folder))

    def test_synthetic_folder_fits_the_schema(self):
        """Else these tests would test another format than the suite writes."""
        import jsonschema
        schema = json.loads(SCHEMA.read_text())
        run = runfolder.read(self.run_folder)

        def check(value, name):
            jsonschema.Draft7Validator({"$ref": f"#/definitions/{name}",
                                        "definitions": schema["definitions"]}
                                       ).validate(value)
        check(run.manifest, "manifest")
        seen = set()
        for trial in run.trials:
            kind = (trial["section"], trial["arm"], trial["timed"], trial["round"] > 0)
            if kind not in seen and trial["workers"] == 1:
                seen.add(kind)
                trial["latency"] = {name: {**value, "hist": value["hist"][:5]}
                                    for name, value in trial["latency"].items()}
                check(trial, "trial")

    def test_answer_is_the_truth_that_was_planted(self):
        made = self.made()
        cell = next(c for c in made.cells if c.section == "mix" and c.workers == 1)
        line = tables.answer(cell)
        self.assertEqual(line.fastest.arm.label, "alpha")
        self.assertIn("then beta, 1.6", line.lead)
        self.assertEqual(line.private.arm.label, "epsilon")
        self.assertAlmostEqual(line.price.value, 1 / 0.3, delta=0.1)
        self.assertTrue(cell.resolved)

    def test_a_wide_control_forbids_ranking(self):
        made = self.made()
        cell = next(c for c in made.cells if c.section == "mix" and c.workers == 1)
        copy = next(m for m in cell.measured if m.arm.control)
        for place, number in enumerate(copy.costs):
            copy.costs[number] *= 1.3 if place % 2 else 0.8
        cell.control = model.stats.paired_ratio(cell.of("alpha").costs, copy.costs)
        self.assertFalse(cell.resolved)
        self.assertIn("unresolved", tables.answer(cell).lead)

    def test_equal_subjects_are_not_ranked(self):
        cell = next(c for c in self.made().cells if c.section == "mix")
        cell.of("beta").costs = dict(cell.of("alpha").costs)
        cell.of("beta").cost = cell.of("alpha").cost
        self.assertIn("not told apart", tables.answer(cell).lead)

    def test_baseline_may_be_chosen(self):
        made = model.make(runfolder.read(self.run_folder), "gamma")
        self.assertEqual(made.cells[0].of("gamma").ratio.value, 1)
        self.assertIsNone(model.make(runfolder.read(self.run_folder), "nobody"))


class Damage(WithRun):
    small = True

    def copy(self, name):
        folder = self.work / name
        shutil.copytree(self.run_folder, folder,
                        ignore=shutil.ignore_patterns("plots", "report.*"))
        return folder

    def refused(self, *words_):
        done = report(*words_)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stdout, "")
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_torn_last_line_is_named_and_the_rest_counts(self):
        folder = self.copy("torn")
        path = folder / "trials.ndjson"
        data = path.read_bytes()
        path.write_bytes(data[:-300])
        last = data.count(b"\n")
        run = runfolder.read(folder)
        self.assertEqual(len(run.trials), last - 1)
        self.assertTrue(any(f"line {last} is torn" in p for p in run.problems))

    def test_broken_line_in_the_middle_is_left_out(self):
        folder = self.copy("broken")
        lines = (folder / "trials.ndjson").read_text().splitlines()
        lines[4] = lines[4][:100]
        lines[6] = '{"schema": 1}'
        (folder / "trials.ndjson").write_text("\n".join(lines) + "\n")
        run = runfolder.read(folder)
        self.assertEqual(len(run.trials), len(lines) - 2)
        self.assertTrue(any("line 5 is not JSON" in p for p in run.problems))
        self.assertTrue(any("line 7 has no member" in p for p in run.problems))

    def test_run_that_was_cut_off_after_the_first_trials(self):
        folder = self.copy("young")
        lines = (folder / "trials.ndjson").read_text().splitlines()[:30]
        (folder / "trials.ndjson").write_text("\n".join(lines))
        found = json.loads((folder / "manifest.json").read_text())
        found.update(state="running", end=None, trials=None, trials_kept=None)
        (folder / "manifest.json").write_text(json.dumps(found))
        done = report(folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("has not ended, or was killed", done.stderr)
        self.assertIn("has not ended, or was killed",
                      (folder / "report.html").read_text())

    def test_failed_trials_come_first(self):
        folder = self.copy("failed")
        lines = (folder / "trials.ndjson").read_text().splitlines()
        row = json.loads(lines[20])
        row.update(status="failed", incorrect=True, kept=False, reason="failed",
                   detail="block <b>7</b> holds another's bytes")
        lines[20] = json.dumps(row)
        (folder / "trials.ndjson").write_text("\n".join(lines) + "\n")
        self.assertEqual(report(folder).returncode, 0)
        text = (folder / "report.html").read_text()
        self.assertIn("block &lt;b&gt;7&lt;/b&gt; holds", text)
        self.assertLess(text.index("Trials that failed"), text.index("Before you read"))

    def test_bad_folders_are_refused_in_one_line(self):
        self.assertIn("no such folder", self.refused(self.work / "nowhere"))
        empty = self.work / "empty"
        empty.mkdir()
        self.assertIn("no manifest.json", self.refused(empty))
        (empty / "manifest.json").write_text("{")
        self.assertIn("not JSON", self.refused(empty))
        (empty / "manifest.json").write_text("{}")
        self.assertIn("has no member", self.refused(empty))
        folder = self.copy("newer")
        found = json.loads((folder / "manifest.json").read_text())
        found["schema"] = 2
        (folder / "manifest.json").write_text(json.dumps(found))
        self.assertIn("schema 2", self.refused(folder))
        self.assertIn("no arm 'nobody'",
                      self.refused(self.run_folder, "--baseline", "nobody"))
        self.refused()


class Words(unittest.TestCase):
    def test_units(self):
        for value, text in ((0.5, "0.500 ns"), (9.4, "9.40 ns"), (999.7, "1.00 µs"),
                            (1234, "1.23 µs"), (56789, "56.8 µs"), (2.5e9, "2.50 s"),
                            (None, "–"), (9.996, "10.0 ns"), (0, "0 ns")):
            self.assertEqual(words.time(value), text)
        self.assertEqual(words.size(64), "64 B")
        self.assertEqual(words.size(64 << 20), "64.0 MiB")
        self.assertEqual(words.rate(5e6), "5.00 M/s")
        self.assertEqual(words.ratio(12.34), "12.3×")


if __name__ == "__main__":
    unittest.main()
