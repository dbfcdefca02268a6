# SPDX-License-Identifier: MIT
"""Writes a run folder of invented figures, for the tests of the readers alone.

Every name in it says so ('synthetic'); nothing of it is ever shown as a measurement.
The same seed gives the same bytes.
"""
import json
import math
import pathlib
import random
import sys

RUN_ID = "20200101-000000-synthetic-0000"
SUBJECTS = (  # name, capabilities, cost factor, contention factor, footprint factor
    ("alpha", ["SHARE", "REMOTE_FREE", "PIN", "EXCLUSIVE", "COMPACT", "REPAIR",
               "CHECK"], 1.0, 0.5, 1.1),
    ("beta", ["SHARE", "SAME_ADDRESS", "REMOTE_FREE"], 1.6, 2.5, 1.6),
    ("gamma", ["SHARE", "REMOTE_FREE"], 7.0, 1.5, 1.4),
    ("delta", ["PRIVATE"], 0.4, 0.05, 1.3),
    ("epsilon", ["PRIVATE"], 0.3, 0.02, 1.2),
    ("absent", ["SHARE"], 1.0, 1.0, 1.0),
    ("nothing", ["SHARE", "REMOTE_FREE", "FORGETS"], 0.05, 0.0, 0.0),
)
CELLS = (  # section, options that differ, base cost ns, what happens
    ("mix", "", 90, "alloc"), ("prodcon", "", 140, "exchange"),
    ("lock_sweep", "hold=1us", 1200, "lock"),
    ("compact_cost", "live=50%", 900, "compact"),
)
WORKERS = (1, 2, 4)
ROUNDS, TIMED = 9, 2


def latency(draw, centre, count):
    """A latency member with a plausible tail."""
    slots = {}
    for _ in range(400):
        value = centre * math.exp(draw.gauss(0, 0.25))
        if draw.random() < 0.02:
            value *= draw.choice((4, 9, 40))
        slots[round(value, 1)] = slots.get(round(value, 1), 0) + max(1, count // 400)
    hist = sorted([value, number] for value, number in slots.items())
    total = sum(number for _, number in hist)
    top = hist[-1][0]
    hist.append([top * 30, 3])
    total += 3

    def quantile(share):
        rank, seen = math.ceil(share * total), 0
        if total - rank < 10:
            return None
        for value, number in hist:
            seen += number
            if seen >= rank:
                return value
        return None
    return {"count": total, "mean": centre, "p50": quantile(0.5), "p90": quantile(0.9),
            "p99": quantile(0.99), "p999": quantile(0.999), "max": top * 31,
            "overflow": 0, "hist": hist}


def reason_na(subject, kind):
    name, capabilities = subject[0], subject[1]
    if name == "absent":
        return "no package of that name (synthetic)"
    if kind == "exchange" and "PRIVATE" in capabilities:
        return "blocks pass between processes; this heap is private to one"
    if kind == "compact" and "COMPACT" not in capabilities:
        return "the subject cannot compact"
    return None


def measurements(draw, subject, cell, workers, timed):
    _, capabilities, factor, contention, footprint = subject
    section, _, base, kind = cell
    steps = 200_000 * workers
    cost = base * factor * (1 + contention * (workers - 1)) * math.exp(
        draw.gauss(0, 0.015))
    wall = int(cost * steps / workers)
    live = 32 << 20
    points = 24
    series = {"time_ns": [wall * i // points for i in range(points + 1)],
              "requested_bytes": [int(live * (0.4 + 0.6 * abs(math.sin(i / 5))))
                                  for i in range(points + 1)],
              "steps": [steps * i // points for i in range(points + 1)]}
    top = 0
    series["footprint_bytes"] = []
    for live_now in series["requested_bytes"]:
        grown = int(live_now * footprint * draw.uniform(1, 1.04))
        top = grown if "COMPACT" in capabilities else max(top, grown)
        series["footprint_bytes"].append(top)
    latencies = {}
    if timed:
        for name in {"lock": ("lock", "access"), "compact": ("compact", "alloc")}.get(
                kind, ("alloc", "free", "access")):
            latencies[name] = latency(draw, cost / (1 if name == "lock" else 3) + 9,
                                      60_000)
    moves = "COMPACT" in capabilities and section in ("mix", "compact_cost")
    return {
        "wall_ns": wall, "total_ns": wall + 5_000_000, "steps": steps,
        "ops": steps * 3, "failures": 0,
        "latency": latencies, "stamp_ns": 9.5 if timed else None,
        "counts": {"alloc": steps, "free": steps, "access": steps, "live_blocks": 1000,
                   "moved_bytes": int(steps * 400) if moves else 0,
                   "moves": steps // 2 if moves else 0, "moves_cancelled": 3,
                   "moves_pinned": 20 if moves else 0,
                   "returned_bytes": steps * 100 if moves else 0,
                   "compactions": 40 if moves else 0,
                   "mover_ns": int(steps * 60) if moves else 0},
        "figures": {"planted_share": 0.1875} if section == "mix" else {},
        "locks": [] if "PRIVATE" in capabilities else [
            {"name": "heap", "acquisitions": steps * 2,
             "contended": int(steps * 0.2 * (workers - 1)),
             "wait_ns": int(steps * 30 * (workers - 1) * contention),
             "longest_wait_ns": 900_000 * workers, "hold_ns": None,
             "longest_hold_ns": None}],
        "footprint_bytes": series["footprint_bytes"][-1],
        "peak_footprint_bytes": max(series["footprint_bytes"]),
        "requested_bytes": series["requested_bytes"][-1],
        "usable_bytes": int(series["requested_bytes"][-1] * 1.05),
        "table_bytes": 65536, "series": series}


EMPTY = {"wall_ns": None, "total_ns": None,
         "steps": None, "ops": None, "failures": None, "latency": {},
         "stamp_ns": None, "counts": {}, "figures": {}, "locks": [],
         "footprint_bytes": None,
         "peak_footprint_bytes": None, "requested_bytes": None, "usable_bytes": None,
         "table_bytes": None, "series": {}}
COVARIATES = {"steal_ms": 0, "psi_cpu_us": 10, "psi_memory_us": 0, "run_delay_ns": 5,
              "voluntary_switches": 3, "involuntary_switches": 4, "minor_faults": 9,
              "major_faults": 0, "user_ns": 100, "system_ns": 10}


def arms():
    for subject in SUBJECTS:
        yield subject, subject[0], False
    yield SUBJECTS[0], SUBJECTS[0][0] + " (copy)", True


def trial(draw, number, turn, subject, label, control, index, cell, workers):
    """One line of trials.ndjson; turn is (round, position, timed)."""
    round_, position, timed = turn
    reason = reason_na(subject, cell[3])
    row = {"schema": 1, "run_id": RUN_ID, "trial_id": number, "round": round_,
           "position": position, "arm": label, "cell": index, "section": cell[0],
           "kept": round_ > 0 or reason is not None,
           "reason": "" if round_ > 0 or reason else "warm-up round",
           "timed": timed and reason is None, "control": control, "subject": subject[0],
           "subject_version": None if subject[0] == "absent" else "0 (synthetic)",
           "workload": cell[0], "options": {"bytes": 64}, "subject_options": {},
           "set": cell[1], "workers": workers, "as": "processes", "seed": 1,
           "work": 200_000, "work_scale": 1.0, "status": "na" if reason else "ok",
           "incorrect": False, "detail": reason or "", "verified_bytes": None,
           "segment_bytes": 1 << 28, "covariates": COVARIATES, "workers_detail": []}
    row.update(EMPTY if reason else measurements(draw, subject, cell, workers,
                                                 row["timed"]))
    return row


def trials(draw, cells):
    number = 0
    for index, (cell, workers) in enumerate(cells):
        for round_ in range(ROUNDS + TIMED + 1):
            for position, (subject, label, control) in enumerate(arms()):
                if reason_na(subject, cell[3]) and round_ > 0:
                    continue
                yield trial(draw, number, (round_, position, round_ > ROUNDS), subject,
                            label, control, index, cell, workers)
                number += 1


def manifest(count, kept, plan_cells):
    plan_arms = [{"label": label, "subject": s[0], "version": "0 (synthetic)",
                  "options": {}, "control": control,
                  "medium": None if "PRIVATE" in s[1] else "memfd",
                  "missing": "no package of that name (synthetic)"
                  if s[0] == "absent" else None} for s, label, control in arms()]
    cells = [{"cell": i, "section": c[0], "workload": c[0], "set": c[1],
              "options": {"bytes": 64}, "workers": w, "steps": 200_000,
              "segment_bytes": 1 << 28,
              "pairings": [{"arm": label, "na": reason_na(s, c[3]) is not None,
                            "reason": reason_na(s, c[3]), "work_scale": 1.0,
                            "pilot_ns": 1e8} for s, label, _ in arms()]}
             for i, (c, w) in enumerate(plan_cells)]
    return {
        "schema": 1, "run_id": RUN_ID, "state": "complete", "interrupted": False,
        "plan": {"profile": "synthetic", "settings": {"seed": 1, "rounds": ROUNDS},
                 "jobs": [{"name": "synthetic.ini", "text": "[mix]\n"}],
                 "calibrated": True, "arms": plan_arms, "cells": cells},
        "seeds": {"run": 1},
        "environment": {
            "hash": "0123456789abcdef",
            "facts": {"cpu_model": "synthetic test data, no machine", "cpus_online": 2,
                      "kernel": "0.0-synthetic", "clock_stamp_ns": 9.5},
            "identity": ["cpu_model"],
            "warnings": [{"fact": "thp_shmem", "text": "transparent huge pages are on "
                          "for private memory but not for shared (synthetic)"}]},
        "build": {"preset": "measure", "type": "Release", "sanitized": False,
                  "storable": True, "version": "0.1.0", "compiler": "synthetic",
                  "git": "synthetic", "ids": {"shmbench": "unknown",
                                              "shmbench-worker": "unknown"}},
        "subjects": [{"name": s[0], "version": None if s[0] == "absent" else
                      "0 (synthetic)", "origin": "synthetic",
                      "summary": f"invented subject {s[0]}", "capabilities": s[1]}
                     for s in SUBJECTS],
        "command_line": ["shmbench", "run", "--profile", "synthetic"],
        "start": 1577836800.0, "start_text": "2020-01-01T00:00:00Z",
        "end": 1577836890.0, "end_text": "2020-01-01T00:01:30Z",
        "trials": count, "trials_kept": kept,
        "warnings": ["these figures are synthetic: invented for the tests of the "
                     "report"]}


def write(folder, seed=1, small=False):
    """Makes the folder and returns its path. small: one cell, for tests of damage."""
    cells = [(c, w) for c in CELLS for w in WORKERS][:1 if small else None]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(trials(random.Random(seed), cells))
    with open(folder / "trials.ndjson", "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
    found = manifest(len(rows), sum(row["kept"] for row in rows), cells)
    (folder / "manifest.json").write_text(json.dumps(found, indent=1) + "\n",
                                          encoding="utf-8")
    return folder


if __name__ == "__main__":
    print(write(sys.argv[1]))
