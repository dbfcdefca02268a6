# SPDX-License-Identifier: MIT
"""compare.html and its plots: every ratio with its interval, and every round behind it.

Built on: compare_text, page, plots, stats. Why this way: a table of verdicts is
believed or not; here the reader sees each interval beside the floor that it has to
leave (grey), and each round, so that one lucky round or a machine that drifted shows.
Panels hold a dozen lines at most, to stay readable on a phone. Same input, same bytes.
"""
from matplotlib import pyplot, ticker

from shmbench_py import compare_text, page, plots, stats, words

LINES = 12  # of a panel
COLOURS = {"slower": plots.PALETTE[4], "larger": plots.PALETTE[4],
           "faster": plots.PALETTE[2], "smaller": plots.PALETTE[2],
           "equal": plots.PALETTE[0], "unresolved": plots.FLOOR}
SHADES = {"slower": "worse2", "larger": "worse2", "faster": "better",
          "smaller": "better", "equal": "near", "unresolved": ""}
FIGURES = (
    ("forest", "Ratios and their intervals",
     "Dot: ratio candidate / base. Line: its 95 % interval. Grey: the noise floor, "
     "which an interval has to leave for a verdict, and has to keep within to be equal "
     "(there without what lies between two runs). To the right of 1 the candidate is "
     "{worse}."),
    ("rounds", "Every round", "{rounds}"))
PAIRED = ("Each dot is the ratio of one round; later rounds lie lower within their "
          "band. The bar is the median.")
UNPAIRED = ("Each dot is a round, over the median of the base's rounds: hollow the "
            "base, filled the candidate; later rounds lie lower within their band. The "
            "bars are medians.")


def name(line):
    return f"{line.cell.title} {line.cell.workers}w: {line.label}"


def shorten(text, most=34):
    return text if len(text) <= most else text[:most - 1] + "…"


def bands(comparison):
    """Lines by section, cut into panels: (title, number, lines)."""
    by_section = {}
    for line in comparison.lines:
        if line.ratio:
            by_section.setdefault(line.cell.section, []).append(line)
    for section, lines in by_section.items():
        for start in range(0, len(lines), LINES):
            yield section, start // LINES + 1, lines[start:start + LINES]


def frame(title, lines, room):
    """A panel with a line's name at each row."""
    height = 0.95 + room * len(lines)
    figure, axes = plots.new_panel(title, height=height, left=0.42, right=0.96)
    axes.set_yticks(range(len(lines)), [shorten(name(line)) for line in lines])
    for label, line in zip(axes.get_yticklabels(), lines):
        label.set_color(COLOURS[line.verdict])
        label.set_fontsize(8)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def ratio_axis(axes, values):
    """A logarithmic axis around 1 that holds the values."""
    low, high = min(0.96, *values), max(1.04, *values)
    room = (high / low) ** 0.06
    axes.set_xscale("log")
    axes.set_xlim(low / room, high * room)
    spread = high / low
    if spread < 2.5:
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if high - low <= 6 * s)
        axes.xaxis.set_major_locator(ticker.MultipleLocator(step))
    else:
        subs = (1, 1.5, 2, 3, 5) if spread < 8 else (1, 2, 5) if spread < 100 else (1,)
        axes.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=subs, numticks=9))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}×"))
    axes.axvline(1, color=plots.INK, linewidth=0.9)


def forest(comparison, title, number, lines, folder):
    figure, axes = frame(f"{title}: {comparison.metric.name}", lines, 0.24)
    values = []
    for place, line in enumerate(lines):
        colour, ratio = COLOURS[line.verdict], line.ratio
        axes.barh(place, 2 * line.floor, left=1 - line.floor, height=0.7,
                  color=plots.FILL, zorder=0)
        values += [ratio.value, 1 + min(line.floor, 0.3), 1 - min(line.floor, 0.3)]
        if ratio.known:
            axes.plot([ratio.low, ratio.high], [place, place], color=colour,
                      linewidth=2.2, solid_capstyle="round")
            values += [ratio.low, ratio.high]
        axes.plot(ratio.value, place, "o", color=colour, markersize=4.5)
    ratio_axis(axes, values)
    axes.set_xlabel("candidate / base")
    return plots.finish(figure, folder, "forest", plots.slug(title, number),
                        f"Ratios of {comparison.metric.text} with 95 % intervals, "
                        f"{title}")


def spread(costs):
    """Heights of the rounds within their band, in time from above to below."""
    count = max(1, len(costs) - 1)
    return {key: 0.56 * (at / count - 0.5) for at, key in enumerate(sorted(costs))}


def dots(axes, place, ratios, colour, filled, shift=0.0):
    """The rounds of one side, and the bar of their median."""
    heights = spread(ratios)
    axes.plot(list(ratios.values()), [place + shift + heights[key] for key in ratios],
              "o", markersize=3, color=colour, markeredgewidth=0.7,
              markerfacecolor=colour if filled else "none", alpha=0.8)
    middle = stats.median(ratios.values())
    axes.plot([middle, middle], [place - 0.36, place + 0.36], color=colour,
              linewidth=1.4, linestyle="-" if filled else (0, (2, 1.5)))
    return list(ratios.values())


def rounds(comparison, title, number, lines, folder):
    figure, axes = frame(f"{title}: every round", lines, 0.38)
    values = []
    for place, line in enumerate(lines):
        colour = COLOURS[line.verdict]
        if comparison.paired:
            ratios = {key: line.second[key] / line.first[key] for key in line.first
                      if key in line.second}
            values += dots(axes, place, ratios, colour, True)
            continue
        middle = stats.median(line.first.values())
        for costs, filled, tint in ((line.first, False, plots.MUTED),
                                    (line.second, True, colour)):
            values += dots(axes, place, {k: v / middle for k, v in costs.items()}, tint,
                           filled)
    ratio_axis(axes, values)
    axes.set_xlabel("candidate / base, by round" if comparison.paired
                    else "cost / median of the base")
    return plots.finish(figure, folder, "rounds", plots.slug(title, number),
                        f"Every round of {comparison.metric.text}, {title}")


def draw(comparison, folder):
    """All panels by kind; files go to `folder`."""
    found = {"forest": [], "rounds": []}
    for title, number, lines in bands(comparison):
        found["forest"].append(forest(comparison, title, number, lines, folder))
        found["rounds"].append(rounds(comparison, title, number, lines, folder))
    pyplot.close("all")
    return found


def header(comparison):
    worse = comparison.count(comparison.metric.worse)
    better = comparison.count(comparison.metric.better)
    found = [f"{words.plural(number, 'line')} {word}" for number, word in
             ((worse, comparison.metric.worse), (better, comparison.metric.better))
             if number]
    title = ", ".join(found) if found else "no line told apart"
    facts = " · ".join(f"{side} {what}"
                       for side, what in compare_text.sides(comparison))
    return (f'<header><p class="brand"><b>shmbench</b> compare</p>'
            f"<h1>{page.esc(comparison.metric.text)}: {page.esc(title)}</h1>"
            f'<p class="facts">{page.esc(facts)}</p></header>')


def warnings(comparison):
    items = "".join(f"<li>{page.esc(text)}</li>"
                    for text in compare_text.remarks(comparison))
    kind = "box bad" if comparison.refused or comparison.incorrect else "box"
    return (f'<div class="{kind}" id="warnings"><h2>Before you read the figures</h2>'
            f"<ul>{items}</ul></div>")


def table(comparison):
    rows = []
    for line in comparison.lines:
        cells = compare_text.row(comparison, line)
        body = "".join(f"<td>{page.esc(cell)}</td>" for cell in cells[3:8])
        why = compare_text.hint(line)
        # The verdict before its figures: a narrow window shows the first columns.
        rows.append(f'<tr><th scope="row">{page.esc(cells[0])}<small>'
                    f"{words.plural(line.cell.workers, 'worker')}</small></th>"
                    f'<td class="left">{page.esc(cells[2])}</td>'
                    f'<td class="wrap {SHADES[line.verdict]}">{page.esc(line.verdict)}'
                    f"<small>{page.esc(why)}</small></td>{body}</tr>")
    left = '<div class="left">{}</div>'
    first, _, subject, *rest, verdict = map(page.esc, compare_text.HEAD)
    head = (first, left.format(subject), left.format(verdict), *rest)
    return (f'<h2 id="lines">{page.esc(compare_text.summary(comparison))}</h2>'
            '<p class="note">Ratio candidate / base: above 1 the candidate is '
            f"{page.esc(comparison.metric.worse)}. A verdict needs an interval that is "
            "wholly beyond the floor, that remains so among so many lines, and that "
            "both halves of the rounds confirm. Unresolved is not equal.</p>"
            + page.table(head, rows, "Verdicts"))


def figures(comparison, panels):
    parts = []
    text = {"worse": comparison.metric.worse,
            "rounds": PAIRED if comparison.paired else UNPAIRED}
    for kind, title, note in FIGURES:
        if panels[kind]:
            drawn = "".join(
                f'<figure role="img" aria-label="{page.esc(panel.alt)}">{panel.svg}'
                "</figure>" for panel in panels[kind])
            parts.append(f'<h2 id="{kind}">{title}</h2><p class="note">'
                         f"{page.esc(note.format(**text))}</p>"
                         f'<div class="panels">{drawn}</div>')
    return "".join(parts)


def text(comparison, folder):
    """The whole page; its plots are written to `folder` as PNG and SVG."""
    panels = draw(comparison, folder)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    title = " and ".join(run.manifest["run_id"] for run in comparison.runs)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>shmbench compare: {page.esc(title)}</title>"
        f'<style>{page.CSS.read_text(encoding="utf-8")}</style></head>\n<body>\n'
        + header(comparison) + "\n<main>\n" + warnings(comparison) + table(comparison)
        + figures(comparison, panels) + "\n</main>\n<footer>The same plots are in "
        "compare/ as PNG and SVG.</footer>\n</body></html>\n")
