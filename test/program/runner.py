# SPDX-License-Identifier: Apache-2.0
"""Runs the unittest cases of a test program, and tells in cmocka's words what became of each: summary.py reads that.

SELF_REFLASHER_CASES=sample in the environment: only every fifth one (docs/testing.md).
"""
import os
import sys
import unittest


class Result(unittest.TestResult):
    """One line for each case, and at the end what went wrong."""

    def __init__(self):
        super().__init__()
        self.failed = set()  # names, each told once, however many of its subtests fail

    @staticmethod
    def tell(word, test):
        print(f"[{word:^10}] {test.id().removeprefix('__main__.')}", flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.tell("RUN", test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.tell("OK", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skipped: {reason}")
        self.tell("SKIPPED", test)

    def fail(self, test):
        if test.id() not in self.failed:
            self.failed.add(test.id())
            self.tell("FAILED", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.fail(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.fail(test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.fail(test)


def cases_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases_of(test)
        else:
            yield test


def main(names):
    """Runs all cases of the program, or those that are named on its command line, as Class or Class.test_name. Ends it.
    @param names What is left of the command line."""
    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    if os.environ.get("SELF_REFLASHER_CASES") == "sample":
        suite = unittest.TestSuite(list(cases_of(suite))[::5])  # the suite itself, not each case, makes what classes share
    result = Result()
    suite.run(result)
    for test, trace in result.errors + result.failures:
        print(f"{test}\n{trace}")
    print(f"[==========] {result.testsRun} test(s) run.")
    sys.exit(0 if result.wasSuccessful() else 1)
