#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/demo prints: one page, of which docs/rehearsal.md shows a part.

usage: test_demo.py PROGRAM_FOLDER
"""
import os
import pathlib
import re
import subprocess
import sys
import unittest

import runner

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAMS = sys.argv[1]
PAGE = 70  # lines


def with_any_port(text):
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run = subprocess.run([ROOT / "scripts" / "demo", PROGRAMS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
        cls.status, cls.output = run.returncode, with_any_port(run.stdout)

    def test_one_page(self):
        self.assertEqual(self.status, 0, self.output)
        self.assertLessEqual(self.output.count("\n"), PAGE)
        headings = re.findall(r"^== (.*)", self.output, re.MULTILINE)
        order = ["flash before", "dummy images over HTTP", "flash after", "compared byte by byte", "all migrations",
                 "what to try next"]
        self.assertEqual([heading[:len(start)] for heading, start in zip(headings, order, strict=True)], order)

    def test_numbers_of_one(self):
        self.assertNotRegex(self.output, r"(?<![\d.,x])1 (times|blocks|(boot path )?sectors|pages|requests)\b")

    def test_logs_have_the_rest(self):
        for name in ("dummy-images-over-HTTP", "dummy-images,-embedded"):
            log = pathlib.Path(PROGRAMS, "demo", f"{name}.log").read_text(encoding="utf-8")
            self.assertIn("Partition table at 0x008000", log)
            self.assertIn("== compared byte by byte", log)

    def test_what_to_try_next_works(self):
        for line in self.output.split("== what to try next\n")[1].splitlines()[:-1]:
            run = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
            self.assertIn(run.returncode, (0, 1), line + run.stderr)  # 1: a rehearsal that boots nothing
            self.assertNotEqual(run.stdout, "")

    def test_page_shows_it(self):
        page = (ROOT / "docs" / "rehearsal.md").read_text(encoding="utf-8")
        shown = with_any_port(re.search(r"^```text\n(== dummy images over HTTP.*?)^```", page, re.M | re.S)[1])
        at = 0
        for part in shown.split("[...]\n"):
            at = self.output.find(part, at)
            self.assertGreaterEqual(at, 0, f"scripts/demo does not print this, or not here:\n{part}")


if __name__ == "__main__":
    runner.main(sys.argv[2:])
