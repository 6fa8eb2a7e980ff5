#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What test_docs.py finds in a page, and what it lets pass.

usage: test_test_docs.py PROGRAM_FOLDER C_COMPILER
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import runner

ARGUMENTS = sys.argv[1:3]
SCRIPT = pathlib.Path(__file__).with_name("test_docs.py")


class Pages(unittest.TestCase):
    def check(self, *lines, kind="console"):
        """@return exit status and what is told about a page with this block."""
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder, "page.md")
            page.write_text("\n".join(["# Page", f"```{kind}", *lines, "```", ""]), encoding="utf-8")
            run = subprocess.run([sys.executable, SCRIPT, *ARGUMENTS, page], capture_output=True, text=True, check=False)
        return run.returncode, run.stdout

    def assert_true_page(self, *lines, **options):
        status, told = self.check(*lines, **options)
        self.assertEqual((status, told), (0, "1 blocks, 0 failures\n"))

    def assert_found(self, hint, *lines, **options):
        status, told = self.check(*lines, **options)
        self.assertEqual(status, 1)
        self.assertIn(hint, told)

    def test_what_is_so(self):
        self.assert_true_page("$ printf 'a\\nb\\n'", "a", "b")
        self.assert_true_page("$ true")
        self.assert_true_page("$ echo one", "one", "$ echo two", "two")
        self.assert_true_page("int x;", kind="c")

    def test_another_output(self):
        self.assert_found("$ echo b", "$ echo b", "a")
        self.assert_found("$ printf 'a\\nb\\n'", "$ printf 'a\\nb\\n'", "a")
        self.assert_found("$ echo a", "$ echo a")
        self.assert_found("error", "int x", kind="c")

    def test_a_command_that_fails_and_shows_nothing(self):
        self.assert_found("exit status 3", "$ exit 3")
        self.assert_found("exit status 1", "$ false", "$ echo a", "a")
        self.assert_true_page("$ echo refused; exit 3", "refused")

    def test_lines_that_are_left_out(self):
        self.assert_true_page("$ printf 'a\\nb\\nc\\n'", "a", "...", "c")
        self.assert_true_page("$ printf 'a\\nb\\nc\\n'", "...", "c")
        self.assert_true_page("$ printf 'a\\nb\\nc\\n'", "a", "...")
        self.assert_found("$ printf", "$ printf 'a\\nc\\n'", "a", "...", "c")  # nothing is left out there
        self.assert_found("$ printf", "$ printf 'a\\n'", "a", "...")
        self.assert_found("$ true", "$ true", "...")
        self.assert_found("$ printf", "$ printf 'a\\nb\\nc\\n'", "a", "c")

    def test_lines_that_no_command_prints(self):
        self.assert_found("no command prints this", "a", "$ true")
        self.assert_found("no command prints this", "a")


if __name__ == "__main__":
    runner.main(sys.argv[3:])
