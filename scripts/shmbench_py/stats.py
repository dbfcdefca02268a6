# SPDX-License-Identifier: MIT
"""Statistics that a noisy shared machine can bear: medians, signs, ranks, histograms.

Built on: the standard library. Units: whatever goes in; ratios are candidate / base.
Why this way: rounds are paired (all arms of a round ran close together), so that the
ratio within a round is what noise spoils least; the sign interval assumes nothing about
how the noise is distributed. Rounds of two runs have no partners, so there the shift
between the two samples is taken: the median of all differences, with the interval that
inverts the rank-sum test. It is exact for samples that differ in their place alone,
whatever their shape; unlike a bootstrap it keeps its level with ten rounds, and it has
no seed. It does not know of a machine that changed between the runs: that is what
`drift` and `common_spread` are for. Histograms are merged, never percentiles averaged.
Source: order statistic interval of the median and sign test, e.g. Conover, Practical
Nonparametric Statistics, 3.2 and 3.4; E. L. Lehmann, Nonparametric Confidence Intervals
for a Shift Parameter, Ann. Math. Statist. 34 (1963); H. B. Mann and D. R. Whitney, On
a Test of Whether One of Two Random Variables is Stochastically Larger, Ann. Math.
Statist. 18 (1947); B. Efron, Large-Scale Simultaneous Hypothesis Testing: The Choice of
a Null Hypothesis, J. Am. Stat. Assoc. 99 (2004), for taking the noise between two runs
from the many comparisons in which nothing changed; Y. Benjamini and Y. Hochberg,
Controlling the False Discovery Rate, J. R. Statist. Soc. B 57 (1995); histogram scheme
of HdrHistogram.
"""
import bisect
import dataclasses
import functools
import math

TAIL_RECORDS = 10  # a percentile needs so many records beyond it
CONFIDENCE = 0.95
NORMAL_MEDIAN = 1.4826  # standard deviation over median distance, of a normal law
WIDE = 0.99        # for what is asked of many cells and should seldom fail by chance


def median(values):
    """Of at least one value."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def sign_ranks(count, confidence=CONFIDENCE):
    """Ranks (low, high), from 1, of the values that enclose the median; the coverage.

    The interval from k-th smallest to k-th largest of n values covers the median
    with probability 1 - 2 P(Binomial(n, 1/2) < k). The largest k that keeps
    `confidence` is taken; None where even the extremes do not reach it (n < 6 for
    95 %).
    """
    below, best = 0, None
    for rank in range(1, count // 2 + 1):
        below += math.comb(count, rank - 1)
        coverage = 1 - 2 * below / 2**count
        if coverage < confidence:
            break
        best = (rank, count + 1 - rank, coverage)
    return best


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A median with its exact interval; low and high are None where n is too small."""
    value: float
    low: float
    high: float
    count: int

    @property
    def known(self):
        return self.low is not None

    def beyond(self, floor):
        """-1 or +1 if a ratio's interval lies wholly beyond 1 -/+ floor, else 0."""
        if not self.known:
            return 0
        return -1 if self.high < 1 - floor else 1 if self.low > 1 + floor else 0

    def inside(self, floor):
        """Does a ratio's interval lie wholly within 1 -/+ floor?"""
        return self.known and 1 - floor <= self.low and self.high <= 1 + floor


def estimate(values, confidence=CONFIDENCE):
    """Median and interval of the values, or None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    ranks = sign_ranks(len(ordered), confidence)
    low = ordered[ranks[0] - 1] if ranks else None
    high = ordered[ranks[1] - 1] if ranks else None
    return Estimate(median(ordered), low, high, len(ordered))


def paired_ratio(base, candidate, confidence=CONFIDENCE):
    """candidate / base over the rounds that both have, or None without a common round.

    Both map a round to a positive cost. exp of the median log ratio.
    """
    logs = [math.log(candidate[key] / base[key]) for key in base if key in candidate
            if base[key] > 0 and candidate[key] > 0]
    return exponential(estimate(logs, confidence))


def exponential(found):
    """An estimate of a log ratio as one of the ratio."""
    if found is None or not found.known:
        return found and Estimate(math.exp(found.value), None, None, found.count)
    return Estimate(math.exp(found.value), math.exp(found.low), math.exp(found.high),
                    found.count)


def sign_tails(values, margin=0.0):
    """Sign tests of the median: p of 'not above margin', p of 'not below -margin'.

    A value on the margin counts for 'not'. Both are 1 without values.
    """
    count = len(values)

    def tail(hits):
        return sum(math.comb(count, k) for k in range(hits, count + 1)) / 2**count

    return (tail(sum(v > margin for v in values)),
            tail(sum(v < -margin for v in values)))


@functools.lru_cache(maxsize=64)
def rank_sum_counts(first, second):
    """How many of the orders of two samples have U = 0, 1, ... first * second.

    U is the number of pairs in which the second sample's value is the larger. The
    generating function is the Gaussian binomial coefficient; numbers are exact.
    """
    size = first * second + 1
    counts = [1] + [0] * (size - 1)
    for step in range(1, first + 1):
        for place in range(size - 1, second + step - 1, -1):
            counts[place] -= counts[place - second - step]
        for place in range(step, size):
            counts[place] += counts[place - step]
    return tuple(counts)


@functools.lru_cache(maxsize=64)
def rank_sum_tails(first, second):
    """P(U >= u) for u = 0 .. first * second."""
    counts, found, above = rank_sum_counts(first, second), [], 0
    total = math.comb(first + second, first)
    for number in reversed(counts):
        above += number
        found.append(above / total)
    return tuple(reversed(found))


def shift_tails(base, candidate, margin=0.0):
    """Rank-sum tests of the shift: p of 'not above margin', p of 'not below -margin'.

    A tie counts for 'not'. Both are 1 without values.
    """
    if not base or not candidate:
        return 1.0, 1.0
    tails = rank_sum_tails(len(base), len(candidate))
    ordered = sorted(candidate)
    above = sum(len(ordered) - bisect.bisect_right(ordered, b + margin) for b in base)
    below = sum(bisect.bisect_left(ordered, b - margin) for b in base)
    return tails[above], tails[below]


def shift_estimate(base, candidate, confidence=CONFIDENCE):
    """By how much the candidate lies above the base; count is the smaller sample's.

    Median of all differences; from the k-th smallest to the k-th largest of them, with
    the largest k for which P(U < k) is at most half of what `confidence` leaves.
    """
    if not base or not candidate:
        return None
    differences = sorted(c - b for b in base for c in candidate)
    fewer, rank = min(len(base), len(candidate)), 0
    tails = rank_sum_tails(len(base), len(candidate))
    # P(U < k) = P(U > mn - k): U is distributed symmetrically.
    while rank < len(differences) // 2 and (
            tails[len(differences) - rank] <= (1 - confidence) / 2):
        rank += 1
    if not rank:
        return Estimate(median(differences), None, None, fewer)
    return Estimate(median(differences), differences[rank - 1], differences[-rank],
                    fewer)


def false_discovery(chances):
    """Benjamini and Hochberg's adjusted p, in the order given."""
    order = sorted(range(len(chances)), key=lambda index: chances[index], reverse=True)
    found, least = [0.0] * len(chances), 1.0
    for place, index in enumerate(order):
        least = min(least, chances[index] * len(chances) / (len(chances) - place))
        found[index] = least
    return found


def halves(costs):
    """Rounds of the first and of the second half, in time; an odd one goes last."""
    rounds = sorted(costs)
    middle = len(rounds) // 2
    return ({key: costs[key] for key in rounds[:middle]},
            {key: costs[key] for key in rounds[middle:]})


def drift(costs):
    """How far apart the halves of the rounds lie: |log| of the ratio of medians."""
    parts = [[math.log(v) for v in half.values() if v > 0] for half in halves(costs)]
    if not all(parts):
        return 0.0
    return abs(median(parts[1]) - median(parts[0]))


def common_spread(ratios):
    """How far ratios of which most should be 1 lie from it: a standard deviation.

    Of the logs, by the median of their distances from 0: less than half of them may be
    true differences without moving it much. 0 without ratios.
    """
    distances = [abs(math.log(ratio)) for ratio in ratios]
    return NORMAL_MEDIAN * median(distances) if distances else 0.0


@dataclasses.dataclass(frozen=True)
class Difference:
    """candidate / base with what speaks for a difference beyond a noise floor.

    p is that of 'no further from 1 than the floor', two-sided; parts are the ratios of
    sets of rounds that have none in common, which must all agree.
    """
    ratio: Estimate
    p: float
    parts: tuple

    def agreed(self, floor):
        """-1 or +1 if every part lies beyond the floor on that side, else 0."""
        if all(part > 1 + floor for part in self.parts):
            return 1
        return -1 if all(part < 1 - floor for part in self.parts) else 0


@dataclasses.dataclass(frozen=True)
class Control:
    """A copy of an arm held against it: what the noise does where nothing differs.

    ratio is the copy's to its original; `wide` the same with WIDE confidence. That 1
    lies outside is asked of the wide one: at 95 % one quiet cell in twenty would be
    given up for nothing.
    """
    ratio: Estimate
    wide: Estimate

    @property
    def known(self):
        return self.ratio.known

    @property
    def width(self):
        return self.ratio.high - self.ratio.low

    @property
    def off(self):
        """Is the copy told apart from its original?"""
        found = self.wide if self.wide.known else self.ratio
        return not found.low <= 1 <= found.high


def control(base, copy):
    """Both map a round to a cost. None: no common round."""
    found = paired_ratio(base, copy)
    return found and Control(found, paired_ratio(base, copy, WIDE))


def margins(floor):
    """The floor as log ratios: dearer than 1 + floor, cheaper than 1 - floor."""
    return math.log(1 + floor), -math.log(1 - floor)


def paired_difference(base, candidate, floor):
    """Of two arms of one run; both map a round to a cost. None: no common round."""
    ratio = paired_ratio(base, candidate)
    if ratio is None:
        return None
    logs = {key: math.log(candidate[key] / base[key]) for key in base
            if key in candidate and base[key] > 0 and candidate[key] > 0}
    up, down = margins(floor)
    values = list(logs.values())
    p = min(sign_tails(values, up)[0], sign_tails(values, down)[1])
    parts = tuple(math.exp(median(half.values())) for half in halves(logs) if half)
    return Difference(ratio, min(1.0, 2 * p), parts)


def unpaired_difference(base, candidate, floor):
    """Of two runs: every half of the one is held against every half of the other."""

    def logs(costs):
        return [math.log(v) for v in costs.values() if v > 0]

    first, second = logs(base), logs(candidate)
    ratio = exponential(shift_estimate(first, second))
    if ratio is None:
        return None
    up, down = margins(floor)
    p = min(shift_tails(first, second, up)[0], shift_tails(first, second, down)[1])
    parts = tuple(math.exp(median(two) - median(one))
                  for one in map(logs, halves(base)) if one
                  for two in map(logs, halves(candidate)) if two)
    return Difference(ratio, min(1.0, 2 * p), parts)


class Histogram:
    """Merged latency records of one operation: sorted values with their counts."""

    def __init__(self):
        self.slots = {}
        self.count = 0
        self.overflow = 0
        self.max = 0.0
        self._values = self._totals = None

    def add(self, latency):
        """Adds one `latency` member of a trial."""
        for value, count in latency["hist"]:
            self.slots[value] = self.slots.get(value, 0) + count
        self.count += latency["count"]
        self.overflow += latency.get("overflow", 0)
        self.max = max(self.max, latency["max"])
        self._values = None

    def _prepare(self):
        if self._values is None:
            self._values, self._totals, total = sorted(self.slots), [], 0
            for value in self._values:
                total += self.slots[value]
                self._totals.append(total)

    def quantile(self, share):
        """The value that `share` of the records do not exceed; None where fewer than
        TAIL_RECORDS lie beyond it, or where it lies above the histogram's range."""
        rank = max(1, math.ceil(share * self.count - 1e-9))
        if self.count - rank < TAIL_RECORDS:
            return None
        self._prepare()
        place = bisect.bisect_left(self._totals, rank)
        return self._values[place] if place < len(self._values) else None

    def curve(self):
        """Points (share of records not above, value), as far as percentiles go."""
        self._prepare()
        points = [(total / self.count, value)
                  for value, total in zip(self._values, self._totals)
                  if self.count - total >= TAIL_RECORDS]
        last = 1 - TAIL_RECORDS / self.count if self.count > TAIL_RECORDS else 0
        value = self.quantile(last) if last > 0 else None
        if value is not None and (not points or points[-1][0] < last):
            points.append((last, value))
        return points
