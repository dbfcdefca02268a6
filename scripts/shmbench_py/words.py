# SPDX-License-Identifier: MIT
"""Figures as text: three digits, the unit that fits, a dash where none was measured."""

DASH = "–"


def digits(value, count=3):
    """`value` to so many significant digits, without an exponent."""
    if value == 0:
        return "0"
    # The exponent after rounding: 9.996 has the digits of 10.0.
    exponent = int(f"{value:.{count - 1}e}".split("e")[1])
    return f"{value:.{max(0, count - 1 - exponent)}f}"


def scaled(value, steps):
    if value is None:
        return DASH
    for factor, unit in steps:
        if abs(value) >= factor * 0.9995:  # rounds to 1.00 of this unit
            return f"{digits(value / factor)} {unit}"
    factor, unit = steps[-1]
    return f"{digits(value / factor)} {unit}"


def time(ns):
    return scaled(ns, ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")))


def size(count):
    if count is not None and count < 1024:
        return f"{count:.0f} B"
    return scaled(count, ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")))


def rate(per_second):
    return scaled(per_second, ((1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1, "/s")))


def count(value):
    return DASH if value is None else f"{value:,.0f}"


def ratio(value):
    if value is None:
        return DASH
    return f"{value:.2f}×" if value < 10 else f"{digits(value)}×"


def interval(estimate):
    """[low, high] of a ratio, or nothing where there are too few rounds."""
    if estimate is None or not estimate.known:
        return ""
    short = [f"{v:.2f}" if v < 10 else digits(v) for v in (estimate.low, estimate.high)]
    return f"{short[0]}–{short[1]}"


def plural(number, one, many=None):
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def share(value):
    """A share of the work: 1/16, or 0.30."""
    whole = round(1 / value) if value > 0 else 0
    if whole and abs(1 / value - whole) < 0.01 * whole:
        return f"1/{whole}"
    return f"{value:.2g}"
