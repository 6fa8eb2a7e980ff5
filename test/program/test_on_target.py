#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists the tests of test_apps/, and runs them on an emulated chip where ESP-IDF has built the app, and emulator and
pytest-embedded are there (docs/testing.md, "On a chip").

usage: test_on_target.py PROGRAM
"""
import ast
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import runner

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TESTS = ROOT / "test_apps"
BUILDS = pathlib.Path(os.environ.get("SELF_REFLASHER_TARGET_BUILDS", TESTS / "migration")).absolute()
PYTHON = os.environ.get("SELF_REFLASHER_TARGET_PYTHON", sys.executable)
EMULATOR = "qemu-system-riscv32"
KILLS = "2"  # of each kind: the nightly run has more


def names():
    """Of all test functions, without running anything."""
    return [node.name for path in sorted(TESTS.glob("pytest_*.py")) for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def missing():
    """What the tests want and is not here, or None."""
    if not all((BUILDS / f"build_esp32c3_{name}" / "flasher_args.json").exists() for name in ("old", "new")):
        return "no build of test_apps by ESP-IDF"
    if shutil.which(EMULATOR) is None:
        return f"no {EMULATOR}"
    if subprocess.run([PYTHON, "-c", "import pytest_embedded_qemu"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        return "no pytest-embedded-qemu"
    return None


class OnTarget(unittest.TestCase):
    outcomes = {}  # name of a function: for each of its cases None, or what came of it and why

    @classmethod
    def setUpClass(cls):
        reason = missing()
        if reason is not None:
            return
        with tempfile.TemporaryDirectory() as folder:
            results = pathlib.Path(folder) / "results.xml"
            subprocess.run([PYTHON, "-m", "pytest", TESTS, "--builds", BUILDS, "--self-reflasher", PROGRAM, "--kills", KILLS,
                            "--junitxml", results], check=False, stdout=subprocess.DEVNULL)
            for case in xml.etree.ElementTree.parse(results).iter("testcase"):
                told = [(element.tag, element.get("message")) for element in case
                        if element.tag in ("failure", "error", "skipped")]
                cls.outcomes.setdefault(case.get("name").split("[")[0].split(".")[-1], []).extend(told or [None])


def add_case(name):
    def case(self):
        reason = missing()
        if reason is not None:
            self.skipTest(reason)
        self.assertIn(name, self.outcomes)
        outcomes = self.outcomes[name]
        if all(outcome is not None and outcome[0] == "skipped" for outcome in outcomes):
            self.skipTest(outcomes[0][1])
        self.assertEqual([outcome for outcome in outcomes if outcome is not None], [])
    setattr(OnTarget, name, case)


for each in names():
    add_case(each)

if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv[1])
    runner.main(sys.argv[2:])
