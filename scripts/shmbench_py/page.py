# SPDX-License-Identifier: MIT
"""report.html: one file that needs nothing else, and no network.

Built on: model, tables, plots, report.css. Why this way: what could spoil the figures
comes before the figures; each figure is one that was measured, and what is missing says
why. Nothing in it depends on when or where it was made.
"""
import html
import pathlib
import shlex

from shmbench_py import tables, words

CSS = pathlib.Path(__file__).with_name("report.css")
KINDS = {"shared": "shared by processes",
         "private": "private to a process: a reference",
         "floor": "does nothing: what measuring costs"}
FIGURES = (
    ("latency", "Latency by percentile",
     "Each line is one subject; further right is rarer. A line ends where fewer than "
     "ten operations lie beyond. Every value contains the time stamp itself: {stamp}."),
    ("throughput", "Throughput against workers",
     "All workers together, from trials without time stamps, median over rounds. To "
     "the right of the dotted line workers share cores: what is added there is the "
     "scheduler's as much as the heap's."),
    ("lock", "Waiting for locks",
     "From asking for a lock to having it, by subject and number of workers (w). "
     "Where a subject has no block locks, the workload keeps a process-shared mutex "
     "beside each block: then this shows that mutex."),
    ("compaction", "What compaction costs",
     "Bytes moved in the time that calls of compact took, and how long one call held "
     "up its caller."),
    ("memory", "Footprint over time",
     "Lines: memory that the segment really holds (its file's allocated blocks). Grey: "
     "bytes that are live, as they were asked for. Of each subject the trial whose "
     "memory was looked at most often; workloads with next to nothing alive are left "
     "out."),
)


def esc(text):
    return html.escape(str(text), quote=True)


def element(name, inner, **attributes):
    """`inner` is HTML already; attribute values are not."""
    words_ = "".join(f' {key.rstrip("_")}="{esc(value)}"'
                     for key, value in attributes.items() if value not in (None, ""))
    return f"<{name}{words_}>{inner}</{name}>"


def table(head, rows, caption=None):
    """head: HTML of the column heads; rows: HTML of whole rows."""
    label = f' aria-label="{esc(caption)}"' if caption else ""
    top = "".join(f'<th scope="col"{" class=left" if not i else ""}>{cell}</th>'
                  for i, cell in enumerate(head))
    return (f'<div class="scroll"><table{label}><thead><tr>{top}</tr></thead>'
            f'<tbody>{"".join(rows)}</tbody></table></div>')


class Page:
    """Collects the parts of one page."""

    def __init__(self, model, panels, styles):
        self.model, self.panels, self.styles = model, panels, styles
        self.manifest = model.run.manifest
        self.reasons = tables.Reasons()

    def dot(self, arm):
        return (f'<span class="dot {arm.kind}" '
                f'style="--c:var(--{self.styles.variable(arm)})"></span>')

    def name(self, arm):
        return f"{self.dot(arm)}{esc(arm.label)}"

    # What ran

    def header(self):
        environment = self.manifest["environment"]
        profile = self.manifest["plan"].get("profile") or "words on the command line"
        what = profile if profile.endswith(".ini") else f"profile {profile}"
        facts = environment.get("facts", {})
        kept = sum(t["kept"] for t in self.model.run.trials)
        machine = next((str(facts[n]) for n in ("cpu_model", "cpu", "cpu_name")
                        if facts.get(n)), "unknown processor")
        cores = self.model.cores()
        build = self.manifest["build"]
        line = " · ".join([
            f"{words.plural(len(self.model.subjects), 'subject')}",
            f"{words.plural(len(self.model.sections()), 'workload section')}",
            f"{words.plural(kept, 'trial')} that count, "
            f"of {len(self.model.run.trials):,}",
            machine + (f", {words.plural(cores, 'core')}" if cores else ""),
            f"build {build.get('preset', '?')} {build.get('git', '')}".strip(),
            str(self.manifest.get("start_text", ""))])
        links = [("suits", "Which heap suits you"), ("matrix", "All subjects"),
                 *[row[:2] for row in FIGURES if self.panels.get(row[0])],
                 ("details", "All figures"), ("method", "Method"),
                 ("machine", "Machine"), ("again", "Run it again")]
        nav = "".join(f'<a href="#{a}">{esc(t)}</a>' for a, t in links)
        return (f'<header><p class="brand"><b>shmbench</b> run '
                f'{esc(self.manifest["run_id"])}</p>'
                f'<h1>Heaps that processes share, side by side: {esc(what)}</h1>'
                f'<p class="facts">{esc(line)}</p><nav>{nav}</nav></header>')

    def failures(self):
        rows = []
        for cell in self.model.cells:
            for measured in cell.measured:
                for trial in measured.bad:
                    what = "wrong result" if trial.get("incorrect") else trial["status"]
                    rows.append(f"<li><b>{esc(measured.arm.label)}</b> in "
                                f"{esc(cell.title)}, "
                                f"{words.plural(cell.workers, 'worker')}: "
                                f"{esc(what)}: {esc(trial['detail'])}</li>")
        if not rows:
            return ""
        more = f"<li>and {len(rows) - 12} more</li>" if len(rows) > 12 else ""
        return (f'<div class="box bad"><h2>Trials that failed</h2>'
                f'<ul>{"".join(rows[:12])}{more}</ul></div>')

    def warnings(self):
        found = [*self.model.run.problems, *map(str, self.manifest["warnings"])]
        for row in self.manifest["environment"].get("warnings", []):
            if row["text"] not in " ".join(found):
                found.append(f"{row['fact']}: {row['text']}")
        noisy = [f"{c.title}, {words.plural(c.workers, 'worker')}"
                 for c in self.model.cells if c.resolved is False]
        if noisy:
            found.append(
                f"{words.plural(len(noisy), 'cell')} of {len(self.model.cells)} "
                "unresolved (a copy of the baseline did not measure like the baseline "
                f"did), so nothing is ranked there: {'; '.join(noisy)}")
        if not found:
            return '<p class="note">The machine gave no cause for warnings.</p>'
        items = "".join(f"<li>{esc(text)}</li>" for text in found)
        return (f'<div class="box" id="warnings"><h2>Before you read the figures</h2>'
                f"<ul>{items}</ul></div>")

    # Answers

    def suits_columns(self):
        """Head and cell of each column of the first table; None: nothing to say."""
        left, dash = '<div class="left">{}</div>', f'<td class="left">{words.DASH}</td>'

        def mutex(line, arm):
            bare = line.cell.operation == "lock" and not arm.locks
            return ", by a mutex beside it" if bare else ""

        def fastest(line):
            best = line.fastest
            return (f'<td class="left">{self.name(best.arm)}<small>'
                    f"{words.time(best.cost.value)} a step{mutex(line, best.arm)}"
                    "</small></td>" if best else None)

        def lead(line):
            return element("td", esc(line.lead or "no shared heap here did this"),
                           class_="wrap")

        def tail(line):
            return (f'<td class="left">{self.name(line.tail.arm)}<small>'
                    f"{words.time(line.tail_ns)} {esc(line.cell.operation)}"
                    f"{mutex(line, line.tail.arm)}</small></td>" if line.tail else None)

        def lean(line):
            return (f'<td class="left">{self.name(line.lean.arm)}'
                    f"<small>{line.lean_ratio:.2f} × live</small></td>"
                    if line.lean else None)

        def price(line):
            if not line.price:
                return None
            between = words.interval(line.price)
            return (f'<td class="left">{words.ratio(line.price.value)}'
                    f"{f' [{between}]' if between else ''}"
                    f"<small>over {esc(line.private.arm.label)}</small></td>")

        return dash, ((left.format("cheapest shared heap"), fastest),
                      (left.format("and the next"), lead),
                      (left.format("lowest p99.9"), tail),
                      (left.format("smallest footprint"), lean),
                      (left.format("price of sharing<small>cheapest shared / cheapest "
                                   "private</small>"), price))

    def suits(self):
        dash, columns = self.suits_columns()
        lines = [tables.answer(cell) for cell in tables.leading_cells(self.model)]
        columns = [(head, cell) for head, cell in columns
                   if any(cell(line) for line in lines)]
        rows = []
        for line in lines:
            workers = words.plural(line.cell.workers, "worker")
            rows.append(f'<tr><th scope="row">{esc(line.cell.title)}<small>{workers}'
                        "</small></th>"
                        + "".join(cell(line) or dash for _, cell in columns) + "</tr>")
        return ('<h2 id="suits">Which shared heap suits you, and what it costs</h2>'
                '<p class="note">A step is one turn of the workload (for pair: alloc, '
                "touch, free). Brackets hold the exact 95 % interval of the ratio over "
                "paired rounds; a ranking is only given where it lies beyond the noise."
                "</p>" + table(("workload", *[head for head, _ in columns]), rows,
                               "Which heap suits"))

    def matrix_cell(self, measured, cell):
        if measured.status != "ok" or not measured.cost:
            if measured.status in ("ok", "none"):
                return f'<td class="na">{words.DASH}</td>'
            number = self.reasons.number(measured, cell)
            word = "n/a" if measured.status == "na" else measured.status
            kind = "bad" if measured.status in ("failed", "hung") else "na"
            return (f'<td class="{kind}" title="{esc(measured.reason)}">{word}'
                    f'<small><a href="#why{number}">why {number}</a></small></td>')
        base = measured.arm is self.model.baseline
        ratio = "baseline" if base else (
            words.ratio(measured.ratio.value) if measured.ratio else "")
        between = "" if base else words.interval(measured.ratio)
        kind = tables.shade(measured, cell) + (" base" if base else "")
        part = (f"<small>{words.share(measured.work_scale)} of the work</small>"
                if measured.work_scale < 1 else "")
        return (f'<td class="{kind}">{words.time(measured.cost.value)}'
                f"<small>{ratio} {f'[{between}]' if between else ''}</small>{part}"
                "</td>")

    def matrix(self):
        cells = tables.leading_cells(self.model)
        head = ["workload", *[f"{self.name(arm)}<small>{arm.kind}</small>"
                              for arm in self.model.subjects]]
        rows = []
        for cell in cells:
            figures = "".join(self.matrix_cell(cell.of(arm.label), cell)
                              for arm in self.model.subjects)
            mark = "<small>unresolved</small>" if cell.resolved is False else ""
            rows.append(f'<tr><th scope="row">{esc(cell.title)}<small>'
                        f"{words.plural(cell.workers, 'worker')}</small>{mark}</th>"
                        f"{figures}</tr>")
        return (f'<h2 id="matrix">Every subject on every workload</h2>'
                f'<p class="note">Time for a step, and its ratio to '
                f"{esc(self.model.baseline.label)}. Green and orange: cheaper and "
                "dearer beyond the noise. Other numbers of workers: "
                f'<a href="#details">all figures</a>.</p>'
                + table(head, rows, "Time for a step") + self.abilities())

    def abilities(self):
        rows = []
        for arm in self.model.subjects:
            chips = "".join(f'<span class="chip">{esc(word.lower().replace("_", " "))}'
                            "</span>" for word in arm.capabilities)
            rows.append(f'<tr><th scope="row">{self.name(arm)}</th>'
                        f'<td class="wrap">{esc(arm.summary)}<small>{KINDS[arm.kind]}'
                        f'</small></td><td class="left">{esc(arm.version or "missing")}'
                        f"<small>{esc(arm.origin)}</small></td>"
                        f'<td class="left"><div class="chips">{chips}</div></td></tr>')
        head = ("subject", '<div class="left">what it is</div>',
                '<div class="left">version</div>',
                '<div class="left">what it can do</div>')
        return (f"<details><summary>The subjects, and what they can do</summary>"
                f'{table(head, rows, "Subjects")}</details>')

    # Figures

    def stamp(self):
        found = sorted({round(m.stamp_ns, 1) for c in self.model.cells
                        for m in c.measured if m.stamp_ns})
        if not found:
            return "its cost was not measured"
        if len(found) == 1:
            return words.time(found[0])
        return f"{words.time(found[0])} to {words.time(found[-1])}"

    def figures(self):
        parts = []
        names = "".join(f"<li>{self.name(arm)}</li>" for arm in self.model.subjects
                        if not arm.missing)
        legend = f'<ul class="legend">{names}</ul>'
        for kind, title, text in FIGURES:
            panels = self.panels.get(kind)
            if not panels:
                continue
            drawn = "".join(
                f'<figure role="img" aria-label="{esc(p.alt)}">{p.svg}</figure>'
                for p in panels)
            parts.append(
                f'<h2 id="{kind}">{esc(title)}</h2>'
                f'<p class="note">{esc(text.format(stamp=self.stamp()))}</p>'
                f'{legend}<div class="panels">{drawn}</div>')
            legend = ""  # once: the lines carry their names
        return "".join(parts)

    # Everything

    def details(self):
        parts = []
        for section, cells in self.model.sections().items():
            blocks = []
            for cell in cells:
                blocks.append(self.detail(cell))
            parts.append(f"<details><summary>{esc(section)}</summary>"
                         f'<div class="inside">{"".join(blocks)}</div></details>')
        return ('<h2 id="details">All figures</h2><p class="note">Lock wait: mean for '
                "each time one of the subject's own locks is taken. Moved: bytes "
                "that compaction moved in a trial. Refused: allocations. A dash: not "
                "measured, "
                "or too few operations for that percentile.</p>" + "".join(parts))

    def detail(self, cell):
        rows, head = [], tables.detail_head(cell)
        for measured in cell.measured:
            arm = measured.arm
            if measured.status in ("na", "skipped", "failed", "hung"):
                number = self.reasons.number(measured, cell)
                word = "n/a" if measured.status == "na" else measured.status
                rows.append(f'<tr><th scope="row">{self.name(arm)}</th>'
                            f'<td class="na left" '
                            f'colspan="{len(head)}">{word}: '
                            f'{esc(measured.reason)} <a href="#why{number}">({number})'
                            "</a></td></tr>")
                continue
            figures = "".join(f"<td>{esc(text)}</td>"
                              for text in tables.detail(measured, cell))
            rows.append(f'<tr><th scope="row">{self.name(arm)}</th>{figures}</tr>')
        control = ""
        if cell.control is not None and cell.control.known:
            word = "resolved" if cell.resolved else "unresolved"
            control = (f" A/A control {words.ratio(cell.control.value)} "
                       f"[{words.interval(cell.control)}]: {word}.")
        speaks = f" Latency of {cell.operation}." if cell.operation else ""
        title = f"{cell.title}, {words.plural(cell.workers, 'worker')}"
        return (f'<h3>{esc(title)}</h3><p class="note">{esc(speaks + control)}</p>'
                + table(("subject", *map(esc, head)), rows, title)
                + self.operations(cell))

    def operations(self, cell):
        """The latency of every operation, for who wants more than the speaking one."""
        rows = []
        for measured in cell.measured:
            for name, *figures in tables.operations(measured):
                texts = "".join(f"<td>{esc(text)}</td>" for text in figures)
                rows.append(f'<tr><th scope="row">{self.name(measured.arm)}</th>'
                            f'<td class="left">{esc(name)}</td>{texts}</tr>')
        if not rows:
            return ""
        head = ("subject", '<div class="left">operation</div>',
                *tables.OPERATION_HEAD[1:])
        return (f"<details><summary>Latency of every operation</summary>"
                f'{table(head, rows, "Latency of every operation")}</details>')

    def missing(self):
        if not self.reasons.numbers:
            return ""
        items = []
        for text, number in self.reasons.numbers.items():
            where = "; ".join(f"<b>{esc(arm)}</b> ({esc(places)})" for arm, places in
                              self.reasons.places(text, self.model))
            items.append(f'<li id="why{number}" value="{number}">{esc(text)}'
                         f"<small>{where}</small></li>")
        return ('<h2 id="missing">What was not measured, and why</h2>'
                f'<ol>{"".join(items)}</ol>')

    def method(self):
        settings = self.manifest["plan"].get("settings", {})
        dropped = sum(not t["kept"] and t["status"] == "ok"
                      for t in self.model.run.trials)
        scaled = sorted({m.arm.label for c in self.model.cells for m in c.measured
                         if m.work_scale < 1})
        notes = [
            "A trial is a fresh segment, fresh worker processes with their own "
            "address layout and a fixed amount of work with one seed for all "
            "subjects of a round.",
            "Subjects alternate within a round; a ratio is taken within the round, "
            "and the median over rounds is shown with its exact sign interval.",
            f"{words.plural(dropped, 'trial')} do not count (warm-up rounds, and "
            "rounds that the machine disturbed, judged by its own counters); all are "
            "in trials.ndjson.",
            f"Latency comes from trials with time stamps, which cost {self.stamp()} "
            "each and are contained in it; throughput from trials without. Histograms "
            "are added up, percentiles never averaged.",
            "Footprint is what the segment's file has allocated, not resident memory "
            "of processes. For private heaps it is what each process's heap holds.",
            "Private heaps cannot exchange blocks between processes: they are "
            "reference lines, one heap for each worker.",
        ]
        if scaled:
            notes.append(f"{', '.join(scaled)} did a share of the work of the others "
                         "where marked: the same sequence, cut short, since "
                         "a trial run of it was much slower.")
        rows = "".join(f'<tr><th scope="row">{esc(k)}</th>'
                       f'<td class="left">{esc(v)}</td>'
                       "</tr>" for k, v in settings.items())
        return ('<h2 id="method">How this was measured</h2><ul class="note">'
                + "".join(f"<li>{esc(note)}</li>" for note in notes) + "</ul>"
                f"<details><summary>Settings of the run</summary>"
                f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'
                "</details>")

    def machine(self):
        environment = self.manifest["environment"]
        rows = "".join(
            f'<tr><th scope="row">{esc(name.replace("_", " "))}</th>'
            f'<td class="wrap">{esc(value)}</td></tr>'
            for name, value in environment.get("facts", {}).items())
        build = " · ".join(f"{k} {v}" for k, v in self.manifest["build"].items()
                           if not isinstance(v, dict))
        ids = " · ".join(f"{k} {v}" for k, v in
                         self.manifest["build"].get("ids", {}).items())
        return ('<h2 id="machine">The machine and the build</h2>'
                '<p class="note">Results '
                f"are comparable only where the environment's hash is the same: "
                f'<code>{esc(environment.get("hash", "?"))}</code>. '
                f'Build: {esc(build)}. '
                f"Build ids: {esc(ids)}.</p><details><summary>Environment</summary>"
                f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'
                "</details>")

    def again(self):
        command = shlex.join(tables.reproduce(self.manifest))
        jobs = "".join(f"<h3>{esc(job['name'])}</h3><pre>{esc(job['text'])}</pre>"
                       for job in self.manifest["plan"].get("jobs", []))
        seed = self.manifest.get("seeds", {}).get("run", "?")
        return (f'<h2 id="again">Run it again</h2><pre>{esc(command)}</pre>'
                f'<p class="note">Seed {esc(seed)}. The preset measure is the only '
                'build '
                "whose figures may be compared; scripts/bench makes it and runs the "
                "profile quick.</p>"
                + (f'<details><summary>The job files as they were read</summary>'
                   f'<div class="inside">{jobs}</div></details>' if jobs else ""))

    def text(self):
        body = [self.failures(), self.warnings(), self.suits(), self.matrix(),
                self.figures(), self.details(), self.missing(), self.method(),
                self.machine(), self.again()]
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f'<title>shmbench: {esc(self.manifest["run_id"])}</title>'
            f'<style>{CSS.read_text(encoding="utf-8")}</style></head>\n<body>\n'
            + self.header() + "\n<main>\n" + "\n".join(part for part in body if part)
            + "\n</main>\n<footer>Drawn from manifest.json and trials.ndjson beside "
            "this file; the same plots are in plots/ as PNG and "
            "SVG.</footer>\n</body></html>\n")
