# SPDX-License-Identifier: MIT
"""How often compare cries wolf, and how often it hears one: simulated comparisons.

Built on: compare_cells, which judges them as it judges runs. Not measured: noise is
drawn, with a fixed seed, from what is stated in NOISES; `rates.py RUN...` draws it from
the A/A control of run folders instead. Prints a table when run as a program:

    PYTHONPATH=scripts python3 -m shmbench_py.tests.rates [RUN...]

Why this shape: trials on a shared machine have heavy tails (Student's t with 3 degrees
of freedom, as logs), some rounds are disturbed as a whole (each arm by its own amount),
and the machine's speed wanders from trial to trial (a walk that all arms share, that
goes on between two runs, and that forgets within some MEMORY trials).
"""
import dataclasses
import math
import random
import sys

from shmbench_py import compare_cells, model, runfolder, stats

CELLS = 12   # of a comparison
ROUNDS = 20  # of profile ci
MEMORY = 100
TRIES = 300
STEP = compare_cells.metric("step")


@dataclasses.dataclass(frozen=True)
class Noise:
    """Shares as logs: 0.02 is 2 %."""
    name: str
    core: float      # scale of the t distribution of a trial
    disturbed: float  # share of rounds that are
    burst: float     # mean of what a trial of such a round costs more (exponential)
    wander: float    # standard deviation of a step of the walk, a trial


# busy: half of all rounds disturbed; then cells have to be given up, not guessed.
NOISES = (Noise("still", 0.01, 0.05, 0.10, 0.001),
          Noise("shared", 0.02, 0.10, 0.20, 0.002),
          Noise("restless", 0.04, 0.20, 0.30, 0.005),
          Noise("busy", 0.30, 0.50, 0.50, 0.020))


class Machine:
    """Trials of one machine, in the order of time."""

    def __init__(self, noise, draw):
        self.noise, self.draw, self.speed = noise, draw, 0.0

    def trial(self, disturbed):
        """The log of one trial's cost, over what it costs in silence."""
        noise, draw = self.noise, self.draw
        self.speed += draw.gauss(0, noise.wander) - self.speed / MEMORY
        scale = math.sqrt(draw.gammavariate(1.5, 2) / 3)
        burst = draw.expovariate(1 / noise.burst) if disturbed else 0.0
        return self.speed + noise.core * draw.gauss(0, 1) / scale + burst

    def arms(self, count, rounds):
        """For each arm: round to cost. The order within a round is drawn."""
        found = [{} for _ in range(count)]
        for turn in range(1, rounds + 1):
            disturbed = self.draw.random() < self.noise.disturbed
            for arm in self.draw.sample(range(count), count):
                found[arm][turn] = math.exp(self.trial(disturbed))
        return found


class Recorded:
    """Trials with the recorded noise of control arms: (log, log of the copy) by round.

    From one control at a time: a round's mean, and for each arm half the difference of
    the copies in some round, of either sign (times the root of 2, as the difference of
    two has twice the variance). So no arm differs from another.
    """

    def __init__(self, controls, draw):
        self.controls, self.draw = controls, draw

    def arms(self, count, rounds):
        control = self.draw.choice(self.controls)
        found = [{} for _ in range(count)]
        for turn in range(1, rounds + 1):
            level = sum(self.draw.choice(control)) / 2
            for arm in found:
                one, two = self.draw.sample(self.draw.choice(control), 2)
                arm[turn] = math.exp(level + (one - two) / math.sqrt(2))
        return found


def recorded(folders):
    """The controls of run folders, for Recorded."""
    found = []
    for folder in folders:
        for cell in model.make(runfolder.read(folder)).cells:
            copy = next((m for m in cell.measured if m.arm.control), None)
            if copy is None:
                continue
            original = next(m for m in cell.measured if not m.arm.control and
                            m.arm.subject == copy.arm.subject)
            pairs = [(math.log(original.costs[key]), math.log(copy.costs[key]))
                     for key in original.costs if key in copy.costs]
            if len(pairs) >= compare_cells.LEAST_ROUNDS:
                found.append(pairs)
    return found


def dearer(costs, factor):
    return {key: value * factor for key, value in costs.items()}


def line_within(machine, factor, rounds):
    """Base, its copy and a candidate, in one run."""
    base, copy, candidate = machine.arms(3, rounds)
    return compare_cells.Line(None, None, None, base, dearer(candidate, factor),
                              [stats.control(base, copy)])


def lines_across(machine, factors, rounds):
    """One subject and its copy, in two runs; every cell of A comes before B's."""
    runs = [[machine.arms(2, rounds) for _ in factors] for _ in range(2)]
    for factor, (base, copy), (other, again) in zip(factors, *runs):
        yield compare_cells.Line(
            None, None, None, base, dearer(other, factor),
            [stats.control(base, copy), stats.control(other, again)])


def comparison(machine, paired, planted=None, factor=1.0, rounds=ROUNDS):
    """The judged lines; the one at `planted` is dearer by `factor`."""
    factors = [factor if place == planted else 1.0 for place in range(CELLS)]
    if paired:
        lines = [line_within(machine, each, rounds) for each in factors]
    else:
        lines = list(lines_across(machine, factors, rounds))
    compare_cells.measure_all(lines, paired)
    compare_cells.judge(lines, STEP, compare_cells.WIDTH, 1 if paired else 2)
    return lines


@dataclasses.dataclass
class Rates:
    """Shares of comparisons, and of lines."""
    alarms: float      # comparisons without any difference that give exit status 3
    found: float       # comparisons whose planted slow-down is found
    unresolved: float  # lines of the quiet comparisons
    equal: float       # likewise


def rates(machine, paired, tries, factor=1.10):
    """machine: makes trials; a comparison starts where the last one ended."""
    alarms = found = unresolved = equal = 0
    for _ in range(tries):
        words = [line.verdict for line in comparison(machine, paired)]
        alarms += "slower" in words
        unresolved += words.count("unresolved")
        equal += words.count("equal")
        found += comparison(machine, paired, 0, factor)[0].verdict == "slower"
    return Rates(alarms / tries, found / tries, unresolved / tries / CELLS,
                 equal / tries / CELLS)


def table(machines, tries):
    yield (f"{tries} comparisons of {CELLS} cells, {ROUNDS} rounds; found: a slow-down "
           "of one cell by 10 %")
    yield (f"{'noise':10} {'runs':6} {'false exit 3':>12} {'found':>7} "
           f"{'unresolved':>11} {'equal':>7}")
    for machine, name in machines:
        for paired in (True, False):
            if not paired and isinstance(machine, Recorded):
                continue  # rounds of one run know nothing of the time between two
            rate = rates(machine, paired, tries)
            yield (f"{name:10} {'one' if paired else 'two':6} {rate.alarms:12.2%} "
                   f"{rate.found:7.1%} {rate.unresolved:11.1%} {rate.equal:7.1%}")


def main(folders):
    draw = random.Random(1)
    if folders:
        controls = recorded(folders)
        if not controls:
            print("no run of these has an A/A control", file=sys.stderr)
            return 1
        machines = [(Recorded(controls, draw), "recorded")]
    else:
        machines = [(Machine(noise, draw), noise.name) for noise in NOISES]
        print("\n".join(map(str, NOISES)))
    for text in table(machines, TRIES):
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
