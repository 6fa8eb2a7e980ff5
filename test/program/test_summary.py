#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What summary.py tells of the test programs that ctest ran, and runner.py of its cases.

usage: test_summary.py SKIPPING_PROGRAM
The program is a cmocka one that needs fixtures, and skips without.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest
from xml.sax.saxutils import escape

import runner

HERE = pathlib.Path(__file__).resolve().parent
SKIPPING_PROGRAM = sys.argv[1]


def cmocka(*cases, planned=None):
    """What cmocka prints for pairs of name and word."""
    lines = [f"[==========] Running {len(cases) if planned is None else planned} test(s)."]
    for name, word in cases:
        lines += [f"[ RUN      ] {name}", f"[{word:^10}] {name}" if word != "OK" else f"[       OK ] {name}"]
    failed = [name for name, word in cases if word == "FAILED"]
    lines += [f"[  FAILED  ] {len(failed)} test(s), listed below:", *[f"[  FAILED  ] {name}" for name in failed]]
    return "\n".join(lines)


class Summary(unittest.TestCase):
    def summarize(self, *programs):
        """@return exit status and lines for triples of name, ctest's status and output."""
        cases = "".join(f'<testcase name="{name}" status="{status}"><system-out>{escape(output)}</system-out></testcase>'
                        for name, status, output in programs)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "tests.xml")
            path.write_text(f"<testsuite>{cases}</testsuite>", encoding="utf-8")
            run = subprocess.run([sys.executable, HERE / "summary.py", f"plain={path}"], capture_output=True, text=True,
                                 check=False)
        self.assertEqual(run.stderr, "")
        return run.returncode, run.stdout.splitlines()

    def test_cases_are_counted_and_not_programs(self):
        status, lines = self.summarize(("test_a", "run", cmocka(("one", "OK"), ("two", "OK"))),
                                       ("test_b", "run", cmocka(("one", "OK"))))
        self.assertEqual((status, lines[-1]), (0, "3 passed, 0 failed, 0 skipped"))

    def test_what_is_skipped_is_told_with_its_reason(self):
        output = cmocka(("one", "OK"), ("two", "SKIPPED")).replace("[ RUN      ] two", "[ RUN      ] two\nskipped: no moon")
        status, lines = self.summarize(("test_a", "run", output), ("test_b", "notrun", "skipped: no sun\n"),
                                       ("test_c", "run", cmocka(("mute", "SKIPPED"))))
        self.assertEqual((status, lines[-1]), (0, "1 passed, 0 failed, 3 skipped"))
        told = "\n".join(lines)
        self.assertIn("  no moon\n    test_a: two", told)
        self.assertIn("  no sun\n    test_b: test_b", told)
        self.assertIn("  it does not say why\n    test_c: mute", told)

    def test_failures(self):
        status, lines = self.summarize(("test_a", "fail", cmocka(("one", "OK"), ("two", "FAILED"))))
        self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))
        self.assertIn("  plain: test_a: two", lines)

    def test_a_program_that_crashes_or_loses_cases_has_failed(self):
        for state in ("run", "fail"):
            status, lines = self.summarize(("test_a", state, cmocka(("one", "OK"), planned=2)))
            self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))
        status, lines = self.summarize(("test_a", "fail", cmocka(("one", "OK"))))  # a leak, found at the end
        self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))
        status, lines = self.summarize(("test_a", "fail", "Segmentation fault"), ("test_b", "run", "fine"))
        self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_no_tests_are_no_success(self):
        self.assertEqual(self.summarize()[0], 1)

    def test_explored_states_are_added_up(self):
        line = "explored: 20 states, 3 further power losses\n"
        told = self.summarize(("test_a", "run", line + line), ("test_b", "run", line))[1]
        self.assertIn("explored: 60 states, 9 further power losses", told[0])


class Programs(unittest.TestCase):
    def test_a_cmocka_program_tells_what_it_skips(self):
        run = subprocess.run([SKIPPING_PROGRAM], env={**os.environ, "SELF_REFLASHER_FIXTURES": "/nowhere"},
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0)
        self.assertRegex(run.stdout, r"(?m)^skipped: no /nowhere/.*\n\[  SKIPPED \] ")

    def test_a_python_program_tells_of_each_case(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "program.py")
            path.write_text(textwrap.dedent("""\
                import unittest, runner
                class Some(unittest.TestCase):
                    def test_good(self): pass
                    @unittest.skip("no moon")
                    def test_other(self): pass
                    def test_parts(self):
                        for part in range(3):
                            with self.subTest(part=part):
                                self.assertEqual(part, 0)
                runner.main([])
                """), encoding="utf-8")
            run = subprocess.run([sys.executable, path], env={**os.environ, "PYTHONPATH": str(HERE)}, capture_output=True,
                                 text=True, check=False)
        self.assertEqual(run.returncode, 1)
        lines = run.stdout.splitlines()
        told = [line for line in lines if line.startswith("[") and "RUN" not in line or line.startswith("skipped")]
        self.assertEqual(told, ["[    OK    ] Some.test_good", "skipped: no moon", "[ SKIPPED  ] Some.test_other",
                                "[  FAILED  ] Some.test_parts", "[==========] 3 test(s) run."])
        self.assertEqual(run.stdout.count("AssertionError"), 2)

    def test_a_sample_of_a_python_program(self):
        """Every fifth case, with what its class needs; and those that are named."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "program.py")
            path.write_text(textwrap.dedent("""\
                import sys, unittest, runner
                class Some(unittest.TestCase):
                    @classmethod
                    def setUpClass(cls): cls.ready = True
                    def check(self): self.assertTrue(self.ready)
                    test_a = test_b = test_c = test_d = test_e = test_f = check
                class Tail(unittest.TestCase):
                    def test_a(self): pass
                    def test_b(self): pass
                runner.main(sys.argv[1:])
                """), encoding="utf-8")
            for names, wanted in (((), ["Some.test_a", "Some.test_f"]), (("Tail.test_a",), ["Tail.test_a"]),
                                  (("Some",), ["Some.test_a", "Some.test_f"])):
                run = subprocess.run([sys.executable, path, *names], capture_output=True, text=True, check=False,
                                     env={**os.environ, "PYTHONPATH": str(HERE), "SELF_REFLASHER_CASES": "sample"})
                told = [line.split()[-1] for line in run.stdout.splitlines() if "OK" in line]
                self.assertEqual((run.returncode, told), (0, wanted), run.stdout)


if __name__ == "__main__":
    runner.main(sys.argv[2:])
