# SPDX-License-Identifier: MIT
"""Run folders of invented figures with planted differences, for the tests of compare.

Built on: synthetic, whose folders they are but for what a test changes. Nothing of them
is ever shown as a measurement.
"""
import json
import pathlib
import random
from unittest import mock

from shmbench_py.tests import synthetic

ROUNDS, TIMED = 20, 8


def rewrite(folder, trial=None, manifest=None):
    """Changes each trial and the manifest; a trial for which None comes is left out."""
    path = folder / "trials.ndjson"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if trial:
        rows = [row for row in map(trial, rows) if row is not None]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "manifest.json"
    found = json.loads(path.read_text())
    if manifest:
        manifest(found)
    found["trials"], found["trials_kept"] = len(rows), sum(r["kept"] for r in rows)
    path.write_text(json.dumps(found, indent=1) + "\n")


def write(folder, number, slower=None, **settings):
    """A run with an A/A control of alpha; seed and run_id follow from `number`.

    slower: (subject, section) to a factor on its times. Two sections, two subjects.
    """
    draw, slower = random.Random(number), slower or {}
    with mock.patch.multiple(synthetic, ROUNDS=ROUNDS, TIMED=TIMED, WORKERS=(1, 2),
                             SUBJECTS=synthetic.SUBJECTS[:2],
                             CELLS=synthetic.CELLS[:2]):
        folder = synthetic.write(pathlib.Path(folder), seed=number)

    def change(row):
        row["run_id"] = f"20200101-00000{number}-synthetic-0000"
        for latency in row["latency"].values():
            latency["hist"] = latency["hist"][-3:]
            latency["count"] = sum(count for _, count in latency["hist"])
        row["series"] = {}
        if row["wall_ns"]:
            # Less noise than synthetic's own, and none of its factors.
            factor = slower.get((row["subject"], row["section"]), 1.0)
            row["wall_ns"] = int(1e8 * factor * draw.lognormvariate(0, 0.008))
            row["total_ns"] = row["wall_ns"] + 5_000_000
            row["workers_detail"] = [
                {"wall_ns": row["wall_ns"], "steps": row["steps"] // row["workers"],
                 "ops": 1, "cpu": None, "covariates": {}}] * row["workers"]
        return row

    def about(manifest):
        manifest["run_id"] = f"20200101-00000{number}-synthetic-0000"
        manifest["plan"]["settings"] = {"as": "processes", "medium": "memfd",
                                        "verify": False, "segment_bytes": 0,
                                        "trial": 1, "control": True, **settings}
    rewrite(folder, change, about)
    return folder


def without_control(folder):
    def about(manifest):
        manifest["plan"]["arms"] = [arm for arm in manifest["plan"]["arms"]
                                    if not arm["control"]]
        manifest["plan"]["settings"]["control"] = False
    rewrite(folder, lambda row: None if row["control"] else row, about)
    return folder
