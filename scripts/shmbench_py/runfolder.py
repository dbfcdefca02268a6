# SPDX-License-Identifier: MIT
"""Reads a run folder: manifest.json and trials.ndjson, and says what is wrong there.

Built on: the standard library. Why this way: a run that was killed leaves a torn last
line and a manifest that says 'running'; what was measured until then still counts, so
damage is named and carried along, and only what cannot be read at all is refused.
results/schema.json is the full description; here stands only what a reader leans on.
"""
import dataclasses
import json
import pathlib

SCHEMA = 1
STATUSES = ("ok", "na", "failed", "hung", "skipped")
NUMBER = (int, float)
MANIFEST = {"schema": int, "run_id": str, "plan": dict, "environment": dict,
            "build": dict, "subjects": list, "command_line": list, "warnings": list}
TRIAL = {"run_id": str, "trial_id": int, "round": int, "arm": str, "cell": int,
         "kept": bool, "timed": bool, "subject": str, "workload": str, "workers": int,
         "work_scale": NUMBER, "status": str, "detail": str, "latency": dict,
         "counts": dict, "locks": list, "series": dict}
LATENCY = {"count": int, "max": NUMBER, "hist": list}


class RunError(Exception):
    """The folder cannot be read; the text is one line that says what and where."""


@dataclasses.dataclass
class Run:
    """One run folder in memory."""
    folder: pathlib.Path
    manifest: dict
    trials: list
    problems: list  # damage that was found, one line each


def lacking(value, members):
    """What is wrong with an object, or None. bool is no int here."""
    if not isinstance(value, dict):
        return "is no object"
    for name, kind in members.items():
        if name not in value:
            return f"has no member '{name}'"
        if not isinstance(value[name], kind) or (
                isinstance(value[name], bool) and kind is not bool):
            return f"has a member '{name}' of the wrong type"
    return None


def trial_fault(trial, manifest):
    """What is wrong with one trial, or None."""
    fault = lacking(trial, TRIAL)
    if fault:
        return fault
    if trial["run_id"] != manifest["run_id"]:
        return f"belongs to run {trial['run_id']}"
    if trial["status"] not in STATUSES:
        return f"has the unknown status '{trial['status']}'"
    if not 0 <= trial["cell"] < len(manifest["plan"]["cells"]):
        return f"names cell {trial['cell']}, which the plan does not have"
    for name, latency in trial["latency"].items():
        fault = lacking(latency, LATENCY)
        if fault:
            return f"latency of '{name}' {fault}"
    return None


def read_manifest(folder):
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder}: no run folder (it has no manifest.json)") from None
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise RunError(f"{path}: not JSON: {error}") from None
    fault = lacking(manifest, MANIFEST)
    if fault:
        raise RunError(f"{path}: {fault}")
    if manifest["schema"] != SCHEMA:
        raise RunError(f"{path}: schema {manifest['schema']}; this program reads "
                       f"schema {SCHEMA}")
    for name in ("arms", "cells"):
        if not isinstance(manifest["plan"].get(name), list):
            raise RunError(f"{path}: the plan has no list '{name}'")
    return manifest


def read_trials(folder, manifest):
    """The trials and the problems met. A torn last line is named and left out."""
    path, trials, problems = folder / "trials.ndjson", [], []
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], ["trials.ndjson is missing: nothing was measured, or it was removed"]
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"trials.ndjson line {number}"
        try:
            trial = json.loads(line)
        except ValueError:
            torn = number == len(lines)
            problems.append(f"{where} is torn: the run was cut off while writing it"
                            if torn else f"{where} is not JSON and was left out")
            continue
        fault = trial_fault(trial, manifest)
        if fault:
            problems.append(f"{where} {fault} and was left out")
        else:
            trials.append(trial)
    return trials, problems


def read(folder):
    """Reads a run folder. Errors: RunError."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    manifest = read_manifest(folder)
    trials, problems = read_trials(folder, manifest)
    state = manifest.get("state")
    if state == "running":
        problems.insert(0, "the run has not ended, or was killed: what follows is what "
                           "it had measured")
    elif state == "interrupted":
        problems.insert(0, "the run was interrupted: what follows is what it had "
                           "measured")
    elif state == "failed":
        reason = manifest.get("failure", "no reason given")
        problems.insert(0, f"the run failed: {reason}")
    expected = manifest.get("trials")
    if isinstance(expected, int) and expected != len(trials):
        problems.append(f"the manifest counts {expected} trials, here are "
                        f"{len(trials)}")
    return Run(folder, manifest, trials, problems)
