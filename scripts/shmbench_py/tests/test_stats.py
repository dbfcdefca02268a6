# SPDX-License-Identifier: MIT
"""Known answers for the statistics, some of them from scipy."""
import math
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


class SignTests(unittest.TestCase):
    def test_tails_are_the_binomial_s(self):
        draw = random.Random(11)
        for count in range(1, 41):
            values = [draw.gauss(0.1, 1) for _ in range(count)]
            for margin in (0, 0.2):
                above, below = stats.sign_tails(values, margin)
                for tail, hits in ((above, sum(v > margin for v in values)),
                                   (below, sum(v < -margin for v in values))):
                    exact = known.binomtest(hits, count, 0.5, alternative="greater")
                    self.assertAlmostEqual(tail, exact.pvalue, places=12)

    def test_agree_with_the_interval(self):
        """Rejected at 2.5 % exactly where the interval of 95 % lies beyond."""
        draw = random.Random(12)
        for _ in range(300):
            values = [draw.gauss(0.3, 1) for _ in range(draw.randrange(6, 41))]
            found = stats.estimate(values)
            above, below = stats.sign_tails(values)
            self.assertEqual(above <= 0.025, found.low > 0)
            self.assertEqual(below <= 0.025, found.high < 0)

    def test_on_the_margin_counts_for_nothing(self):
        self.assertEqual(stats.sign_tails([0.0] * 20), (1.0, 1.0))
        self.assertEqual(stats.sign_tails([]), (1.0, 1.0))


class Shifts(unittest.TestCase):
    # Permeability of the human chorioamnion, Hollander and Wolfe, example 4.1: shift,
    # interval and p as R's wilcox.test prints them.
    TERM = (0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46)
    EARLY = (1.15, 0.88, 0.90, 0.74, 1.21)

    def test_of_the_textbook(self):
        found = stats.shift_estimate(self.EARLY, self.TERM)
        self.assertAlmostEqual(found.value, 0.305)
        self.assertAlmostEqual(found.low, -0.15)
        self.assertAlmostEqual(found.high, 0.76)
        self.assertAlmostEqual(stats.shift_tails(self.EARLY, self.TERM)[0], 0.1272,
                               places=4)

    def test_tails_are_those_of_mann_and_whitney(self):
        draw = random.Random(13)
        for first, second in ((1, 1), (2, 9), (5, 5), (8, 3), (20, 20), (9, 40)):
            one = [draw.gauss(0, 1) for _ in range(first)]
            two = [draw.gauss(0.5, 1) for _ in range(second)]
            for margin in (0, 0.25):
                for tail, shifted, side in zip(
                        stats.shift_tails(one, two, margin),
                        ([v - margin for v in two], [v + margin for v in two]),
                        ("greater", "less")):
                    exact = known.mannwhitneyu(shifted, one, alternative=side,
                                               method="exact")
                    self.assertAlmostEqual(tail, exact.pvalue, places=12)

    def test_counts_add_up_to_all_orders(self):
        for first, second in ((0, 4), (3, 4), (20, 20)):
            counts = stats.rank_sum_counts(first, second)
            self.assertEqual(sum(counts), math.comb(first + second, first))
            self.assertEqual(counts, counts[::-1])

    def test_interval_is_the_inverted_test(self):
        """Outside of it the test of the shifted samples rejects, inside it does not."""
        draw = random.Random(14)
        for _ in range(60):
            one = [draw.gauss(0, 1) for _ in range(draw.randrange(6, 25))]
            two = [draw.gauss(0, 1) for _ in range(draw.randrange(6, 25))]
            found = stats.shift_estimate(one, two)
            for end, out in ((found.low, -1e-9), (found.high, 1e-9)):
                for step, rejected in ((out, True), (-out, False)):
                    p = known.mannwhitneyu([v - end - step for v in two], one,
                                           method="exact").pvalue
                    self.assertEqual(p <= 0.05, rejected)

    def test_interval_covers_as_often_as_it_says(self):
        draw, inside = random.Random(15), 0
        for _ in range(1000):
            one = [draw.lognormvariate(0, 1) for _ in range(9)]
            two = [draw.lognormvariate(0, 1) + 2 for _ in range(9)]
            found = stats.shift_estimate(one, two)
            inside += found.low <= 2 <= found.high
        # 96.0 % exactly; 1000 draws stay within 4 standard errors of that.
        self.assertAlmostEqual(inside / 1000, 0.960, delta=0.025)

    def test_too_few_values_have_no_interval(self):
        self.assertFalse(stats.shift_estimate([1, 2, 3], [4, 5, 6]).known)
        self.assertTrue(stats.shift_estimate([1, 2, 3, 4], [4, 5, 6, 7]).known)
        self.assertIsNone(stats.shift_estimate([], [1]))
        self.assertEqual(stats.shift_tails([], [1]), (1.0, 1.0))

    def test_ties_decide_nothing(self):
        self.assertEqual(stats.shift_tails([1.0] * 9, [1.0] * 9), (1.0, 1.0))


class ManyCells(unittest.TestCase):
    # The example of Benjamini and Hochberg (1995), section 4: four of fifteen at 5 %.
    CHANCES = (0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459,
               0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000)

    def test_of_the_paper(self):
        found = stats.false_discovery(self.CHANCES)
        self.assertEqual(sum(p <= 0.05 for p in found), 4)
        self.assertAlmostEqual(found[3], 0.0095 * 15 / 4)

    def test_in_the_order_given_and_never_below_p(self):
        draw = random.Random(16)
        mixed = list(self.CHANCES)
        draw.shuffle(mixed)
        adjusted = dict(zip(self.CHANCES, stats.false_discovery(self.CHANCES)))
        self.assertEqual(stats.false_discovery(mixed), [adjusted[p] for p in mixed])
        for p, adjusted_p in adjusted.items():
            self.assertGreaterEqual(adjusted_p, p)
        self.assertEqual(stats.false_discovery([]), [])

    @unittest.skipUnless(hasattr(known, "false_discovery_control"), "scipy before 1.11")
    def test_as_scipy(self):
        for one, two in zip(stats.false_discovery(self.CHANCES),
                            known.false_discovery_control(self.CHANCES)):
            self.assertAlmostEqual(one, two)

    def test_by_the_step_up_rule(self):
        """The other form of it: the largest k with p(k) <= k q / m, by counting."""
        draw = random.Random(17)
        for _ in range(200):
            chances = [draw.random() ** 3 for _ in range(draw.randrange(1, 30))]
            ordered = sorted(chances)
            most = max((k for k in range(1, len(ordered) + 1)
                        if ordered[k - 1] <= 0.05 * k / len(ordered)), default=0)
            found = stats.false_discovery(chances)
            self.assertEqual(sum(p <= 0.05 for p in found), most)

    def test_spread_of_what_is_alike(self):
        draw = random.Random(18)
        alike = [math.exp(draw.gauss(0, 0.03)) for _ in range(4000)]
        self.assertAlmostEqual(stats.common_spread(alike), 0.03, delta=0.002)
        # A third that truly differs does not double it.
        self.assertLess(stats.common_spread(alike + [1.5] * 2000), 0.06)
        self.assertEqual(stats.common_spread([]), 0.0)


class Differences(unittest.TestCase):
    def test_parts_are_halves_in_time(self):
        base = {r: 1.0 for r in range(1, 21)}
        late = {r: 1.0 if r <= 10 else 1.3 for r in base}
        self.assertEqual(stats.paired_difference(base, late, 0.02).agreed(0.02), 0)
        found = stats.unpaired_difference(base, late, 0.02)
        self.assertEqual((len(found.parts), found.agreed(0.02)), (4, 0))
        all_ = {r: 1.3 for r in base}
        self.assertEqual(stats.paired_difference(base, all_, 0.02).agreed(0.02), 1)
        self.assertEqual(stats.unpaired_difference(all_, base, 0.02).agreed(0.02), -1)
        self.assertAlmostEqual(stats.drift(late), math.log(1.3))
        self.assertEqual(stats.drift({1: 5.0}), 0.0)

    def test_p_is_of_the_floor(self):
        draw = random.Random(19)
        base = {r: draw.lognormvariate(0, 0.01) for r in range(20)}
        more = {r: v * 1.03 for r, v in base.items()}
        for difference in (stats.paired_difference, stats.unpaired_difference):
            self.assertLess(difference(base, more, 0.02).p, 0.05)
            self.assertEqual(difference(base, more, 0.05).p, 1.0)
            self.assertIsNone(difference({}, more, 0.02))

    def test_inside(self):
        found = stats.Estimate(1.0, 0.985, 1.019, 20)
        self.assertTrue(found.inside(0.02))
        self.assertFalse(found.inside(0.016))
        self.assertFalse(stats.Estimate(1.0, None, None, 3).inside(0.5))


class Controls(unittest.TestCase):
    def test_off_by_the_wide_interval(self):
        base = {r: 1.0 for r in range(20)}
        # Five below, fifteen above: outside of 95 %, inside of 99 %.
        some = {r: 0.9 if r < 5 else 1.1 for r in base}
        found = stats.control(base, some)
        self.assertGreater(found.ratio.low, 1)
        self.assertFalse(found.off)
        most = {r: 0.9 if r < 3 else 1.1 for r in base}
        self.assertTrue(stats.control(base, most).off)
        self.assertIsNone(stats.control(base, {}))


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
