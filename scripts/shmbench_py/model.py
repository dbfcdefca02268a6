# SPDX-License-Identifier: MIT
"""What a run says, as figures: each cell (what was done) by each arm (who did it).

Built on: runfolder, stats. Units: ns and bytes; a cost is the time that a worker takes
for one step of its workload: wall time / (steps / workers).
Why this way: tables, plots, Markdown and HTML all read this, so that no two of them can
disagree. Only kept trials that ended well count; throughput comes from trials without
stamps, latency from those with.
"""
import dataclasses

from shmbench_py import stats

NOISE_FLOOR = 0.02     # differences below this are never called differences
CONTROL_WIDTH = 0.10   # the A/A interval must be narrower, else a cell is unresolved
LIVE_LEAST = 256 * 1024  # below this, footprint over live bytes says nothing
LATENCY_OPS = ("alloc", "free", "access", "lock", "realloc", "compact",
               "response")


@dataclasses.dataclass
class Arm:
    """A subject with its options."""
    label: str
    subject: str
    version: str
    summary: str
    origin: str
    capabilities: tuple
    options: dict
    control: bool
    missing: str

    @property
    def floor(self):
        """Does it only show what measuring itself costs?"""
        return "FORGETS" in self.capabilities

    @property
    def shared(self):
        return "SHARE" in self.capabilities and not self.floor

    @property
    def locks(self):
        """Has it block locks of its own?"""
        return "PIN" in self.capabilities or "EXCLUSIVE" in self.capabilities

    @property
    def kind(self):
        return "shared" if self.shared else "floor" if self.floor else "private"


@dataclasses.dataclass
class Measured:
    """One arm in one cell. None: not measured, or the subject cannot tell."""
    arm: Arm
    status: str = "none"    # ok, na, failed, hung, skipped, none
    reason: str = ""
    costs: dict = dataclasses.field(default_factory=dict)  # round: ns a step
    cost: stats.Estimate = None
    ratio: stats.Estimate = None  # to the cell's baseline
    work_scale: float = 1.0
    pilot_ns: float = None
    latency: dict = dataclasses.field(default_factory=dict)  # op: Histogram
    stamp_ns: float = None
    trials: list = dataclasses.field(default_factory=list)  # kept, ok
    bad: list = dataclasses.field(default_factory=list)     # failed, hung

    def middle(self, member):
        """Median of a trial's member over the kept trials that have it."""
        values = [t[member] for t in self.trials if t.get(member) is not None]
        return stats.median(values) if values else None

    def counted(self, name):
        values = [t["counts"][name] for t in self.trials
                  if t["counts"].get(name) is not None]
        return stats.median(values) if values else None

    def figure(self, name):
        """A figure that the workload itself found out: see `figures` of a trial."""
        values = [t["figures"][name] for t in self.trials
                  if t.get("figures", {}).get(name) is not None]
        return stats.median(values) if values else None

    @property
    def footprint_ratio(self):
        """Footprint over live bytes; None where little or nothing is live."""
        found = [t["footprint_bytes"] / t["requested_bytes"] for t in self.trials
                 if t.get("footprint_bytes") and not self.arm.floor and
                 (t.get("requested_bytes") or 0) >= LIVE_LEAST]
        return stats.median(found) if found else None

    def lock_sum(self, member):
        """All locks of the subject together, median over trials."""
        sums = [sum(lock[member] for lock in t["locks"] if lock.get(member) is not None)
                for t in self.trials
                if any(lock.get(member) is not None for lock in t["locks"])]
        return stats.median(sums) if sums else None

    @property
    def copy_rate(self):
        """Bytes moved a second: of the calls of compact where they were timed, else of
        the time that the subject says its mover took. None where it knows neither."""
        rates = []
        for trial in self.trials:
            moved, spent = trial["counts"].get("moved_bytes"), 0
            if "compact" in trial["latency"]:
                calls = trial["latency"]["compact"]
                spent = calls.get("mean", 0) * calls["count"]
            elif not trial["counts"].get("compact"):
                spent = trial["counts"].get("mover_ns") or 0
            if moved and spent:
                rates.append(moved / spent * 1e9)
        return stats.median(rates) if rates else None

    @property
    def throughput(self):
        """Steps a second of all workers together."""
        rates = [t["steps"] / t["wall_ns"] * 1e9 for t in self.trials
                 if not t["timed"] and t.get("steps") and t.get("wall_ns")]
        return stats.median(rates) if rates else None


@dataclasses.dataclass
class Cell:
    """A workload with its options and its number of workers."""
    index: int
    section: str
    workload: str
    set: str
    options: dict
    workers: int
    measured: list  # Measured, in the order of the arms
    control: stats.Estimate = None  # the copy of the first arm against it
    baseline: Arm = None

    @property
    def title(self):
        return f"{self.section} {self.set}".strip()

    @property
    def figures(self):
        """Names of the workload's own figures, as they are set in any trial."""
        names = {}
        for measured in self.measured:
            for trial in measured.trials:
                names.update(dict.fromkeys(
                    name for name, value in trial.get("figures", {}).items()
                    if value is not None))
        return list(names)

    @property
    def resolved(self):
        """True, False, or None where no control was run or it had too few rounds."""
        if self.control is None or not self.control.known:
            return None
        width = self.control.high - self.control.low
        return self.control.low <= 1 <= self.control.high and width <= CONTROL_WIDTH

    @property
    def noise(self):
        """Differences up to this are not told apart from noise."""
        if self.control is None or not self.control.known:
            return NOISE_FLOOR
        return max(NOISE_FLOOR, (self.control.high - self.control.low) / 2)

    def of(self, label):
        return next((m for m in self.measured if m.arm.label == label), None)

    def ranked(self):
        """Shared subjects that were measured, the cheapest first."""
        found = [m for m in self.measured if m.cost and m.arm.shared and
                 not m.arm.control]
        return sorted(found, key=lambda m: m.cost.value)

    @property
    def operation(self):
        """The operation whose latency speaks for this workload."""
        counts = {}
        for measured in self.measured:
            for name, hist in measured.latency.items():
                counts[name] = counts.get(name, 0) + hist.count
        if counts.get("lock", 0) >= max(1, counts.get("alloc", 0)):
            return "lock"
        known = [name for name in LATENCY_OPS if name in counts]
        return known[0] if known else None


@dataclasses.dataclass
class Model:
    run: object
    arms: list
    cells: list
    baseline: Arm

    def sections(self):
        """Cells by section, in the order of the plan."""
        found = {}
        for cell in self.cells:
            found.setdefault(cell.section, []).append(cell)
        return found

    @property
    def subjects(self):
        """Arms without the A/A copy: shared first, then private, then the floor."""
        order = {"shared": 0, "private": 1, "floor": 2}
        arms = [arm for arm in self.arms if not arm.control]
        return sorted(arms, key=lambda arm: order[arm.kind])

    def cores(self):
        for name in ("cpus_online", "cpus", "cpu_count", "online_cpus"):
            value = self.run.manifest["environment"].get("facts", {}).get(name)
            if isinstance(value, (int, float)):
                return int(value)
        return None


def make_arms(manifest):
    subjects = {s["name"]: s for s in manifest["subjects"]}
    arms = []
    for row in manifest["plan"]["arms"]:
        subject = subjects.get(row["subject"], {})
        arms.append(Arm(
            label=row["label"], subject=row["subject"],
            version=row.get("version") or subject.get("version") or "",
            summary=subject.get("summary", ""), origin=subject.get("origin", ""),
            capabilities=tuple(subject.get("capabilities", ())),
            options=row.get("options", {}), control=bool(row.get("control")),
            missing=row.get("missing") or ""))
    return arms


def settle(measured, pairing, trials):
    """Fills one pairing from its trials; without any, the plan's word stands."""
    done = [t for t in trials if t["status"] == "ok"]
    measured.bad = [t for t in trials if t["status"] in ("failed", "hung")]
    measured.trials = [t for t in done if t["kept"]]
    measured.pilot_ns = pairing.get("pilot_ns")
    if measured.bad:
        measured.status = measured.bad[0]["status"]
        measured.reason = measured.bad[0]["detail"]
    elif measured.trials:
        measured.status = "ok"
    elif trials and trials[-1]["status"] in ("na", "skipped"):
        measured.status = trials[-1]["status"]
        measured.reason = trials[-1]["detail"]
    elif pairing.get("na") or measured.arm.missing:
        measured.status = "na"
        measured.reason = pairing.get("reason") or measured.arm.missing
    for trial in measured.trials:
        measured.work_scale = trial["work_scale"]
        if trial["timed"]:
            for name, latency in trial["latency"].items():
                measured.latency.setdefault(name, stats.Histogram()).add(latency)
        elif trial.get("wall_ns") and trial.get("steps"):
            measured.costs[trial["round"]] = (
                trial["wall_ns"] * trial["workers"] / trial["steps"])
    measured.cost = stats.estimate(measured.costs.values())
    measured.stamp_ns = measured.middle("stamp_ns")


def choose_baseline(arms, wanted):
    """The arm asked for; else the first that keeps contents; else the first."""
    if wanted:
        for arm in arms:
            if arm.label == wanted:
                return arm
        return None
    for arm in arms:
        if not arm.floor and not arm.control and not arm.missing:
            return arm
    return arms[0] if arms else None


def make(run, baseline=None):
    """The model of a run; None if the baseline that was asked for is not in it."""
    arms = make_arms(run.manifest)
    base = choose_baseline(arms, baseline)
    if base is None:
        return None
    by_pair = {}
    for trial in run.trials:
        if trial["round"] >= 0:
            by_pair.setdefault((trial["cell"], trial["arm"]), []).append(trial)
    cells = []
    for index, row in enumerate(run.manifest["plan"]["cells"]):
        pairings = {p["arm"]: p for p in row.get("pairings", [])}
        cell = Cell(index, row["section"], row["workload"], row.get("set", ""),
                    row.get("options", {}), row["workers"], [], baseline=base)
        for arm in arms:
            measured = Measured(arm)
            settle(measured, pairings.get(arm.label, {}),
                   by_pair.get((index, arm.label), []))
            cell.measured.append(measured)
        reference = cell.of(base.label)
        for measured in cell.measured:
            measured.ratio = stats.paired_ratio(reference.costs, measured.costs)
        copy = next((m for m in cell.measured if m.arm.control), None)
        if copy:
            first = next(m for m in cell.measured
                         if m.arm.subject == copy.arm.subject and not m.arm.control)
            cell.control = stats.paired_ratio(first.costs, copy.costs)
        cells.append(cell)
    return Model(run, arms, cells, base)
