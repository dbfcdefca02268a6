# SPDX-License-Identifier: MIT
"""May these run folders be held against each other, and what belongs to what?

Built on: words. Why this way: two figures are comparable where nothing but
the subject differs; so all that shapes a figure is looked at field by field, and the
field that differs is named. Rounds, budget and the length of time-outs may differ; what
is under test (version, options, build) is meant to.
"""
import json

from shmbench_py import words

SETTINGS = ("as", "medium", "verify", "segment_bytes", "trial")
TRIAL = ("workload", "workers", "options", "section")
WORK_APART = 1.5  # steps of a worker that differ by more are worth a word


def edited(run):
    """What does not fit together in a run: it was damaged, or changed by hand."""
    found, seen = [], set()
    cells = run.manifest["plan"]["cells"]
    arms = {arm["label"] for arm in run.manifest["plan"]["arms"]}
    for trial in run.trials:
        where = f"trial {trial['trial_id']}"
        if trial["trial_id"] in seen:
            found.append(f"{where} is there twice")
        seen.add(trial["trial_id"])
        if trial["arm"] not in arms:
            found.append(f"{where} names the arm '{trial['arm']}', which the plan does "
                         "not have")
        for name in TRIAL:
            if trial.get(name) != cells[trial["cell"]].get(name):
                found.append(f"{where} differs from its cell in the plan: {name}")
        if trial["status"] == "ok":
            try:
                found += [f"{where}: {text}" for text in sums(trial)]
            except (TypeError, KeyError, IndexError) as error:
                found.append(f"{where} has a member of the wrong shape "
                             f"({type(error).__name__}: {error})")
    kept = run.manifest.get("trials_kept")
    here = sum(trial["kept"] for trial in run.trials)
    if isinstance(kept, int) and kept != here:
        found.append(f"the manifest counts {kept} trials that are kept, here are "
                     f"{here}")
    return found


def sums(trial):
    """Figures of one trial that contradict each other."""
    found, workers = [], trial.get("workers_detail") or []
    wall, steps = trial.get("wall_ns"), trial.get("steps")
    for name, value in (("wall_ns", wall), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            found.append(f"{name} is no count")
    if found:
        return found
    if workers and sum(worker["steps"] for worker in workers) != steps:
        found.append("steps is not the sum of its workers' steps")
    if workers and max(worker["wall_ns"] for worker in workers) > wall:
        found.append("wall_ns is shorter than a worker's")
    for name, latency in trial["latency"].items():
        total = sum(slot[1] for slot in latency["hist"]) + latency.get("overflow", 0)
        if total != latency["count"]:
            found.append(f"latency of '{name}' does not add up to its count")
    return found


def damage(run):
    """All that is wrong; an interrupted run is whole as far as it goes."""
    read = run.problems[1:] if run.manifest.get("state") == "interrupted" else (
        run.problems)
    return [*read, *edited(run)]


def short(value):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."


def machine(a, b):
    """The facts that make the environments' hashes differ."""
    names = [*a["identity"], *(n for n in b["identity"] if n not in a["identity"])]
    return [(f"environment.facts.{name}", a["facts"].get(name), b["facts"].get(name))
            for name in names if a["facts"].get(name) != b["facts"].get(name)]


def storable(run, side):
    if run.manifest["build"].get("storable") is True:
        return []
    return [f"build.storable is false in {side}: figures of the preset "
            f"'{run.manifest['build'].get('preset', '?')}' are not comparable"]


def differing(a, b):
    """Fields in which two runs differ and must not, one line each."""
    one, two = a.manifest, b.manifest
    rows = []
    if one["run_id"] == two["run_id"]:
        return [f"run_id is {one['run_id']} in both: this is one run, not two (use "
                "--baseline and --candidate to compare its subjects)"]
    if one["environment"].get("hash") != two["environment"].get("hash"):
        rows.append(("environment.hash", one["environment"].get("hash"),
                     two["environment"].get("hash")))
        rows += machine(one["environment"], two["environment"])
    rows.append(("seeds.run", one.get("seeds", {}).get("run"),
                 two.get("seeds", {}).get("run")))
    for name in SETTINGS:
        rows.append((f"plan.settings.{name}", one["plan"]["settings"].get(name),
                     two["plan"]["settings"].get(name)))
    rows += options(one["plan"], two["plan"])
    found = [f"{name} is {short(x)} in A and {short(y)} in B" for name, x, y in rows
             if x != y]
    if not found and not common(one["plan"], two["plan"]):
        found.append("plan.cells: no workload with the same options and workers is in "
                     "both")
    return found


def keys(plan):
    """Each cell's key: what was done, in words that do not depend on the plan.

    Whether workers are processes or threads is a setting of the run: see SETTINGS.
    """
    found, seen = {}, {}
    for index, cell in enumerate(plan["cells"]):
        key = (cell["workload"], json.dumps(cell.get("options", {}), sort_keys=True),
               cell["workers"])
        seen[key] = seen.get(key, 0) + 1
        found[(*key, seen[key])] = index
    return found


def common(one, two):
    return keys(one).keys() & keys(two).keys()


def options(one, two):
    """Of cells that only one run has: the options by which their namesakes differ."""
    mine, theirs = keys(one), keys(two)
    alone = [one["cells"][mine[key]] for key in mine if key not in theirs]
    others = [two["cells"][theirs[key]] for key in theirs if key not in mine]
    for cell in alone:
        for other in others:
            same = all(cell[name] == other[name]
                       for name in ("section", "workload", "workers"))
            if not same:
                continue
            a, b = cell.get("options", {}), other.get("options", {})
            for name in sorted({*a, *b}):
                if a.get(name) != b.get(name):
                    yield (f"plan.cells[{cell['section']}].options.{name}", a.get(name),
                           b.get(name))
    for key in mine.keys() & theirs.keys():
        a, b = one["cells"][mine[key]], two["cells"][theirs[key]]
        yield (f"plan.cells[{a['section']}].segment_bytes", a.get("segment_bytes"),
               b.get("segment_bytes"))


def remarks(a, b):
    """What differs and may: it is what was to be compared, or worth knowing."""
    one, two, found = a.manifest, b.manifest, []
    for name in ("version", "git", "compiler"):
        x, y = one["build"].get(name), two["build"].get(name)
        if x != y:
            found.append(f"build.{name} is {short(x)} in A and {short(y)} in B")
    arms = {arm["label"]: arm for arm in two["plan"]["arms"]}
    for arm in one["plan"]["arms"]:
        other = arms.get(arm["label"])
        if other is None:
            found.append(f"{arm['label']} is in A alone")
            continue
        for name in ("version", "options"):
            if arm.get(name) != other.get(name):
                found.append(f"{name} of {arm['label']} differs")
    mine = {arm["label"] for arm in one["plan"]["arms"]}
    found += [f"{label} is in B alone" for label in arms if label not in mine]
    there, here = keys(two["plan"]), keys(one["plan"])
    for side, these, those, plan in (("A", here, there, one["plan"]),
                                     ("B", there, here, two["plan"])):
        alone = [plan["cells"][these[key]]["section"] for key in these
                 if key not in those]
        if alone:
            found.append(f"in {side} alone: {', '.join(dict.fromkeys(alone))}")
    for key in sorted(here.keys() & there.keys(), key=lambda k: here[k]):
        cell = one["plan"]["cells"][here[key]]
        steps = cell.get("steps"), two["plan"]["cells"][there[key]].get("steps")
        if all(steps) and max(steps) > WORK_APART * min(steps):
            found.append(f"steps of a worker in {cell['section']} with "
                         f"{words.plural(cell['workers'], 'worker')}: {steps[0]:,} in "
                         f"A, {steps[1]:,} in B (each run calibrates anew)")
    return found
