# SPDX-License-Identifier: MIT
"""report.md: the tables of a run as Markdown, for a pull request or a wiki.

Built on: model, tables, words.
"""
from shmbench_py import tables, words


def safe(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def line(cells):
    return "| " + " | ".join(map(safe, cells)) + " |"


def rows(head, body):
    return [line(head), line(["---"] * len(head)), *map(line, body), ""]


def figure(measured, model):
    if measured.status != "ok" or not measured.cost:
        return {"na": "n/a", "ok": words.DASH, "none": words.DASH}.get(
            measured.status, measured.status)
    text = words.time(measured.cost.value)
    if measured.arm is model.baseline or measured.ratio is None:
        return text
    between = words.interval(measured.ratio)
    return (f"{text} ({words.ratio(measured.ratio.value)}"
            f"{f' [{between}]' if between else ''})")


def text(model):
    """The whole file."""
    manifest = model.run.manifest
    out = [f"# shmbench {manifest['run_id']}", ""]
    warnings = [*model.run.problems, *manifest["warnings"]]
    out += [f"> {safe(warning)}" for warning in warnings] + ([""] if warnings else [])
    out += [f"Time for a step, ratio to {model.baseline.label} with its 95 % interval.",
            ""]
    arms = model.subjects
    out += rows(["workload", "workers", *[arm.label for arm in arms]],
                [[cell.title, cell.workers,
                  *[figure(cell.of(arm.label), model) for arm in arms]]
                 for cell in model.cells])
    for cell in tables.leading_cells(model):
        out += [f"## {cell.title}, {words.plural(cell.workers, 'worker')}", ""]
        out += rows(["subject", *tables.detail_head(cell)],
                    [[m.arm.label, *tables.detail(m, cell)]
                     for m in cell.measured if m.status == "ok"])
    reasons = tables.Reasons()
    for cell in model.cells:
        for measured in cell.measured:
            if measured.status not in ("ok", "none"):
                reasons.number(measured, cell)
    if reasons.numbers:
        out += ["## Not measured", ""]
        for reason in reasons.numbers:
            where = "; ".join(f"{arm}: {places}"
                              for arm, places in reasons.places(reason, model))
            out.append(f"- {safe(reason)} ({safe(where)})")
        out.append("")
    return "\n".join(out)
