# SPDX-License-Identifier: MIT
"""Known answers for the statistics, some of them from scipy."""
import random
import unittest

from scipy import stats as known

from shmbench_py import stats


class Signs(unittest.TestCase):
    def test_too_few_values_have_no_interval(self):
        for count in range(6):
            self.assertIsNone(stats.sign_ranks(count))
        self.assertIsNone(stats.estimate([1, 2, 3, 4, 5]).low)
        self.assertIsNone(stats.estimate([]))

    def test_ranks_of_the_tables(self):
        # Order-statistic intervals of the median, as printed in textbooks.
        for count, low, high in ((6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9),
                                 (15, 4, 12), (20, 6, 15), (25, 8, 18), (40, 14, 27)):
            self.assertEqual(stats.sign_ranks(count)[:2], (low, high), count)

    def test_coverage_is_the_binomial_s(self):
        for count in range(6, 60):
            low, high, coverage = stats.sign_ranks(count)
            exact = known.binom.cdf(high - 1, count, 0.5) - known.binom.cdf(
                low - 1, count, 0.5)
            self.assertAlmostEqual(coverage, exact, places=12)
            self.assertGreaterEqual(coverage, stats.CONFIDENCE)
            # One rank further in would not keep the confidence.
            inner = 1 - 2 * known.binom.cdf(low, count, 0.5)
            self.assertLess(inner, stats.CONFIDENCE)

    def test_interval_covers_as_often_as_it_says(self):
        draw, inside = random.Random(7), 0
        for _ in range(2000):
            found = stats.estimate([draw.lognormvariate(0, 1) for _ in range(9)])
            inside += found.low <= 1 <= found.high
        # 96.1 % exactly; 2000 draws stay within 4 standard errors of that.
        self.assertAlmostEqual(inside / 2000, 0.961, delta=0.018)


class Ratios(unittest.TestCase):
    def test_paired_by_round(self):
        base = {r: 100.0 * r for r in range(1, 10)}
        candidate = {r: 110.0 * r for r in range(1, 10)}
        candidate[99] = 1e9  # a round that the base does not have
        found = stats.paired_ratio(base, candidate)
        self.assertAlmostEqual(found.value, 1.1)
        self.assertAlmostEqual(found.low, 1.1)
        self.assertEqual(found.count, 9)
        self.assertEqual(found.beyond(0.02), 1)
        self.assertEqual(found.beyond(0.15), 0)
        self.assertEqual(stats.paired_ratio(candidate, base).beyond(0.02), -1)

    def test_no_common_round(self):
        self.assertIsNone(stats.paired_ratio({1: 1.0}, {2: 1.0}))

    def test_few_rounds_decide_nothing(self):
        found = stats.paired_ratio({1: 1.0, 2: 1.0}, {1: 9.0, 2: 9.0})
        self.assertAlmostEqual(found.value, 9)
        self.assertEqual(found.beyond(0.02), 0)

    def test_is_the_inverse_the_other_way(self):
        draw = random.Random(3)
        one = {r: draw.uniform(1, 2) for r in range(20)}
        two = {r: draw.uniform(1, 2) for r in range(20)}
        there, back = stats.paired_ratio(one, two), stats.paired_ratio(two, one)
        self.assertAlmostEqual(there.value * back.value, 1)
        self.assertAlmostEqual(there.low * back.high, 1)


class Histograms(unittest.TestCase):
    @staticmethod
    def of(pairs):
        found = stats.Histogram()
        found.add({"hist": pairs, "count": sum(n for _, n in pairs),
                   "max": pairs[-1][0]})
        return found

    def test_ten_records_beyond(self):
        found = self.of([[value, 1] for value in range(1, 1001)])
        self.assertEqual(found.quantile(0.5), 500)
        self.assertEqual(found.quantile(0.99), 990)    # ten lie beyond
        self.assertIsNone(found.quantile(0.991))       # nine lie beyond
        self.assertIsNone(found.quantile(0.999))

    def test_merging_is_adding(self):
        draw = random.Random(5)
        values = sorted(draw.randrange(1, 5000) for _ in range(4000))
        whole, parts = self.of([[v, 1] for v in values]), stats.Histogram()
        for part in (values[::2], values[1::2]):
            parts.add({"hist": [[v, 1] for v in part], "count": len(part),
                       "max": part[-1]})
        for share in (0.01, 0.5, 0.9, 0.99):
            self.assertEqual(parts.quantile(share), whole.quantile(share))
            rank = max(1, round(share * len(values)))
            self.assertEqual(whole.quantile(share), values[rank - 1])
        self.assertEqual(parts.max, values[-1])

    def test_overflow_has_no_value(self):
        found = stats.Histogram()
        found.add({"hist": [[10, 50]], "count": 100, "overflow": 50, "max": 9e9})
        self.assertEqual(found.quantile(0.5), 10)
        self.assertIsNone(found.quantile(0.6))

    def test_curve_ends_where_percentiles_do(self):
        found = self.of([[value, 1] for value in range(1, 1001)])
        shares = [share for share, _ in found.curve()]
        self.assertEqual(shares, sorted(shares))
        self.assertAlmostEqual(shares[-1], 0.99)


if __name__ == "__main__":
    unittest.main()
