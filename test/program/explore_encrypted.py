#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Explores a small migration on chips that encrypt their flash in each way, and on one that does not, and prints a row of Markdown
for each: the table of docs/encrypted.md.

usage: explore_encrypted.py PROGRAM DUMMY_IMAGES [EXPLORE_OPTION...]
       explore_encrypted.py PROGRAM DUMMY_IMAGES --published [EXPLORE_OPTION...]

The second one takes WLED and ESPHome for the ESP32 instead, each to the other.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import encrypted_dumps
import flash_dumps

SHORT_KEY = 16
ESP32 = encrypted_dumps.CHIPS[0]
HEAD = "operations | states | window | shortest possible | failures |\n| --- | --- | --- | --- | --- | --- |"


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


def published(program, folder, *options):
    """WLED and ESPHome, which run from their second slots. Their slots are 1.5 and 1.75 MB."""
    fixtures = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or "../shared/fixtures")
    wled, esphome = flash_dumps.wled(fixtures), flash_dumps.esphome(fixtures)
    failures = 0
    (folder / "key").write_bytes(ESP32.key)
    print(f"| migration | {HEAD}")
    for name, old, new, slot, size in (("WLED to ESPHome", wled, esphome, 0x190000, 0x180000),
                                       ("ESPHome to WLED", esphome, wled, 0x1D0000, 0x1C0000)):
        (folder / "plain.bin").write_bytes(old)
        (folder / "new.bin").write_bytes(new[:0xE000] + flash_dumps.otadata(1) + new[0x10000:slot])
        encrypted_dumps.encrypt_regions(ESP32, folder / "plain.bin", folder / "key", folder / "cells.bin", (0xE000, 0x2000),
                                        (0x10000, size), (slot, size))
        run(program, "pack", "--chip", "esp32", "-o", folder / "new.srb", "--merged", folder / "new.bin", "--keep", "nvs")
        failures += print_row(program, name, folder, "plain.bin", options)
        failures += print_row(program, f"{name}, AES-256", folder, "cells.bin", ("--flash-key", folder / "key", *options))
    return failures


def small(program, folder, dummy_images, *options):
    failures = 0
    print(f"| chip | {HEAD}")
    for number, chip in enumerate(chip for chip in encrypted_dumps.CHIPS if len(chip.key) != 24):
        place = folder / str(number)
        encrypted_dumps.make_system(chip, place, dummy_images, lambda *words: run(program, *words))
        if number == 0:
            failures += print_row(program, "not encrypted", place, "plain.bin", options)
        name = chip.name.upper().replace("ESP32", "ESP32-").rstrip("-")
        scheme = f"{chip.scheme} from 128 bits" if len(chip.key) == SHORT_KEY else chip.scheme
        failures += print_row(program, f"{name}, {scheme}", place, "cells.bin", ("--flash-key", place / "key", *options))
    return failures


def main(program, dummy_images, *options):
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        if options[:1] == ("--published",):
            failures = published(program, place, *options[1:])
        else:
            failures = small(program, place, dummy_images, *options)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
