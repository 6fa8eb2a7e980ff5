#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tells how many test cases passed, failed and were skipped, and why: ctest reports whole programs only, and one whose
cases are all skipped has passed for it.

usage: summary.py NAME=RESULTS...
RESULTS is what `ctest --output-junit RESULTS --test-output-size-passed 100000000` leaves; NAME is what it is called here. A
program tells of its cases in the lines that cmocka prints, and runner.py for Python; one that prints none is one case. The
last line is "N passed, N failed, N skipped". Exit status 1 if a case failed, or a program without one of its cases.
"""
import collections
import re
import sys
import xml.etree.ElementTree

CASE = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] (?!\d+ test\(s\))(\S.*)$")
PLANNED = re.compile(r"^\[==========\] (?:Running (\d+) test\(s\)|(\d+) test\(s\) run)\.$")
REASON = re.compile(r"^skipped: (.*)$")
EXPLORED = re.compile(r"^explored: (\d+) states, (\d+) further power losses$")
NO_REASON = "it does not say why"


class Program:
    """What one test program printed and how it ended."""

    def __init__(self, element):
        self.name = element.get("name")
        self.status = element.get("status")
        self.output = element.findtext("system-out") or ""
        self.cases = {}  # outcome by name
        self.reasons = {}  # of skipped ones, by name
        self.states = self.further_losses = 0
        planned = self.read()
        self.count_as_a_whole(planned)

    def read(self):
        """@return how many cases the program says it has; None without any."""
        planned, reason = None, NO_REASON
        for line in self.output.splitlines():
            if match := CASE.match(line):
                word, name = match.groups()
                # cmocka names those that failed, or were skipped, once more at its end
                if word == "OK" or name not in self.cases:
                    self.cases[name] = word
                if word == "SKIPPED":
                    self.reasons.setdefault(name, reason)
                reason = NO_REASON
            elif match := PLANNED.match(line):
                planned = int(match[1] or match[2])
            elif match := REASON.match(line):
                reason = match[1]
            elif match := EXPLORED.match(line):
                self.states += int(match[1])
                self.further_losses += int(match[2])
        self.last_reason = reason
        return planned

    def count_as_a_whole(self, planned):
        """A program without cases counts as one case; one that fails without a failed case, or lost some, gets a failed case."""
        passed = self.status == "run"
        if not self.cases and planned is None:
            skipped = self.status not in ("run", "fail")
            self.cases[self.name] = "OK" if passed else "SKIPPED" if skipped else "FAILED"
            if skipped:
                self.reasons[self.name] = self.last_reason
        elif "FAILED" not in self.cases.values() and (not passed or len(self.cases) < (planned or 0)):
            self.cases[f"{self.name} as a whole"] = "FAILED"


def read(path):
    return [Program(element) for element in xml.etree.ElementTree.parse(path).getroot().iter("testcase")]


def print_skipped(skipped):
    if skipped:
        print("skipped:")
    for reason, where in sorted(skipped.items()):
        print(f"  {reason}")
        for program, names in where.items():
            print(f"    {program}: {', '.join(dict.fromkeys(names))}")


def main():
    total = collections.Counter()
    skipped = collections.defaultdict(lambda: collections.defaultdict(list))
    failed = []
    for argument in sys.argv[1:]:
        label, path = argument.split("=", 1)
        programs = read(path)
        count = collections.Counter(outcome for program in programs for outcome in program.cases.values())
        total += count
        states = sum(program.states for program in programs)
        further_losses = sum(program.further_losses for program in programs)
        print(f"{label}: {len(programs)} programs, {sum(count.values())} cases; explored: {states} states, "
              f"{further_losses} further power losses")
        for program in programs:
            for name, reason in program.reasons.items():
                skipped[reason][program.name].append(name)
            failed += [f"{label}: {program.name}: {name}" for name, outcome in program.cases.items() if outcome == "FAILED"]
        if not programs:
            failed.append(f"{label}: no tests in {path}")
            total["FAILED"] += 1
    print_skipped(skipped)
    if failed:
        print("failed:", *failed, sep="\n  ")
    print(f"{total['OK']} passed, {total['FAILED']} failed, {total['SKIPPED']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
