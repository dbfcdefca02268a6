# SPDX-License-Identifier: MIT
"""The verb report: draws report.html, report.md and plots/ into a run folder.

Exit status: 0 drawn, 1 the folder cannot be read or written.
"""
import argparse
import os
import pathlib
import shutil
import sys
import tempfile


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="shmbench report",
        description="Draws report.html, report.md and plots/ from a run folder.")
    parser.add_argument("run", metavar="RUN",
                        help="run folder, as made by 'shmbench run'")
    parser.add_argument("--baseline", metavar="ARM",
                        help="what ratios are taken to (first shared subject)")
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path,
                        help="write there instead of into the run folder")
    try:
        return parser.parse_args(arguments)
    except SystemExit as end:
        # A wrong word is exit status 1 here, as everywhere in shmbench.
        raise SystemExit(1 if end.code else 0) from None


def write(model, out):
    """Writes all files; what was there is replaced at the end, file by file."""
    from shmbench_py import markdown, page, plots  # drawing is slow to load

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=out) as work:
        work = pathlib.Path(work)
        (work / "plots").mkdir()
        panels, styles = plots.draw(model, work / "plots")
        (work / "report.html").write_text(page.Page(model, panels, styles).text(),
                                          encoding="utf-8")
        (work / "report.md").write_text(markdown.text(model), encoding="utf-8")
        shutil.rmtree(out / "plots", ignore_errors=True)
        for name in ("plots", "report.md", "report.html"):
            os.replace(work / name, out / name)
    return out / "report.html"


def main(arguments=None):
    options = parse(arguments)
    from shmbench_py import model, runfolder

    def refuse(text):
        print(f"shmbench report: {text}", file=sys.stderr)
        return 1

    try:
        run = runfolder.read(options.run)
        made = model.make(run, options.baseline)
        if made is None:
            names = ", ".join(arm["label"] for arm in run.manifest["plan"]["arms"])
            return refuse(f"no arm '{options.baseline}' in this run; it has: {names}")
        for problem in run.problems:
            print(f"shmbench report: {problem}", file=sys.stderr)
        print(write(made, options.out or run.folder))
    except runfolder.RunError as error:
        return refuse(error)
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror}")
    except ImportError as error:
        return refuse(f"the Python module {error.name} is not here: scripts/setup "
                      "installs it")
    return 0
