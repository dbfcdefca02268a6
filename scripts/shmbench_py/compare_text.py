# SPDX-License-Identifier: MIT
"""A comparison as text: for a terminal, as Markdown, as JSON.

Built on: compare_cells, markdown, stats, words. Why this way: the page takes the same
rows, so that no two of them can disagree. What limits the comparison stands before its
figures.
"""
import json

from shmbench_py import markdown, stats, words

HEAD = ("workload", "workers", "subject", "base", "candidate", "ratio", "95 % interval",
        "floor", "verdict")
ORDER = ("slower", "larger", "faster", "smaller", "equal", "unresolved")
ACROSS = ("Two runs: their rounds are held against each other as independent samples. "
          "Runs at different times are only as comparable as the machine was. The "
          "floor is raised by how far the halves of either run, and all lines "
          "together, lie apart; a change of every line alike cannot be told from a "
          "change of the machine. Arms of one run are the surer comparison.")
WITHIN = "One run: ratios within each round, median over rounds, exact sign interval."
QUICK = "Profile quick shows ratios; it refuses nothing (never exit status 3)."


def precise(value):
    """A ratio to a thousandth: floors are hundredths."""
    return f"{value:.3f}" if value < 10 else words.ratio(value).rstrip("×")


def interval(found):
    return f"{precise(found.low)}–{precise(found.high)}" if found and found.known else (
        words.DASH)


def figure(comparison, costs):
    """Median of one side."""
    if not costs:
        return words.DASH
    value = stats.median(costs.values())
    if comparison.metric.name == "footprint":
        return f"{value:.3f}"
    return words.time(value)


def row(comparison, line):
    """The cells of one line, in HEAD's order."""
    found = line.ratio
    return (line.cell.title, str(line.cell.workers), line.label,
            figure(comparison, line.first), figure(comparison, line.second),
            precise(found.value) if found else words.DASH, interval(found),
            f"{100 * line.floor:.1f} %", line.verdict)


def hint(line):
    """The reason with the side that an unresolved interval lies on."""
    where = {1: "lies above the floor", -1: "lies below the floor", 0: ""}[line.side]
    if line.verdict == "unresolved" and where:
        return f"{line.reason} (the interval {where})"
    return line.reason


def summary(comparison):
    counts = [f"{comparison.count(word)} {word}" for word in ORDER
              if comparison.count(word)]
    return f"{words.plural(len(comparison.lines), 'line')}: {', '.join(counts)}"


def remarks(comparison):
    """What to know before the figures, most important first."""
    found = [f"compared by force: {text}" for text in comparison.refused]
    found += [f"a correctness check failed: {trial['arm']} in {trial['section']}: "
              f"{trial['detail']}" for trial in comparison.incorrect[:5]]
    found.append(WITHIN if comparison.paired else ACROSS)
    if comparison.quick:
        found.append(QUICK)
    if not any(line.controls for line in comparison.lines):
        found.append("No arm was measured twice (control=yes), so the noise is not "
                     "known: nothing is called a difference.")
    copied = {measured.arm.subject for cell in comparison.a.cells
              for measured in cell.measured if measured.arm.control}
    if copied:
        found.append(f"The noise floor comes from a copy of {', '.join(copied)}, and "
                     "is at least 2 %.")
    return found + comparison.notes


def sides(comparison):
    """What A and B are."""
    if comparison.paired:
        return [("run", comparison.a.run.manifest["run_id"])]
    return [(side, f"{run.manifest['run_id']} ({run.folder})")
            for side, run in zip("AB", comparison.runs)]


def terminal(comparison):
    rows = [HEAD, *[row(comparison, line) for line in comparison.lines]]
    wide = [max(len(cells[i]) for cells in rows) for i in range(len(HEAD))]
    out = [f"{side:4} {text}" for side, text in sides(comparison)]
    out += [f"     {text}" for text in remarks(comparison)]
    out += ["", f"{comparison.metric.text}; ratio candidate / base, above 1 is "
            f"{comparison.metric.worse}", ""]
    left = {0, 2, 8}
    for place, cells in enumerate(rows):
        text = "  ".join(cell.ljust(wide[i]) if i in left else cell.rjust(wide[i])
                         for i, cell in enumerate(cells)).rstrip()
        why = hint(comparison.lines[place - 1]) if place else ""
        out.append(f"{text}: {why}" if why else text)
    return "\n".join([*out, "", summary(comparison), ""])


def as_markdown(comparison):
    out = ["# shmbench compare", ""]
    out += [f"- {side}: {markdown.safe(text)}" for side, text in sides(comparison)]
    out += ["", f"**{summary(comparison)}.** {comparison.metric.text}; ratio "
            f"candidate / base, above 1 is {comparison.metric.worse}.", ""]
    out += [f"> {markdown.safe(text)}  " for text in remarks(comparison)] + [""]
    out += markdown.rows((*HEAD, "why"), [[*row(comparison, line), hint(line)]
                                          for line in comparison.lines])
    return "\n".join(out)


def estimate(found):
    if found is None:
        return None
    return {"value": found.value, "low": found.low, "high": found.high,
            "rounds": found.count}


def as_json(comparison, status):
    lines = [{
        "section": line.cell.section, "workload": line.cell.workload,
        "set": line.cell.set, "options": line.cell.options,
        "workers": line.cell.workers, "base": line.base.arm.label,
        "candidate": line.candidate.arm.label, "verdict": line.verdict,
        "reason": line.reason, "ratio": estimate(line.ratio), "floor": line.floor,
        "noise": line.noise, "adjusted_p": line.adjusted,
        "parts": list(line.difference.parts) if line.difference else [],
        "controls": [estimate(control.ratio) for control in line.controls],
        "base_rounds": {str(k): v for k, v in line.first.items()},
        "candidate_rounds": {str(k): v for k, v in line.second.items()},
    } for line in comparison.lines]
    found = {"schema": 1, "paired": comparison.paired, "metric": comparison.metric.name,
             "runs": [run.manifest["run_id"] for run in comparison.runs],
             "refused": comparison.refused, "remarks": remarks(comparison),
             "verdicts": {word: comparison.count(word) for word in ORDER
                          if comparison.count(word)},
             "exit_status": status, "lines": lines}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
