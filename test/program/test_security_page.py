#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/security.md names a test for each statement: all of them are there. Arguments: the project's folder."""
import pathlib
import re
import sys
import unittest

import runner

ROOT = pathlib.Path(sys.argv[1])
CASE = re.compile(r"^static void ([a-z0-9_]+)\(void \*\*state\)", re.MULTILINE)


def names():
    page = (ROOT / "docs/security.md").read_text("utf-8")
    return set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", page))


class SecurityPage(unittest.TestCase):
    def test_names_are_tests_or_of_the_interface(self):
        programs = {path.stem for path in (ROOT / "test").rglob("test_*.c")}
        cases = {case for path in (ROOT / "test").rglob("test_*.c") for case in CASE.findall(path.read_text("utf-8"))}
        interface = "".join(path.read_text("utf-8") for path in (ROOT / "include").glob("*.h"))
        for name in sorted(names()):
            with self.subTest(name):
                self.assertTrue(name in programs or name in cases or re.search(rf"\b{name}\b", interface), name)

    def test_statements_have_tests(self):
        """Each numbered one, and there are some."""
        page = (ROOT / "docs/security.md").read_text("utf-8")
        statements = re.findall(r"^\d+\. (.*?)(?=^\d+\. |^## )", page, re.MULTILINE | re.DOTALL)
        self.assertGreater(len(statements), 9)
        for statement in statements:
            with self.subTest(statement[:40]):
                self.assertRegex(statement, r"`test_[a-z_]+`")


if __name__ == "__main__":
    runner.main(sys.argv[2:])
