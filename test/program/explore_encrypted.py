#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Explores a small migration on chips that encrypt their flash in each way, and on one that does not, and prints a row of Markdown
for each: the table of docs/encrypted.md.

usage: explore_encrypted.py PROGRAM DUMMY_IMAGES [EXPLORE_OPTION...]
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import encrypted_dumps

SHORT_KEY = 16


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def seconds(times):
    return f"{times['typical'] / 1000:.3f} s, at most {times['maximum'] / 1000:.3f} s"


def print_row(program, what, folder, dump, options):
    """What explore says of a dump in a folder. A failure is in the last column."""
    command = [program, "explore", "--json", "-f", folder / dump, "--bundle", folder / "new.srb", "--allow-unsigned", *options]
    answer = json.loads(subprocess.run(list(map(str, command)), check=False, stdout=subprocess.PIPE, text=True).stdout)
    print(f"| {what} | {answer['operations']:,} | {answer['states']:,} | {seconds(answer['window_ms'])} | "
          f"{seconds(answer['window_lower_bound_ms'])} | {len(answer['failures'])} |", flush=True)
    return len(answer["failures"])


def main(program, dummy_images, *options):
    failures = 0
    print("| chip | operations | states | window | shortest possible | failures |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for number, chip in enumerate(chip for chip in encrypted_dumps.CHIPS if len(chip.key) != 24):
            place = pathlib.Path(folder, str(number))
            encrypted_dumps.make_system(chip, place, dummy_images, lambda *words: run(program, *words))
            if number == 0:
                failures += print_row(program, "not encrypted", place, "plain.bin", options)
            name = chip.name.upper().replace("ESP32", "ESP32-").rstrip("-")
            scheme = f"{chip.scheme} from 128 bits" if len(chip.key) == SHORT_KEY else chip.scheme
            failures += print_row(program, f"{name}, {scheme}", place, "cells.bin", ("--flash-key", place / "key", *options))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
