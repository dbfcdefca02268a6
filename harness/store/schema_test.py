# SPDX-License-Identifier: MIT
"""Run folders as the store writes them, against results/schema.json.

Called by ctest with STORE_SAMPLE (writes a folder) and SB_SCHEMA in the environment.
"""
import copy
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

import jsonschema

SCHEMA = json.loads(pathlib.Path(os.environ["SB_SCHEMA"]).read_text("utf-8"))


def validator(name):
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    return jsonschema.Draft7Validator(
        {"$ref": "#/definitions/" + name, "definitions": SCHEMA["definitions"]})


def lines(path):
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.root = pathlib.Path(self.dir.name)

    def write(self, how):
        folder = self.root / how
        ended = subprocess.run([os.environ["STORE_SAMPLE"], str(folder), how])
        self.assertEqual(ended.returncode, -signal.SIGKILL if how == "killed" else 0)
        return folder

    def check(self, folder):
        validator("manifest").validate(
            json.loads((folder / "manifest.json").read_text("utf-8")))
        for name, kind in (("trials", "trial"), ("events", "event")):
            for line in lines(folder / (name + ".ndjson")):
                validator(kind).validate(line)

    def test_complete(self):
        folder = self.write("complete")
        self.check(folder)
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        self.assertEqual(manifest["state"], "complete")
        self.assertEqual(manifest["trials"], 6)
        self.assertEqual(manifest["trials_kept"], 4)
        self.assertIn("sample.c", manifest["plan"]["jobs"][0]["name"])

    def test_killed_keeps_every_trial(self):
        folder = self.write("killed")
        self.check(folder)
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        self.assertEqual(manifest["state"], "running")
        self.assertEqual(len(lines(folder / "trials.ndjson")), 6)

    def test_hgrm_sums_up_kept_trials_with_stamps(self):
        folder = self.write("complete")
        found = sorted(path.name for path in (folder / "hgrm").iterdir())
        self.assertEqual(found, ["c00-section_one-w2.left_bytes=1.alloc.hgrm"])
        text = (folder / "hgrm" / found[0]).read_text("utf-8")
        self.assertRegex(text, r"#\[Max +=[ 0-9]+5000\.000, Total count +=[ ]+2000\]")

    def test_the_schema_is_strict(self):
        """What it must refuse: a schema that takes anything checks nothing."""
        trial = lines(self.write("complete") / "trials.ndjson")[1]
        validator("trial").validate(trial)

        def spoil(change):
            spoilt = copy.deepcopy(trial)
            change(spoilt)
            self.assertFalse(validator("trial").is_valid(spoilt), change)

        for member in trial:
            spoil(lambda t, m=member: t.pop(m))
        spoil(lambda t: t.update(status="fine"))
        spoil(lambda t: t.update(wall_ns=None))
        spoil(lambda t: t.update(workers="2"))
        spoil(lambda t: t.update(timed=False))
        spoil(lambda t: t.update(kept=False))
        spoil(lambda t: t.update(incorrect=True))
        spoil(lambda t: t.update(run_id="latest"))
        spoil(lambda t: t["latency"].update(sleep=t["latency"]["alloc"]))
        spoil(lambda t: t["latency"]["alloc"].pop("hist"))
        spoil(lambda t: t["latency"]["alloc"]["hist"].append([1]))
        spoil(lambda t: t["counts"].update(moves=-1))


if __name__ == "__main__":
    unittest.main()
