# SPDX-License-Identifier: MIT
"""The plots of a report, one small panel each, drawn once for page and files.

Built on: model, matplotlib (its Agg and SVG back ends, no display). Units: on the axes.
Why this way: small panels flow into as many columns as the window has room for, so text
stays readable on a phone; lines are labelled where they end, so nobody matches colours
with a legend; colours are written as CSS variables into the page, so that one drawing
serves light and dark. The same input gives the same bytes.
"""
import dataclasses
import io
import math
import re

import matplotlib

matplotlib.use("Agg")
# pylint: disable=wrong-import-position
from matplotlib import pyplot  # noqa: E402
from matplotlib import ticker  # noqa: E402

from shmbench_py import words  # noqa: E402
from shmbench_py.model import LIVE_LEAST  # noqa: E402

# As drawn in the files; the page replaces each by a variable that report.css sets.
INK, MUTED, GRID, FILL = "#1a1d21", "#5c6370", "#d9dde3", "#e3e7ec"
PALETTE = ("#2563a8", "#c4570a", "#2e7d32", "#7b3fa0", "#b3261e", "#007c89", "#7a6a00",
           "#b8317a", "#6d4c41", "#3f51b5")
FLOOR = "#8a8f98"
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", FILL: "fill", FLOOR: "floor",
             **{colour: f"s{index}" for index, colour in enumerate(PALETTE)}}
FONTS = "'DejaVu Sans',Verdana,system-ui,sans-serif"
WIDTH, HEIGHT = 5.0, 3.1  # inches
GAP = 10.0                # points between labels at the line ends
PERCENTILES = (0, 50, 90, 99, 99.9, 99.99, 99.999)

matplotlib.rcParams.update({
    "svg.hashsalt": "shmbench", "svg.fonttype": "none", "font.family": "DejaVu Sans",
    "font.size": 9, "axes.edgecolor": MUTED, "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.grid": True,
    "grid.color": GRID, "grid.linewidth": 0.7, "axes.spines.top": False,
    "axes.spines.right": False, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.linewidth": 0.8, "lines.linewidth": 1.6,
    "axes.axisbelow": True, "path.simplify": False, "figure.facecolor": "none",
    "axes.facecolor": "none"})


@dataclasses.dataclass
class Panel:
    """One drawing: its name is that of its files, `svg` is for the page."""
    kind: str
    name: str
    alt: str
    svg: str


class Styles:
    """Colour and dash of each arm: by its place among the run's subjects."""

    def __init__(self, model):
        self.colours = {}
        plain = [arm for arm in model.arms if not arm.floor and not arm.control]
        for index, arm in enumerate(plain):
            self.colours[arm.label] = PALETTE[index % len(PALETTE)]

    def colour(self, arm):
        return self.colours.get(arm.label, FLOOR)

    @staticmethod
    def dash(arm):
        return {"shared": "-", "private": (0, (4, 2)), "floor": (0, (1, 1.5))}[arm.kind]

    def variable(self, arm):
        return VARIABLES[self.colour(arm)]


def page_svg(text, prefix):
    """The drawing for the page: no prolog, own ids, colours as variables."""
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # Its style would hold for the whole page; report.css has it for drawings.
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)
    # The root's own size would win over the page's.
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(|xlink:href=")#', rf"\1#{prefix}-", text)
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r">\s+<", "><", text).strip()


def finish(figure, folder, kind, name, alt):
    """Writes PNG and SVG (white behind them) and returns the panel for the page."""
    stem = f"{kind}-{name}"
    figure.savefig(folder / f"{stem}.png", dpi=160, metadata={"Software": None},
                   facecolor="white")
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = drawing.getvalue().replace("'DejaVu Sans'", FONTS)
    sheet = '<g id="figure_1">\n  <rect width="100%" height="100%" fill="white"/>'
    (folder / f"{stem}.svg").write_text(
        text.replace('<g id="figure_1">', sheet, 1), encoding="utf-8")
    return Panel(kind, stem, alt, page_svg(text, stem))


def new_panel(title, height=HEIGHT, left=0.15, right=0.74):
    figure, axes = pyplot.subplots(figsize=(WIDTH, height))
    figure.subplots_adjust(left=left, right=right, top=1 - 0.34 / height,
                           bottom=0.5 / height)
    axes.set_title(title, pad=8, x=-(left - 0.02) / (right - left))
    return figure, axes


def label_ends(axes, ends):
    """Names each line at the right edge, pushed apart where they would overlap.

    ends: (y in data, text, colour) of each line's last point.
    """
    if not ends:
        return
    box = axes.bbox
    point = axes.figure.dpi / 72
    rows = sorted((axes.transData.transform((1, y))[1], text, colour)
                  for y, text, colour in ends)
    places = [min(max(row[0], box.y0), box.y1) for row in rows]
    for _ in range(200):
        moved = False
        for low in range(len(places) - 1):
            short = GAP * point - (places[low + 1] - places[low])
            if short > 0.01:
                places[low] -= short / 2
                places[low + 1] += short / 2
                moved = True
        shift = max(0, box.y0 - places[0]) or min(0, box.y1 + 6 * point - places[-1])
        places = [place + shift for place in places]
        if not moved:
            break
    for (wanted, text, colour), place in zip(rows, places):
        start, end = ((v - box.y0) / box.height for v in (wanted, place))
        axes.plot([1.0, 1.03], [start, end], color=colour, linewidth=0.8,
                  transform=axes.transAxes, clip_on=False)
        axes.text(1.04, end, text, color=colour, transform=axes.transAxes,
                  va="center", fontsize=8.5)


def bare(text):
    """'10.0 ns' as ticks are marked: '10 ns'."""
    number, _, unit = text.partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def log_axis(axis, word):
    """Decades, or 1-2-5 steps where too few decades would be marked."""
    low, high = axis.get_view_interval()
    narrow = low > 0 and math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 2
    axis.set_major_locator(ticker.LogLocator(
        base=10, subs=(1, 2, 5) if narrow else (1,), numticks=12))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: bare(word(value))))


def size_axis(axis, marks):
    """Marks at powers of two or a small multiple, so that they read as bytes do."""
    high = max(axis.get_view_interval()[1], 1)
    step = 2 ** math.floor(math.log2(high / marks))
    step *= next((k for k in (1, 2, 3, 4) if high / (step * k) <= marks), 4)
    axis.set_major_locator(ticker.MultipleLocator(step))
    axis.set_major_formatter(ticker.FuncFormatter(
        lambda value, _: bare(words.size(value)) if value else "0"))


def slug(*parts):
    text = "-".join(str(part) for part in parts).lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def representative(cells, cores, has):
    """Of one workload's cells: the most workers that have a core each, if `has` it."""
    good = [cell for cell in cells if has(cell)]
    fitting = [cell for cell in good if cores is None or cell.workers <= cores]
    if fitting:
        return max(fitting, key=lambda cell: cell.workers)
    return min(good, key=lambda cell: cell.workers) if good else None


def groups(model):
    """Cells that differ in the number of workers only."""
    found = {}
    for cell in model.cells:
        found.setdefault((cell.section, cell.set), []).append(cell)
    return found


def drawn(model, cell):
    """What a plot shows of a cell: every arm but the A/A copy, in a fixed order."""
    return [cell.of(arm.label) for arm in model.subjects]


def at(cell):
    return words.plural(cell.workers, "worker")


def latency_panel(model, styles, folder, cells):
    cell = representative(cells, model.cores(), lambda c: c.operation)
    if cell is None:
        return None
    figure, axes = new_panel(f"{cell.title}: {cell.operation}, {at(cell)}")
    ends, most = [], 0
    for measured in drawn(model, cell):
        hist = measured.latency.get(cell.operation)
        points = hist.curve() if hist else []
        if not points:
            continue
        across = [0.0] + [-math.log10(1 - share) for share, _ in points]
        up = [points[0][1]] + [max(value, 0.1) for _, value in points]
        axes.plot(across, up, color=styles.colour(measured.arm),
                  linestyle=styles.dash(measured.arm))
        ends.append((up[-1], measured.arm.label, styles.colour(measured.arm)))
        most = max(most, across[-1])
    if not ends:
        pyplot.close(figure)
        return None
    axes.set_yscale("log")
    log_axis(axes.yaxis, words.time)
    ticks = [p for p in PERCENTILES if -math.log10(1 - p / 100) <= most + 0.01]
    axes.set_xticks([-math.log10(1 - p / 100) for p in ticks],
                    [f"{p:g}" for p in ticks])
    axes.set_xlim(0, max(most, 0.1))
    axes.set_xlabel("percentile of operations")
    label_ends(axes, ends)
    return finish(figure, folder, "latency", slug(cell.title, cell.workers),
                  f"Latency of {cell.operation} by percentile in {cell.title} with "
                  f"{at(cell)}, one line for each subject")


def throughput_panel(model, styles, folder, cells):
    counts = sorted({cell.workers for cell in cells})
    if len(counts) < 2:
        return None
    figure, axes = new_panel(f"{cells[0].title}: steps a second")
    ends = []
    for arm in model.subjects:
        points = [(cell.workers, cell.of(arm.label).throughput) for cell in cells]
        points = sorted((x, y) for x, y in points if y)
        if points and not arm.floor:
            axes.plot(*zip(*points), color=styles.colour(arm), marker="o", markersize=4,
                      linestyle=styles.dash(arm))
            ends.append((points[-1][1], arm.label, styles.colour(arm)))
    if not ends:
        pyplot.close(figure)
        return None
    axes.set_yscale("log")
    axes.set_xscale("log", base=2)
    log_axis(axes.yaxis, words.rate)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    cores = model.cores()
    if cores and counts[0] <= cores < counts[-1]:
        axes.axvline(cores, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.text(cores, 1.0, f" {words.plural(cores, 'core')}", color=MUTED,
                  fontsize=8,
                  transform=axes.get_xaxis_transform(), va="top")
    axes.set_xlabel("workers")
    label_ends(axes, ends)
    return finish(figure, folder, "throughput", slug(cells[0].title),
                  f"Steps a second against workers in {cells[0].title}")


def range_row(axes, place, hist, colour):
    """One line of a range panel. Too few records for a percentile are all drawn."""
    marks = [hist.quantile(share) for share in (0.5, 0.99, 0.999)]
    known = [max(value, 0.1) for value in marks if value is not None]
    if known:
        axes.plot([known[0], known[-1]], [place, place], color=colour, linewidth=2.4,
                  solid_capstyle="round", alpha=0.55)
        axes.plot(known[0], place, "o", color=colour, markersize=5)
        axes.plot(known[1:], [place] * len(known[1:]), "|", color=colour, markersize=8,
                  markeredgewidth=1.6)
    else:
        values = sorted(max(value, 0.1) for value in hist.slots)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=3,
                  alpha=0.55)
    axes.plot(max(hist.max, 0.1), place, "x", color=colour, markersize=4.5)


def range_panel(title, rows, styles, folder, name, alt):
    """Rows (label, arm, histogram): dot at p50, ticks at p99 and p99.9, the longest."""
    figure, axes = new_panel(title, height=0.95 + 0.2 * len(rows), left=0.34,
                             right=0.97)
    for place, (_, arm, hist) in enumerate(rows):
        range_row(axes, place, hist, styles.colour(arm))
    axes.set_xscale("log")
    log_axis(axes.xaxis, words.time)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows):
        label.set_color(styles.colour(row[1]))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    few = any(hist.quantile(0.5) is None for _, _, hist in rows)
    axes.set_xlabel(("· each of a few   " if few else "") +
                    "● p50   | p99, p99.9   × longest")
    return finish(figure, folder, *name, alt)


def lock_panel(model, styles, folder, cells):
    if not any(cell.operation == "lock" for cell in cells):
        return None
    rows = []
    for arm in model.subjects:
        for cell in cells:
            hist = cell.of(arm.label).latency.get("lock")
            if hist and hist.quantile(0.5) is not None:
                rows.append((f"{arm.label}, {cell.workers}w", arm, hist))
    if not rows:
        return None
    return range_panel(f"{cells[0].title}: waiting for a lock", rows, styles, folder,
                       ("lock", slug(cells[0].title)),
                       f"Time to get a lock in {cells[0].title}, by subject and "
                       "workers")


def pause_panel(model, styles, folder, cells):
    rows = []
    for cell in cells:
        for measured in drawn(model, cell):
            hist = measured.latency.get("compact")
            if hist:
                rows.append((f"{cell.set or measured.arm.label}, {cell.workers}w",
                             measured.arm, hist))
    if not rows:
        return None
    return range_panel(f"{cells[0].section}: one call of compact", rows, styles, folder,
                       ("compaction", slug(cells[0].section, "pause")),
                       f"Duration of a compaction call in {cells[0].section}")


def copy_panel(model, styles, folder, cells):
    rows = []
    for cell in cells:
        for measured in drawn(model, cell):
            if measured.copy_rate:
                rows.append((f"{cell.set or measured.arm.label}, {cell.workers}w",
                             measured.arm, measured.copy_rate))
    if not rows:
        return None
    figure, axes = new_panel(f"{cells[0].section}: bytes moved a second",
                             height=0.95 + 0.2 * len(rows), left=0.34, right=0.86)
    for place, (_, arm, speed) in enumerate(rows):
        axes.barh(place, speed, color=styles.colour(arm), height=0.62)
        axes.text(speed, place, f" {words.size(speed)}/s", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.3 * max(row[2] for row in rows))
    size_axis(axes.xaxis, 4)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("bytes moved / time in compact")
    return finish(figure, folder, "compaction", slug(cells[0].section, "rate"),
                  f"Rate at which blocks were moved in {cells[0].section}")


def typical(measured):
    """The trial whose memory was looked at most often; of equals the first."""
    found = [t for t in measured.trials if any(t["series"].get("footprint_bytes", ()))
             and len(t["series"]["footprint_bytes"]) > 1]
    return max(found, key=lambda t: (len(t["series"]["footprint_bytes"]),
                                     -t["trial_id"]), default=None)


def progress(series, by_time):
    """Share of the work done at each moment, or of the trial's time, in percent."""
    line = series["time_ns"] if by_time else series["steps"]
    return [100 * value / (line[-1] or 1) for value in line]


def shows_memory(cell):
    """Is enough alive in a shared heap that its footprint says anything?"""
    trials = [typical(m) for m in cell.measured if m.arm.shared]
    return any(max(t["series"]["requested_bytes"]) >= LIVE_LEAST for t in trials if t)


def memory_panel(model, styles, folder, cells):
    cell = representative(cells, model.cores(), shows_memory)
    if cell is None:
        return None
    figure, axes = new_panel(f"{cell.title}: memory, {at(cell)}")
    ends, live = [], None
    found = [(m, typical(m)) for m in drawn(model, cell) if not m.arm.floor]
    found = [(measured, trial["series"]) for measured, trial in found if trial]
    # A few long steps are no scale: then the time is one.
    by_time = any(max(series.get("steps", [0])) < 100 for _, series in found)
    for measured, series in found:
        across = progress(series, by_time)
        if live is None or len(across) > len(live[0]):
            live = (across, series["requested_bytes"])
        axes.plot(across, series["footprint_bytes"], color=styles.colour(measured.arm),
                  linestyle=styles.dash(measured.arm),
                  marker="o" if len(across) < 8 else None, markersize=2.5)
        ends.append((series["footprint_bytes"][-1], measured.arm.label,
                     styles.colour(measured.arm)))
    axes.fill_between(*live, color=FILL, linewidth=0)
    ends.append((live[1][-1], "live, as asked", MUTED))
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    size_axis(axes.yaxis, 5)
    axes.set_xlabel("share of the trial's time, %" if by_time
                    else "share of the work done, %")
    label_ends(axes, ends)
    return finish(figure, folder, "memory", slug(cell.title, cell.workers),
                  f"Footprint over the course of {cell.title}, live bytes in grey")


def draw(model, folder):
    """All panels of a run, by kind; files go to `folder`, which must exist."""
    styles = Styles(model)
    found = {kind: [] for kind in ("latency", "throughput", "lock", "compaction",
                                   "memory")}
    for cells in groups(model).values():
        for make in (latency_panel, throughput_panel, lock_panel, memory_panel):
            panel = make(model, styles, folder, cells)
            if panel:
                found[panel.kind].append(panel)
    for cells in model.sections().values():
        for make in (copy_panel, pause_panel):
            panel = make(model, styles, folder, cells)
            if panel:
                found[panel.kind].append(panel)
    return found, styles
