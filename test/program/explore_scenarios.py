#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Explores whole migrations of published firmware, and prints a row of Markdown for each: the table of docs/safety.md.

usage: explore_scenarios.py PROGRAM DEMO_IMAGES FIXTURES [--only NAME,...] [EXPLORE_OPTION...]
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import flash_dumps

MCUBOOT = "mcuboot-nuttx/mcuboot-esp32.bin"
NUTTX = "mcuboot-nuttx/app_upd.bin"
IDF_BOOTLOADER = "idf/bootloader_esp32_v5_2.bin"
ESPHOME_MANIFEST = "esphome/manifest.json"
WLED_MANIFEST = "wled/json/manifest.json"


class Workshop:
    """Makes flashes and bundles."""

    def __init__(self, program, demo_images, fixtures, folder):
        self.program, self.fixtures, self.dir = program, pathlib.Path(fixtures), pathlib.Path(folder)
        subprocess.run([demo_images, folder], check=True, stdout=subprocess.DEVNULL)
        self.idf = (self.dir / "old-flash.bin").read_bytes()
        self.made = 0

    def file(self, content):
        self.made += 1
        path = self.dir / f"{self.made}.bin"
        path.write_bytes(content)
        return path

    def fixture(self, name):
        return self.fixtures / name

    def bundle(self, *arguments):
        path = self.dir / f"{self.made}.srb"
        self.made += 1
        subprocess.run([self.program, "pack", "-o", path, "--chip", "esp32", *map(str, arguments)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return "--bundle", path, "--allow-unsigned"


def from_first_slot(content):
    """The same device after another update: what its second slot holds is not an app any more."""
    second = content.index(b"\xe9", 0x190000)
    return content[:0xE000] + flash_dumps.otadata(1) + content[0x10000:second] + flash_dumps.in_use(9) * 200 + \
        content[second + 200 * 0x2000:]


def other_version(image):
    image = bytearray(image)
    image[0x30:0x30 + 5] = b"9.9.9"
    return flash_dumps.reseal(image)


def wled_app(workshop):
    """An app update: another build for the slot that does not run."""
    app = (workshop.fixtures / flash_dumps.WLED_APP).read_bytes()
    return (flash_dumps.wled(workshop.fixtures),
            workshop.bundle("0x10000", workshop.file(other_version(app)), "0xe000", workshop.file(flash_dumps.otadata(3)),
                            "--keep-bootloader"))


def table_only(workshop):
    content = flash_dumps.wled(workshop.fixtures)
    rows = ((b"nvs", 1, 2, 0x9000, 0x5000), (b"otadata", 1, 0, 0xE000, 0x2000), (b"app0", 0, 0x10, 0x10000, 0x180000),
            (b"app1", 0, 0x11, 0x190000, 0x180000), (b"storage", 1, 0x82, 0x310000, 0xF0000))
    return content, workshop.bundle("0x8000", workshop.file(flash_dumps.table(rows)))


def bootloader_only(workshop):
    content = flash_dumps.wled(workshop.fixtures)
    return content, workshop.bundle("--flash-size", "4MB", "0x1000", workshop.fixture(IDF_BOOTLOADER))


def nvs_moves(rows, *parts):
    """WLED on another table, with its NVS."""
    def make(workshop):
        content = flash_dumps.wled(workshop.fixtures)
        app = other_version((workshop.fixtures / flash_dumps.WLED_APP).read_bytes())
        slots = ((b"app0", 0, 0x10, 0x10000, 0x180000), (b"app1", 0, 0x11, 0x190000, 0x180000))
        inputs = ((0x8000, flash_dumps.table((*rows, *slots))), (0x10000, app), *parts)
        words = [word for address, data in inputs for word in (hex(address), workshop.file(data))]
        return content, workshop.bundle(*words, "--move", "nvs", "--old-layout", workshop.file(content))
    return make


def big_chip(workshop):
    bootloader = workshop.idf[0x1000:0x8000].rstrip(b"\xff")
    parts = ((0x1000, flash_dumps.big_bootloader(bootloader, 0x55)), (0x8000, flash_dumps.big_table(7 << 20, 0xE10000)),
             (0xD000, flash_dumps.otadata(1)), (0x10000, flash_dumps.tiny_app("2.0")))
    inputs = [word for address, data in parts for word in (hex(address), workshop.file(data))]
    return flash_dumps.big(bootloader), workshop.bundle(*inputs, "--move", "0xc10000+0x1f0000=storage")


def single_app(workshop, *allowed):
    """One app, no other slot, no otadata; another app for its place."""
    app = workshop.idf[0x210000:].rstrip(b"\xff")
    table = flash_dumps.table(((b"nvs", 1, 2, 0x9000, 0x4000), (b"factory", 0, 0, 0x10000, 0x100000)))
    content = flash_dumps.flash((0x1000, workshop.idf[0x1000:0x8000]), (0x8000, table),
                                (0x9000, flash_dumps.in_use(1)), (0x10000, app))
    bundle = workshop.bundle("0x8000", workshop.file(table), "0x10000", workshop.file(other_version(app)))
    return content, (*bundle, *allowed)


def two_images(workshop):
    return workshop.idf, ("0x110000+1M", workshop.fixture(NUTTX), "0x1000+0x7000", workshop.fixture(MCUBOOT))


def embedded_image(workshop):
    """The image lies in the partition of the running app, past its end."""
    image = workshop.fixture(flash_dumps.MERGED_NUTTX).read_bytes()
    content = bytearray(workshop.idf)
    content[0x2E0000:0x2E0000 + len(image)] = image
    return bytes(content), ("0x1000+0x10f000", f"flash:0x2e0000+{len(image):#x}")


def to(manifest, make_flash, change=lambda content: content):
    return lambda workshop: (change(make_flash(workshop.fixtures)),
                             workshop.bundle("--manifest", workshop.fixture(manifest)))


SCENARIOS = {
    "table": ("WLED, another partition table", table_only),
    "bootloader": ("WLED, ESP-IDF v5.2's bootloader", bootloader_only),
    "app": ("WLED, another app in the other slot", wled_app),
    "mcuboot-images": ("ESP-IDF to MCUboot and NuttX, two images by download", two_images),
    "mcuboot-embedded": ("the same, merged image in flash", embedded_image),
    "mcuboot-bundle": ("the same, bundle", lambda workshop: (workshop.idf, workshop.bundle(
        "--merged", f"{workshop.fixture(flash_dumps.MERGED_NUTTX)}@0x1000"))),
    "esphome-wled": ("ESPHome (second slot) to WLED", to(WLED_MANIFEST, flash_dumps.esphome)),
    "esphome-wled-first": ("ESPHome (first slot, it moves) to WLED",
                           to(WLED_MANIFEST, flash_dumps.esphome, from_first_slot)),
    "wled-esphome": ("WLED (second slot) to ESPHome", to(ESPHOME_MANIFEST, flash_dumps.wled)),
    "wled-esphome-first": ("WLED (first slot, it moves) to ESPHome",
                           to(ESPHOME_MANIFEST, flash_dumps.wled, from_first_slot)),
    "nvs": ("WLED, another table: NVS moves to other flash",
            nvs_moves(((b"nvs", 1, 2, 0x310000, 0x5000), (b"otadata", 1, 0, 0xE000, 0x2000)),
                      (0xE000, flash_dumps.otadata(1)))),
    "nvs-otadata": ("WLED, another table: NVS and otadata change places",
                    nvs_moves(((b"otadata", 1, 0, 0x9000, 0x2000), (b"nvs", 1, 2, 0xB000, 0x5000)),
                              (0x9000, flash_dumps.otadata(1)))),
    "16mb": ("16 MiB of flash, other slots, 1.9 MiB of a file system move", big_chip),
    "single-table": ("one app, no slot: by a temporary table",
                     lambda workshop: single_app(workshop, "--allow-temporary-table")),
    "single-in-place": ("one app, no slot: in place", lambda workshop: single_app(workshop, "--allow-in-place")),
}


def number(value):
    return f"{value:,}"


def row(title, answer, seconds):
    outcomes = answer["outcomes"]
    cells = (title, f"{number(answer['operations'])}, {number(answer['operations_tried'])}",
             f"{number(answer['states'])}, {number(answer['nested_power_losses'])}",
             number(outcomes["old_finishes"] + outcomes["new_complete"]),
             number(outcomes["new_left_to_new"] + outcomes["new_left_to_nobody"]), number(outcomes["does_not_boot"]),
             f"{answer['window_ms']['typical'] / 1000:.3f} s, {answer['window_ms']['maximum'] / 1000:.3f} s",
             f"{answer['window_lower_bound_ms']['typical'] / 1000:.3f} s", str(len(answer["failures"])), f"{seconds:.0f} s")
    return f"| {' | '.join(cells)} |"


def explore(workshop, name, options):
    title, make = SCENARIOS[name]
    content, arguments = make(workshop)
    start = time.monotonic()
    result = subprocess.run([workshop.program, "explore", "--json", "--flash", workshop.file(content), *options,
                             *map(str, arguments)], capture_output=True, text=True, check=False)
    if not result.stdout:
        print(f"| {title} | {result.stderr.strip()} |", flush=True)
        return False
    answer = json.loads(result.stdout)
    print(row(title, answer, time.monotonic() - start), flush=True)
    for failure in answer["failures"][:3]:
        print(f"  --cut {failure['argument']}: {failure['reason']}", flush=True)
    return result.returncode == 0


def main():
    program, demo_images, fixtures, *options = sys.argv[1:]
    names = list(SCENARIOS)
    if options[:1] == ["--only"]:
        names = options[1].split(",")
        options = options[2:]
    print("| migration | operations, with a power loss | states, further power losses | finishes by itself | new system boots, rest left | "
          "in the window | window, at most | shortest | failures | took |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(program, demo_images, fixtures, folder)
        good = [explore(workshop, name, options) for name in names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
