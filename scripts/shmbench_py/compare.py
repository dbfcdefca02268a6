# SPDX-License-Identifier: MIT
"""The verb compare: two run folders, or two subjects of one run, line by line.

Exit status: 0 nothing worse, 1 wrong usage, damaged or incompatible runs, 2 a
correctness check failed in one of them, 3 a confirmed regression (never by profile
quick, nor without an A/A control), 4 compared by --force, or with --strict lines that
are unresolved.
"""
import argparse
import os
import pathlib
import sys
import tempfile

from shmbench_py import compare_cells, compare_match, compare_text, model, runfolder

PROGRAM = "shmbench compare"


class Refusal(Exception):
    """Nothing is compared; the text says why, a line for each reason."""


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Compares two runs, or two subjects of one run, and says of each "
                    "cell whether it is faster, slower, equal or unresolved.",
        epilog="Exit status: 0 nothing worse; 1 usage, damaged or incompatible runs; 2 "
               "a correctness check failed; 3 a confirmed regression; 4 compared by "
               "--force, or unresolved lines with --strict.")
    parser.add_argument("runs", metavar="RUN", nargs="+",
                        help="A and B, the base first; or one run with --baseline and "
                             "--candidate")
    parser.add_argument("--baseline", metavar="ARM", help="an arm of the run")
    parser.add_argument("--candidate", metavar="ARM", help="another arm of the run")
    parser.add_argument("--subject", metavar="A,B", default="",
                        help="of two runs only these subjects or arms")
    parser.add_argument("--metric", metavar="NAME", default="step",
                        help="step (time for a step), footprint (over live bytes), "
                             "p99.alloc and the like")
    parser.add_argument("--confirm", metavar="RUN", nargs="+", default=[],
                        help="a second set of rounds that has to show it too")
    parser.add_argument("--strict", action="store_true",
                        help="exit status 4 where a line is unresolved")
    parser.add_argument("--force", action="store_true",
                        help="show incompatible or damaged runs too; exit status 4")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="JSON on stdout")
    shape.add_argument("--markdown", action="store_true", help="Markdown on stdout")
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path,
                        help="write compare.html there instead of into B")
    parser.add_argument("--no-page", action="store_true",
                        help="neither compare.html nor plots")
    try:
        return parser.parse_args(arguments)
    except SystemExit as end:
        # A wrong word is exit status 1 here, as everywhere in shmbench.
        raise SystemExit(1 if end.code else 0) from None


def check(options):
    """Words that do not go together. Errors: Refusal."""
    arms = options.baseline, options.candidate
    if len(options.runs) > 2:
        raise Refusal("two runs at most")
    if len(options.runs) == 2 and any(arms):
        raise Refusal("--baseline and --candidate are arms of one run; here are two")
    if len(options.runs) == 1 and not all(arms):
        raise Refusal("name two runs, or --baseline and --candidate for one")
    if len(options.runs) == 1 and options.subject:
        raise Refusal("--subject chooses from two runs; here is one")
    if options.confirm and len(options.confirm) != len(options.runs):
        raise Refusal("--confirm takes as many runs as are compared")


def load(folders, force):
    """Models of the runs, and what is wrong with them, a line each. Errors: Refusal."""
    runs = [runfolder.read(folder) for folder in folders]
    faults = [f"{run.folder}: {text}" for run in runs
              for text in compare_match.damage(run)]
    sides = ("the run",) if len(runs) == 1 else ("A", "B")
    for run, side in zip(runs, sides):
        faults += compare_match.storable(run, side)
    if len(runs) == 2:
        faults += compare_match.differing(*runs)
    refuse(faults, force)
    return [model.make(run) for run in runs], faults


def choose(models, options):
    """The pairs to compare. Errors: Refusal."""
    if len(models) == 1:
        labels = [arm.label for arm in models[0].arms]
        for wanted in (options.baseline, options.candidate):
            if wanted not in labels:
                raise Refusal(f"no arm '{wanted}' in {models[0].run.folder}; it has: "
                              f"{', '.join(labels)}")
        return compare_cells.pairs_within(models[0], options.baseline,
                                          options.candidate)
    subjects = [word for word in options.subject.split(",") if word]
    known = {word for made in models for arm in made.arms
             for word in (arm.label, arm.subject)}
    for subject in subjects:
        if subject not in known:
            raise Refusal(f"no subject '{subject}' in these runs; they have: "
                          f"{', '.join(sorted(known))}")
    return compare_cells.pairs_across(*models, subjects)


def refuse(faults, force):
    if faults and not force:
        shown = faults[:12]
        if len(faults) > len(shown):
            shown.append(f"and {len(faults) - len(shown)} more")
        raise Refusal("\n".join([*shown, "not compared; --force shows them all the "
                                 "same"]))


def compare(options):
    """The comparison that the words ask for. Errors: Refusal, RunError, WrongMetric."""
    check(options)
    metric = compare_cells.metric(options.metric)
    models, faults = load(options.runs, options.force)
    second = None
    if options.confirm:
        seconds, more = load(options.confirm, options.force)
        first_ids = {made.run.manifest["run_id"] for made in models}
        more += [f"{made.run.folder} does not confirm anything: it is one of the runs "
                 "compared" for made in seconds
                 if made.run.manifest["run_id"] in first_ids]
        for first, other in zip(models, seconds):
            more += [f"--confirm: {text}"
                     for text in compare_match.differing(first.run, other.run)]
        refuse(more, options.force)
        faults += more
        second = choose(seconds, options)
    found = compare_cells.compare(
        choose(models, options), models[0], models[-1], metric,
        paired=len(models) == 1, refused=faults, second=second)
    if not found.lines:
        raise Refusal(f"nothing to compare: no trial that counts has {metric.text}")
    return found


def guarded(options):
    """compare, where a member of another shape than it must have is damage."""
    try:
        return compare(options)
    except (TypeError, KeyError, ValueError, AttributeError, ArithmeticError) as error:
        raise Refusal(f"damaged or edited: {' or '.join(options.runs)} "
                      f"({type(error).__name__}: {error})") from None


def write(comparison, out):
    """compare.html and compare/ in `out`; replaced at the end, file by file."""
    from shmbench_py import compare_page  # drawing is slow to load

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compare-", dir=out) as work:
        work = pathlib.Path(work)
        text = compare_page.text(comparison, work)
        plots = out / "compare"
        plots.mkdir(exist_ok=True)
        drawn = {path.name for path in work.iterdir()}
        for path in plots.iterdir():
            if path.suffix in (".png", ".svg") and path.name not in drawn:
                path.unlink()
        for name in sorted(drawn):
            os.replace(work / name, plots / name)
        (work / "compare.html").write_text(text, encoding="utf-8")
        os.replace(work / "compare.html", out / "compare.html")
    return out / "compare.html"


def say(text):
    for line in str(text).splitlines():
        print(f"{PROGRAM}: {line}", file=sys.stderr)


def main(arguments=None):
    options = parse(arguments)
    try:
        found = guarded(options)
        status = found.status(options.strict)
        if options.json:
            sys.stdout.write(compare_text.as_json(found, status))
        elif options.markdown:
            sys.stdout.write(compare_text.as_markdown(found))
        else:
            sys.stdout.write(compare_text.terminal(found))
        sys.stdout.flush()
        if not options.no_page:
            say(write(found, options.out or found.b.run.folder))
        return status
    except (Refusal, runfolder.RunError, compare_cells.WrongMetric) as error:
        say(error)
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        say(f"{error.filename}: {error.strerror}")
    except ImportError as error:
        say(f"the Python module {error.name} is not here: scripts/setup installs it "
            "(--no-page does without)")
    return 1
