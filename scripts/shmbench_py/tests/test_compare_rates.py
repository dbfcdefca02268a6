# SPDX-License-Identifier: MIT
"""compare neither cries wolf nor stays silent: rates over drawn noise, by fixed seeds.

Few comparisons, for speed; rates.py prints the table of many. The tenth is asked for
where the machine is still enough that cells are resolved at all; where it is not, they
have to be given up as unresolved, and no comparison may end with exit status 3.
"""
import random
import unittest

from shmbench_py.tests import rates

STILL, SHARED, RESTLESS, BUSY = rates.NOISES
TRIES = 100


class Rates(unittest.TestCase):
    def rates(self, noise, paired, tries=TRIES):
        found = rates.rates(rates.Machine(noise, random.Random(20)), paired, tries)
        self.assertLessEqual(found.alarms, 0.01)
        return found

    def test_a_tenth_is_found_within_a_run(self):
        found = self.rates(STILL, True)
        self.assertGreaterEqual(found.found, 0.95)
        self.assertGreater(found.equal, 0.5)

    def test_a_tenth_is_found_between_runs(self):
        self.assertGreaterEqual(self.rates(STILL, False).found, 0.95)

    def test_noise_is_unresolved_not_equal(self):
        for noise in (RESTLESS, BUSY):
            for paired in (True, False):
                with self.subTest(noise=noise.name, paired=paired):
                    found = self.rates(noise, paired, 25)
                    self.assertGreater(found.unresolved, 0.95)
                    self.assertLess(found.equal, 0.02)

    def test_a_machine_that_changed_between_runs_is_no_regression(self):
        """B is a tenth slower as a whole, more or less by cell: 3 % apart."""
        draw = random.Random(21)
        for _ in range(50):
            lines = list(rates.lines_across(
                rates.Machine(STILL, draw),
                [1.1 * draw.lognormvariate(0, 0.03) for _ in range(rates.CELLS)],
                rates.ROUNDS))
            rates.compare_cells.measure_all(lines, False)
            rates.compare_cells.judge(lines, rates.STEP, rates.compare_cells.WIDTH, 2)
            self.assertNotIn("slower", [line.verdict for line in lines])

    def test_recorded_noise_is_drawn_alike_for_all_arms(self):
        controls = [[(0.0, 0.02), (0.5, -0.3), (0.1, 0.1), (-0.2, 0.2), (0.0, 0.9),
                     (0.3, 0.0)]]
        machine = rates.Recorded(controls, random.Random(22))
        found = rates.rates(machine, True, 50)
        self.assertEqual(found.alarms, 0)


if __name__ == "__main__":
    unittest.main()
