#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Applies a bundle in each state in which a device can be found, loses the power everywhere, and prints a row of
Markdown for each kind of state: a table of docs/safety.md.

usage: explore_start_states.py PROGRAM DEMO_IMAGES [--each N] [EXPLORE_OPTION...]

With --full all states of a kind are tried, and not only those that make a difference; with --each at most N of them.
Exit status 1 if anything fails, or if a window is longer than that of the ordinary state.
"""
import concurrent.futures
import os
import sys
import tempfile
import time

import start_states

COLUMNS = ("state", "flash contents", "states, further power losses", "window", "at most", "failures", "took")


def chosen(starts, most):
    return starts[::-(-len(starts) // most)] if most and starts else starts


def figure(values):
    """Milliseconds as seconds: the least and the most."""
    least, most = min(values), max(values)
    return f"{most / 1000:.3f} s" if least == most else f"{least / 1000:.3f} to {most / 1000:.3f} s"


def print_row(row, outcomes, seconds):
    problems = sum(len(outcome.problems) for outcome in outcomes)
    if row.refused:
        cells = (row.title, str(len(outcomes)), "refused, nothing written", "", "", str(problems), f"{seconds:.0f} s")
    else:
        cells = (row.title, str(len(outcomes)), f"{sum(outcome.states for outcome in outcomes):,}",
                 figure([outcome.window for outcome in outcomes]), figure([outcome.at_most for outcome in outcomes]),
                 str(problems), f"{seconds:.0f} s")
    print(f"| {' | '.join(cells)} |", flush=True)


def print_problems(starts, outcomes):
    shown = [(start, problem) for start, outcome in zip(starts, outcomes) for problem in outcome.problems][:5]
    for start, problem in shown:
        entries = [start.content[start_states.OTADATA + i * start_states.SECTOR:][:32].hex() for i in range(2)]
        print(f"  {problem}\n    {' '.join(start.options)} otadata {' '.join(entries)}", flush=True)


def explore(workshop, row, full, most, options):
    began = time.monotonic()
    starts = chosen(row.make(workshop, full), most)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda start: start_states.look(workshop, row, start, options), starts))
    print_row(row, outcomes, time.monotonic() - began)
    print_problems(starts, outcomes)
    return bool(starts) and not any(outcome.problems for outcome in outcomes)


def main():
    program, demo_images, *options = sys.argv[1:]
    most = 0
    if options[:1] == ["--each"]:
        most = int(options[1])
        options = options[2:]
    began = time.monotonic()
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        workshop = start_states.Workshop(program, demo_images, folder)
        good = [explore(workshop, row, "--full" in options, most, options) for row in start_states.ROWS]
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
