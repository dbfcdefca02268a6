# SPDX-License-Identifier: MIT
"""Statistics that a noisy shared machine can bear: medians, signs, merged histograms.

Built on: the standard library. Units: whatever goes in; ratios are candidate / base.
Why this way: rounds are paired (all arms of a round ran close together), so that the
ratio within a round is what noise spoils least; the sign interval assumes nothing about
how the noise is distributed. Histograms are merged, never percentiles averaged.
Source: order statistic interval of the median, e.g. Conover, Practical Nonparametric
Statistics, 3.2; histogram scheme of HdrHistogram.
"""
import bisect
import dataclasses
import math

TAIL_RECORDS = 10  # a percentile needs so many records beyond it
CONFIDENCE = 0.95


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
    found = estimate(logs, confidence)
    if found is None:
        return None
    if not found.known:
        return Estimate(math.exp(found.value), None, None, found.count)
    return Estimate(math.exp(found.value), math.exp(found.low), math.exp(found.high),
                    found.count)


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
