# SPDX-License-Identifier: MIT
"""The lines of a comparison: one cell by one subject, with its ratio and its verdict.

Built on: model, stats, compare_match. Units: ratios are candidate / base, so that above
1 is dearer; the floor is a share (0.02: two per cent).
Why this way: within one run both arms of a round share the machine's mood, so ratios
are taken round by round. Two runs have no rounds in common: their samples are compared
as they are, and the machine may have changed between them, which no interval knows of.
Two things tell of that and raise the floor: how far the halves of a run lie apart, and
how far all lines of the comparison lie from 1, of which most should not differ at all.
So two runs that hold one line alone, or in which everything became slower, tell
nothing: that could be the machine.
A verdict asks for all of: a control that measured like its original, an interval wholly
beyond the floor, a place among the discoveries of Benjamini and Hochberg over the lines
(5 %), and sets of rounds without one in common that agree (the halves in time; and a
second pair of folders if one was given).
"""
import dataclasses

from shmbench_py import compare_match, model, stats

DISCOVERY = 0.05
WIDTHS = {"quick": 0.10, "full": 0.02}  # of the A/A interval at most, by profile
WIDTH = 0.05                            # all other job files
SPREADS = 3        # that a line of two runs has to lie beyond
FLOOR_MOST = 0.99
LEAST_ROUNDS = 6                        # fewer have no 95 % interval
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
OPERATIONS = ("alloc", "free", "access", "lock", "unlock", "realloc", "compact", "wait",
              "other", "response")


class WrongMetric(Exception):
    """There is no such metric; the text says which there are."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """What is compared; all are costs, so that less is better."""
    name: str
    text: str
    better: str = "faster"
    worse: str = "slower"
    quantile: str = None
    operation: str = None

    def rounds(self, measured):
        """Round to cost of the trials that count."""
        if self.name == "step":
            return measured.costs
        found = {}
        for trial in measured.trials:
            value = None
            if self.name == "footprint":
                live = trial.get("requested_bytes") or 0
                if live >= model.LIVE_LEAST:
                    value = (trial.get("footprint_bytes") or 0) / live
            elif trial["timed"]:
                value = trial["latency"].get(self.operation, {}).get(self.quantile)
            if value:
                found[trial["round"]] = value
        return found


def metric(name):
    """By its name. Errors: WrongMetric."""
    if name == "step":
        return Metric(name, "time of a worker for one step")
    if name == "footprint":
        return Metric(name, "footprint over live bytes", "smaller", "larger")
    quantile, _, operation = name.partition(".")
    if quantile in QUANTILES and operation in OPERATIONS:
        return Metric(name, f"{quantile} of {operation}, with its time stamp",
                      quantile=quantile, operation=operation)
    raise WrongMetric(f"no metric '{name}'; there are: step, footprint, and "
                      f"{'|'.join(QUANTILES)}.OP with OP one of "
                      f"{', '.join(OPERATIONS)}")


@dataclasses.dataclass
class Line:
    """One comparison; costs map a round to a value."""
    cell: model.Cell
    base: model.Measured
    candidate: model.Measured
    first: dict
    second: dict
    controls: list                       # stats.Control of each run that has one
    noise: float = model.NOISE_FLOOR     # floor by the controls
    floor: float = model.NOISE_FLOOR     # the same, raised by drift and spread
    difference: stats.Difference = None
    adjusted: float = None               # p over all lines, or not in the family
    verdict: str = "unresolved"
    reason: str = ""

    @property
    def label(self):
        one, two = self.base.arm.label, self.candidate.arm.label
        return one if one == two else f"{two} / {one}"

    @property
    def ratio(self):
        return self.difference.ratio if self.difference else None

    @property
    def side(self):
        """-1, 0, +1: where the interval lies, whatever may be concluded from it."""
        return self.ratio.beyond(self.floor) if self.ratio else 0


@dataclasses.dataclass
class Comparison:
    a: model.Model
    b: model.Model
    paired: bool
    metric: Metric
    lines: list
    notes: list
    refused: list  # why there would be no verdict but for --force

    @property
    def runs(self):
        return [self.a.run] if self.paired else [self.a.run, self.b.run]

    @property
    def quick(self):
        return any(run.manifest["plan"].get("profile") == "quick" for run in self.runs)

    def count(self, verdict):
        return sum(line.verdict == verdict for line in self.lines)

    @property
    def incorrect(self):
        """Trials in which a correctness check failed."""
        return [trial for run in self.runs for trial in run.trials
                if trial.get("incorrect")]

    def status(self, strict=False):
        """The exit status: of several the first of 1 2 3 5 4."""
        if self.refused:
            return 4
        if self.incorrect:
            return 2
        if self.count(self.metric.worse) and not self.quick:
            return 3
        return 4 if strict and self.count("unresolved") else 0


def width_limit(run):
    return WIDTHS.get(run.manifest["plan"].get("profile"), WIDTH)


def control_of(cell, measure):
    """The A/A copy of a cell against its original; None where none was measured."""
    copy = next((m for m in cell.measured if m.arm.control), None)
    if copy is None:
        return None
    original = next((m for m in cell.measured if not m.arm.control and
                     m.arm.subject == copy.arm.subject and
                     m.arm.options == copy.arm.options), None)
    return original and stats.control(measure.rounds(original), measure.rounds(copy))


def absent(line):
    """Why a side was not measured, or None."""
    for measured, costs in ((line.base, line.first), (line.candidate, line.second)):
        if not costs:
            reason = f": {measured.reason}" if measured.reason else ""
            word = {"na": "n/a", "none": "not measured", "ok": "no figure"}.get(
                measured.status, measured.status)
            return f"{measured.arm.label} {word}{reason}"
    return None


def measure(line, paired, spread=0.0):
    """Fills noise, floor and difference of a line."""
    halves = [(c.ratio.high - c.ratio.low) / 2 for c in line.controls if c.known]
    line.noise = line.floor = min(max(model.NOISE_FLOOR, *halves, 0.0), FLOOR_MOST)
    if paired:
        line.difference = stats.paired_difference(line.first, line.second, line.floor)
        return
    line.floor = min(max(line.floor, stats.drift(line.first), stats.drift(line.second),
                         SPREADS * spread), FLOOR_MOST)
    line.difference = stats.unpaired_difference(line.first, line.second, line.floor)


def measure_all(lines, paired):
    """All lines; those of two runs twice, since each tells of the others' noise."""
    for line in lines:
        measure(line, paired)
    if paired:
        return
    spread = stats.common_spread(line.ratio.value for line in lines if line.ratio)
    for line in lines:
        measure(line, paired, spread)


def obstacle(line, limit, runs):
    """Why a line cannot be judged, whatever its ratio is, or None."""
    missing = absent(line)
    if missing or line.difference is None:
        return missing or "no round in common"
    if not line.ratio.known:
        return f"too few rounds: {line.ratio.count}, least {LEAST_ROUNDS}"
    if len(line.controls) < runs:
        return "no A/A control, so the noise is not known"
    for control in line.controls:
        if not control.known:
            return "too few rounds of the A/A control"
        span = f"{control.ratio.low:.2f} to {control.ratio.high:.2f}"
        if control.off:
            return f"the A/A copy measured {span}, which is not its original"
        if control.width > limit:
            return (f"too noisy: the A/A copy measured {span}, wider than "
                    f"{100 * limit:.0f} %")
    return None


def word(line, measure_, second):
    """Verdict and reason of a line that can be judged."""
    side = line.side
    if line.ratio.inside(line.noise):
        return "equal", ""
    if not side:
        return "unresolved", "the interval crosses the noise floor"
    if line.adjusted > DISCOVERY:
        return "unresolved", f"by chance in so many cells (p {line.adjusted:.2g})"
    if line.difference.agreed(line.floor) != side:
        return "unresolved", "not confirmed: the halves of the rounds disagree"
    if second is not None and second.side != side:
        return "unresolved", "not confirmed by the second set of rounds"
    return (measure_.worse if side > 0 else measure_.better), ""


def judge(lines, measure_, limit, runs, confirm=None):
    """Gives every line its verdict. confirm: lines of a second set, by place."""
    open_ = []
    for line in lines:
        line.reason = obstacle(line, limit, runs) or ""
        if not line.reason:
            open_.append(line)
        elif line.ratio and line.ratio.known and not line.controls and (
                line.ratio.inside(model.NOISE_FLOOR)):
            line.verdict, line.reason = "equal", ""
    chances = stats.false_discovery([line.difference.p for line in open_])
    for line, chance in zip(open_, chances):
        line.adjusted = chance
    for place, line in enumerate(lines):
        if line.adjusted is not None:
            line.verdict, line.reason = word(line, measure_,
                                             confirm[place] if confirm else None)


def make_lines(pairs, metric_, paired):
    """pairs: (cell of A, cell of B or the same, base, candidate)."""
    lines = []
    for cell, other, base, candidate in pairs:
        first, second = metric_.rounds(base), metric_.rounds(candidate)
        if not first and not second:
            continue
        cells = (cell,) if paired else (cell, other)
        controls = [c for c in (control_of(each, metric_) for each in cells) if c]
        lines.append(Line(cell, base, candidate, first, second, controls))
    measure_all(lines, paired)
    return lines


def pairs_within(made, base, candidate):
    return [(cell, cell, cell.of(base), cell.of(candidate)) for cell in made.cells]


def pairs_across(a, b, subjects):
    """Every subject of both runs in every cell of both."""
    found, there = [], compare_match.keys(b.run.manifest["plan"])
    for key, index in compare_match.keys(a.run.manifest["plan"]).items():
        if key not in there:
            continue
        cell, other = a.cells[index], b.cells[there[key]]
        for measured in cell.measured:
            arm = measured.arm
            if arm.control or other.of(arm.label) is None or (
                    subjects and arm.subject not in subjects and
                    arm.label not in subjects):
                continue
            found.append((cell, other, measured, other.of(arm.label)))
    return found


def compare(pairs, a, b, metric_, *, paired, refused=(), second=None):
    """The comparison with its verdicts; second: pairs of a second set of rounds."""
    lines = make_lines(pairs, metric_, paired)
    runs = [a.run] if paired else [a.run, b.run]
    confirm = None
    if second is not None:
        found = {(line.cell.title, line.cell.workers, line.label): line
                 for line in make_lines(second, metric_, paired)}
        missing = Line(None, None, None, {}, {}, [])
        confirm = [found.get((line.cell.title, line.cell.workers, line.label), missing)
                   for line in lines]
    limit = min(map(width_limit, runs))
    judge(lines, metric_, limit, len(runs), confirm)
    notes = [] if paired else compare_match.remarks(a.run, b.run)
    return Comparison(a, b, paired, metric_, lines, notes, list(refused))
