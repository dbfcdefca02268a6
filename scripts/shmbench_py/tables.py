# SPDX-License-Identifier: MIT
"""What the tables of a report say, without saying how they look.

Built on: model, words. Why this way: the HTML page and the Markdown file take the same
rows. A verdict is only given where an interval carries it.
"""
import dataclasses
import re

from shmbench_py import plots, stats, words

QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))


@dataclasses.dataclass
class Answer:
    """One workload's line of 'which heap suits'; None where nothing was measured."""
    cell: object
    fastest: object = None
    lead: str = ""
    tail: object = None
    tail_ns: float = None
    lean: object = None
    lean_ratio: float = None
    private: object = None
    price: object = None


def steps_apart(cell, best, other):
    """How the fastest compares with the next, in words that its interval carries."""
    found = stats.paired_ratio(best.costs, other.costs)
    name = other.arm.label
    if found is None:
        return f"then {name}"
    if cell.resolved is False:
        return f"unresolved: too noisy to rank {name}"
    if not found.known:
        return f"then {name}, {words.ratio(found.value)} (too few rounds to be sure)"
    if found.beyond(cell.noise) > 0:
        return f"then {name}, {words.ratio(found.value)} [{words.interval(found)}]"
    return f"not told apart from {name} [{words.interval(found)}]"


def answer(cell):
    """The line of one cell."""
    line, ranked = Answer(cell), cell.ranked()
    if ranked:
        line.fastest = ranked[0]
        if len(ranked) > 1:
            line.lead = steps_apart(cell, ranked[0], ranked[1])
        else:
            line.lead = "no other shared heap can do this"
    operation = cell.operation
    tails = [(m.latency[operation].quantile(0.999), m) for m in cell.measured
             if m.arm.shared and not m.arm.control and operation in m.latency]
    tails = [(value, m) for value, m in tails if value is not None]
    if tails:
        line.tail_ns, line.tail = min(tails, key=lambda pair: pair[0])
    lean = [(m.footprint_ratio, m) for m in cell.measured
            if m.arm.shared and not m.arm.control and m.footprint_ratio]
    if lean:
        line.lean_ratio, line.lean = min(lean, key=lambda pair: pair[0])
    private = [m for m in cell.measured if m.arm.kind == "private" and m.cost]
    if private and ranked:
        line.private = min(private, key=lambda m: m.cost.value)
        line.price = stats.paired_ratio(line.private.costs, ranked[0].costs)
    return line


def leading_cells(model):
    """One cell for each workload and set of options: see plots.representative."""
    found = []
    for cells in plots.groups(model).values():
        cell = plots.representative(cells, model.cores(),
                                    lambda c: any(m.cost for m in c.measured))
        found.append(cell or cells[0])
    return found


def shade(measured, cell):
    """Class of a ratio: only what lies beyond the noise is coloured."""
    ratio = measured.ratio
    if ratio is None or not ratio.known or measured.arm is cell.baseline:
        return "near"
    if not measured.arm.shared:
        return ""  # a reference line is no rival
    side = ratio.beyond(cell.noise)
    if side < 0:
        return "better"
    if side == 0:
        return "near"
    return "worse1" if ratio.value < 2 else "worse2" if ratio.value < 8 else "worse3"


def impersonal(measured):
    """The reason without the subject's name, so that those of all subjects add up."""
    reason = measured.reason or "no reason recorded"
    text = re.sub(rf"(?<!\w){re.escape(measured.arm.subject)}(?!\w)", "it", reason)
    return text.removeprefix("it: ")


class Reasons:
    """Numbers the reasons of what was not measured, in the order of first mention."""

    def __init__(self):
        self.numbers = {}
        self.where = {}

    def number(self, measured, cell):
        status = "n/a" if measured.status == "na" else measured.status
        key = f"{status}: {impersonal(measured)}"
        self.numbers.setdefault(key, len(self.numbers) + 1)
        by_arm = self.where.setdefault(key, {})
        by_arm.setdefault(measured.arm.label, {})[cell.index] = cell
        return self.numbers[key]

    def places(self, key, model):
        """For each arm the cells a reason stands for: 'mix (1, 2 workers), prodcon'."""
        for arm, cells in self.where[key].items():
            if len(cells) == len(model.cells):
                yield arm, "everywhere"
                continue
            titles = {}
            for cell in cells.values():
                titles.setdefault(cell.title, []).append(str(cell.workers))
            yield arm, ", ".join(f"{title} ({'/'.join(workers)}w)"
                                 for title, workers in titles.items())


def lock_wait(measured):
    """Mean wait for an acquisition of the subject's own locks; the contended share."""
    taken = measured.lock_sum("acquisitions")
    if not taken:
        return None, None
    wait, contended = measured.lock_sum("wait_ns"), measured.lock_sum("contended")
    return (None if wait is None else wait / taken,
            None if contended is None else contended / taken)


def detail(measured, cell):
    """The figures of one line of a detail table, as text, in detail_head's order."""
    operation = cell.operation
    hist = measured.latency.get(operation)
    wait, contended = lock_wait(measured)
    ratio = words.ratio(measured.ratio.value) if measured.ratio else words.DASH
    live = measured.footprint_ratio
    return [
        words.time(measured.cost.value) if measured.cost else words.DASH,
        ratio, words.interval(measured.ratio) or words.DASH,
        *[words.time(hist.quantile(q)) if hist else words.DASH for _, q in QUANTILES],
        words.time(hist.max) if hist else words.DASH,
        words.size(measured.middle("footprint_bytes")),
        f"{live:.2f}" if live else words.DASH,
        words.time(wait),
        words.DASH if contended is None else f"{100 * contended:.1f} %",
        words.size(measured.counted("moved_bytes")),
        words.count(measured.middle("failures")),
        str(len(measured.costs)),
        *[words.DASH if measured.figure(name) is None
          else words.digits(measured.figure(name)) for name in cell.figures],
    ]


def detail_head(cell):
    """The heads of a detail table; the workload's own figures come last."""
    return (*DETAIL_HEAD, *[name.replace("_", " ") for name in cell.figures])


OPERATION_HEAD = ("operation", "count", "p50", "p90", "p99", "p99.9", "longest")


def operations(measured):
    """One line for each operation that was timed, in OPERATION_HEAD's order."""
    for name, hist in measured.latency.items():
        yield [name, words.count(hist.count),
               *[words.time(hist.quantile(q)) for q in (0.5, 0.9, 0.99, 0.999)],
               words.time(hist.max)]


DETAIL_HEAD = ("per step", "ratio", "95 % interval", "p50", "p99", "p99.9", "longest",
               "footprint", "/ live", "lock wait", "contended", "moved", "refused",
               "rounds")


def reproduce(manifest):
    """The command line as it was typed, the program without its folder."""
    found = [str(word) for word in manifest["command_line"]]
    if found:
        found[0] = found[0].rsplit("/", 1)[-1]
    return found
