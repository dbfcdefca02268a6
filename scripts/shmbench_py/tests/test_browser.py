# SPDX-License-Identifier: MIT
"""The page in a browser without a screen: it fits a narrow and a wide window, in full.

Skipped where there is no Chromium (scripts/setup --all installs it).
"""
import html
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from shmbench_py.tests import synthetic

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "shmbench-report"
# The page in a frame of the width in question, looked at by a script outside of it.
FRAME = """<!DOCTYPE html><body style="margin:0">
<iframe id="f" style="width:{width}px;height:3000px;border:0" srcdoc="{page}"></iframe>
<script>onload = () => {{
  const page = document.getElementById("f").contentDocument;
  const faults = [...page.querySelectorAll("svg text, figure")].filter(e => {{
    const box = e.getBoundingClientRect();
    return box.left < -1 || box.right > {width} + 1;
  }}).length;
  document.body.dataset.found = [page.documentElement.scrollWidth, faults,
    page.querySelectorAll("figure svg").length,
    page.styleSheets.length].join(" ");
}};</script></body>"""


@unittest.skipUnless(CHROMIUM, "no Chromium (scripts/setup --all)")
class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="shmbench-browser-"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        run = synthetic.write(cls.work / "run")
        subprocess.run([PROGRAM, run], check=True, capture_output=True)
        cls.page = (run / "report.html").read_text(encoding="utf-8")

    def look(self, width):
        """Width of the page's content, parts outside of it, drawings, style sheets."""
        frame = self.work / f"{width}.html"
        frame.write_text(FRAME.format(width=width, page=html.escape(self.page)),
                         encoding="utf-8")
        words = [CHROMIUM, "--headless", "--disable-gpu", "--hide-scrollbars",
                 "--disable-quic", "--no-first-run",
                 "--disable-background-networking",
                 "--disable-component-update", "--disable-sync",
                 f"--user-data-dir={self.work / 'profile'}",
                 f"--window-size={max(width, 600)},3000", "--dump-dom",
                 frame.as_uri()]
        if os.geteuid() == 0:
            words.insert(1, "--no-sandbox")  # it refuses to run as root otherwise
        out = subprocess.run(words, capture_output=True, text=True, timeout=60,
                             check=True).stdout
        found = re.search(r'data-found="(\d+) (\d+) (\d+) (\d+)"', out)
        self.assertTrue(found, out[-400:])
        return [int(word) for word in found.groups()]

    def test_fits_its_window(self):
        drawings = self.page.count("<figure ")
        self.assertGreater(drawings, 5)
        for width in (360, 420, 1500):
            with self.subTest(width=width):
                self.assertEqual(self.look(width), [width, 0, drawings, 1])


if __name__ == "__main__":
    unittest.main()
