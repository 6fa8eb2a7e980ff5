#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rehearses migrations between published systems, each to each other, from each slot in which the old one can run, and prints
the table of docs/migrations.md: the window, and the way out that was taken where simulate named one; or what is missing.
Then the same for layouts that put the running app in the way, each to what leaves it less and less room.

usage: migration_matrix.py PROGRAM DEMO_IMAGES FIXTURES [--from TEXT] [--to TEXT] [--explore [EXPLORE_OPTION...]]
"""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import flash_dumps

SECTOR = 0x1000
# Options of the app, as the table names them.
OPTIONS = {"--allow-temporary-table": "temporary table", "--allow-in-place": "in place"}

# A system as devices have it: its chip, parts as it is published, and what pack is given. slots: offsets of the apps from
# which it can run, each with the otadata that selects it (None: the table has none).
System = collections.namedtuple("System", "name chip size parts inputs slots")


class Shelf:
    """Published firmware and dummy images, as systems."""

    def __init__(self, demo_images, fixtures, folder):
        self.fixtures, self.folder = pathlib.Path(fixtures), pathlib.Path(folder)
        subprocess.run([demo_images, folder], check=True, stdout=subprocess.DEVNULL)
        idf = (self.folder / "old-flash.bin").read_bytes()
        self.idf_bootloader = idf[0x1000:0x8000].rstrip(b"\xff")
        self.idf_app = idf[0x210000:].rstrip(b"\xff")
        self.idf = idf

    def published(self, name):
        return (self.fixtures / name).read_bytes()

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def of_parts(self, name, chip, size, parts, slots, inputs=None):
        """A system of parts; without inputs pack gets them one by one."""
        if inputs is None:
            inputs = [word for offset, data in parts
                      for word in (hex(offset), str(self.file(f"{name}-{offset:x}.bin".replace(" ", "-"), data)))]
        return System(name, chip, size, parts, inputs, slots)

    def dummy(self, name, rows, slots, otadata):
        """ESP-IDF's bootloader and an app of the demo in the usual layouts."""
        parts = [(0x1000, self.idf_bootloader), (0x8000, flash_dumps.table(rows)[:0xC00]), (0x10000, self.idf_app)]
        if otadata is not None:
            parts.insert(2, (otadata, b"\xff" * 0x2000))  # as idf.py flashes it
        return self.of_parts(name, "esp32", 4 << 20, parts, slots)

    def esp32(self):
        ota = flash_dumps.otadata
        blank = b"\xff" * 0x2000
        esphome = self.published(flash_dumps.ESPHOME)
        wled = ((0, self.published(flash_dumps.WLED_SYSTEM)), (0x10000, self.published(flash_dumps.WLED_APP)))
        tasmota = self.published("tasmota/tasmota32.factory.bin")
        micropython = self.published("micropython/esp32.bin")
        atomvm = self.published("atomvm/AtomVM-esp32-v0.6.3.img")
        rows = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, 0xD000, 0x2000), (b"phy_init", 1, 1, 0xF000, 0x1000))
        half = (*rows, (b"ota_0", 0, 0x10, 0x10000, 0x1F0000), (b"ota_1", 0, 0x11, 0x200000, 0x1F0000))
        three = (*rows, (b"factory", 0, 0, 0x10000, 0x100000), (b"ota_0", 0, 0x10, 0x110000, 0x100000),
                 (b"ota_1", 0, 0x11, 0x210000, 0x100000))
        single = ((b"nvs", 1, 2, 0x9000, 0x6000), (b"phy_init", 1, 1, 0xF000, 0x1000), (b"factory", 0, 0, 0x10000, 0x100000))
        return (
            self.of_parts("ESPHome", "esp32", 4 << 20, ((0, esphome),), {0x10000: (0xE000, ota(1)), 0x1D0000: (0xE000, ota(2))},
                          ["--manifest", str(self.fixtures / "esphome/manifest.json")]),
            self.of_parts("WLED", "esp32", 4 << 20, wled, {0x10000: (0xE000, ota(1)), 0x190000: (0xE000, ota(2))},
                          ["--manifest", str(self.fixtures / "wled/json/manifest.json")]),
            self.of_parts("Tasmota", "esp32", 4 << 20, ((0, tasmota),),
                          {0xE0000: (0xE000, ota(1)), 0x10000: (0xE000, blank)},
                          ["--merged", str(self.fixtures / "tasmota/tasmota32.factory.bin")]),
            self.of_parts("MicroPython", "esp32", 4 << 20, ((0x1000, micropython),), {0x10000: None},
                          ["--merged", f"{self.fixtures / 'micropython/esp32.bin'}@0x1000"]),
            self.of_parts("AtomVM", "esp32", 4 << 20, ((0x1000, atomvm),), {0x10000: None},
                          ["--merged", f"{self.fixtures / 'atomvm/AtomVM-esp32-v0.6.3.img'}@0x1000"]),
            self.dummy("ESP-IDF, two slots", half, {0x10000: (0xD000, ota(1)), 0x200000: (0xD000, ota(2))}, 0xD000),
            self.dummy("ESP-IDF, single app", single, {0x10000: None}, None),
            self.dummy("ESP-IDF, factory and OTA", three,
                       {0x10000: (0xD000, blank), 0x110000: (0xD000, ota(1)), 0x210000: (0xD000, ota(2))}, 0xD000),
        )

    def esp32c3(self):
        wled = ((0, self.published("wled-0.14.4/esp32-c3_bootloader_v2.bin")),
                (0x10000, self.published("wled-0.14.4/WLED_0.14.4_ESP32-C3.bin")))
        atomvm = self.published("atomvm/AtomVM-esp32c3-v0.6.3.img")
        ota = flash_dumps.otadata
        return (
            self.of_parts("WLED", "esp32c3", 4 << 20, wled, {0x10000: (0xE000, ota(1)), 0x190000: (0xE000, ota(2))}),
            self.of_parts("AtomVM", "esp32c3", 4 << 20, ((0, atomvm),), {0x10000: None},
                          ["--merged", f"{self.fixtures / 'atomvm/AtomVM-esp32c3-v0.6.3.img'}@0x0"]),
        )

    def wled_s(self, chip, bootloader_at, names, size):
        """WLED as published for S2 and S3: no otadata among its parts. What replaces it is another build with larger slots."""
        bootloader, table, app = (self.published(f"wled-0.14.4/{name}") for name in names)
        ota = flash_dumps.otadata
        second = 0x190000 if size == 4 << 20 else 0x210000
        slots = {0x10000: (0xE000, ota(1)), second: (0xE000, ota(2))}
        parts = ((bootloader_at, bootloader), (0x8000, table), (0x10000, app))
        old = self.of_parts(f"WLED {chip} {size >> 20} MB", chip, size, parts, slots)
        build = bytearray(app)
        build[0x30:0x30 + 5] = b"9.9.9"
        rows = ((b"nvs", 1, 2, 0x9000, 0x5000), (b"otadata", 1, 0, 0xE000, 0x2000),
                (b"app0", 0, 0x10, 0x10000, size // 4 + 0x60000), (b"app1", 0, 0x11, size // 4 + 0x70000, size // 4 + 0x60000),
                (b"spiffs", 1, 0x82, size // 2 + 0xD0000, size // 2 - 0xD0000))
        header = bytearray(bootloader)
        header[3] = {4: 0x20, 8: 0x30, 16: 0x40}[size >> 20] | header[3] & 0x0F
        parts = ((bootloader_at, flash_dumps.reseal(header)), (0x8000, flash_dumps.table(rows)[:0xC00]),
                 (0x10000, flash_dumps.reseal(build)))
        return old, self.of_parts(f"WLED {chip} {size >> 20} MB, larger slots", chip, size, parts, slots)

    def layout(self, name, rows, size, slots):
        """ESP-IDF's bootloader and an app of this size, in each of these slots a device of its own."""
        places = {label: address for label, _, _, address, _ in rows}
        parts = ((0x1000, self.idf_bootloader), (0x8000, flash_dumps.table(rows)[:0xC00]),
                 (places[slots[0]], flash_dumps.tiny_app("1.0", size)))
        selected = {0x10: flash_dumps.otadata(1), 0x11: flash_dumps.otadata(2), 0: b"\xff" * 0x2000}
        return self.of_parts(name, "esp32", 4 << 20, parts, {
            places[label]: (places[b"otadata"], selected[kind]) if b"otadata" in places else None
            for label, _, kind, _, _ in rows if label in slots})

    def layouts(self):
        """Old systems, by the room that their app leaves."""
        head = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, 0xD000, 0x2000), (b"phy_init", 1, 1, 0xF000, 0x1000))
        two = (*head, (b"ota_0", 0, 0x10, 0x10000, 0x1E0000), (b"ota_1", 0, 0x11, 0x1F0000, 0x1E0000),
               (b"spiffs", 1, 0x82, 0x3D0000, 0x30000))
        safeboot = (*head, (b"safeboot", 0, 0, 0x10000, 0xD0000), (b"app0", 0, 0x10, 0xE0000, 0x2D0000),
                    (b"spiffs", 1, 0x82, 0x3B0000, 0x50000))
        three = (*head, (b"factory", 0, 0, 0x10000, 0x100000), (b"ota_0", 0, 0x10, 0x110000, 0x100000),
                 (b"ota_1", 0, 0x11, 0x210000, 0x100000), (b"storage", 1, 0x81, 0x310000, 0xF0000))
        single = ((b"nvs", 1, 2, 0x9000, 0x6000), (b"phy_init", 1, 1, 0xF000, 0x1000))
        tinyuf2 = (*head, (b"ota_0", 0, 0x10, 0x10000, 0x160000), (b"ota_1", 0, 0x11, 0x170000, 0x160000),
                   (b"uf2", 0, 0, 0x2D0000, 0x40000), (b"user_fs", 1, 0x81, 0x310000, 0xF0000))
        both = (b"ota_0", b"ota_1")
        return (
            self.layout("two slots, app of 1 MB", two, 0x100000, both),
            self.layout("two slots, filled", two, 0x1E0000, both),
            self.layout("factory as safeboot, one OTA slot, filled", safeboot, 0xC8000, (b"safeboot", b"app0")),
            self.layout("one OTA slot beside a safeboot, filled", safeboot, 0x2C0000, (b"app0",)),
            self.layout("factory and two slots, filled, FAT", three, 0xF8000, (b"factory", *both)),
            self.layout("tinyuf2 as factory app, two slots, filled, FAT", tinyuf2, 0x15C000, both),
            self.layout("single app of 1 MB", (*single, (b"factory", 0, 0, 0x10000, 0x100000)), 0xF8000, (b"factory",)),
            self.layout("single app of 2 MB, SPIFFS", (*single, (b"factory", 0, 0, 0x10000, 0x200000),
                                                      (b"spiffs", 1, 0x82, 0x210000, 0x1F0000)), 0x1F8000, (b"factory",)),
            self.layout("single app in nearly all of the flash", (*single, (b"factory", 0, 0, 0x10000, 0x3F0000)), 0x3C0000,
                        (b"factory",)),
        )

    def targets(self):
        """New systems, which leave the old app less and less room."""
        data = ((b"nvs", 1, 2, 0x9000, 0x6000), (b"phy_init", 1, 1, 0xF000, 0x1000))

        def target(name, app, factory, *files):
            rows = (*data, (b"factory", 0, 0, 0x10000, factory), *files)
            parts = [(0x1000, self.idf_bootloader), (0x8000, flash_dumps.table(rows)[:0xC00]),
                     (0x10000, flash_dumps.tiny_app("2.0", app))]
            parts += [(address, (flash_dumps.in_use(9) * 512)[:size]) for _, _, _, address, size in files]
            return self.of_parts(name, "esp32", 4 << 20, parts, {0x10000: None})

        return (
            target("an app of 1 MB", 0x100000, 0x100000),
            target("an app of 2 MB", 0x200000, 0x200000),
            target("an app of 3 MB", 0x300000, 0x300000),
            target("1 MB, and files in 2 MB", 0x100000, 0x100000, (b"spiffs", 1, 0x82, 0x200000, 0x200000)),
        )

    def families(self):
        """Systems of one chip: each of the first is migrated to each of the second."""
        yield self.layouts(), self.targets()
        for family in self.published_families():
            yield family, family

    def published_families(self):
        yield self.esp32()
        yield self.esp32c3()
        yield self.wled_s("esp32s2", 0x1000, ("bootloader_s2.bin", "partitions_s2_4m.bin", "WLED_0.14.4_ESP32-S2.bin"), 4 << 20)
        for size in (8 << 20, 16 << 20):
            yield self.wled_s("esp32s3", 0, ("bootloader_s3.bin", "partitions_s3_8m.bin", "WLED_0.14.4_ESP32-S3_8MB.bin"), size)


def device(system, slot):
    """The flash of a device with this system, which runs from this slot, and whose NVS is in use."""
    content = bytearray(flash_dumps.flash(*system.parts, size=system.size))
    if content[0x9000:0x9000 + SECTOR] == b"\xff" * SECTOR:
        content[0x9000:0x9000 + SECTOR] = flash_dumps.in_use(3)[:SECTOR]
    if content[slot] != 0xE9:
        app = flash_dumps.image_at(content, min(system.slots))
        content[slot:slot + len(app)] = app
    if system.slots[slot] is not None:
        at, otadata = system.slots[slot]
        content[at:at + len(otadata)] = otadata
    return bytes(content)


class Rehearsal:
    """One migration, as it is; and if it is refused for want of room, in the way out that simulate names."""

    def __init__(self, program, folder, old, slot, new):
        self.program, self.folder, self.old, self.new = program, pathlib.Path(folder), old, new
        self.flash, self.bundle, self.out = self.folder / "flash.bin", self.folder / "target.srb", self.folder / "out.bin"
        self.flash.write_bytes(device(old, slot))

    def run(self, *words):
        return subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, check=False)

    def pack(self, extra):
        return self.run("pack", "--chip", self.new.chip, "-o", self.bundle, *self.new.inputs, *extra)

    def words(self, allowed):
        return "--flash", self.flash, "--bundle", self.bundle, "--allow-unsigned", *allowed

    def is_there(self):
        """True if the flash holds what was published, byte for byte, but for otadata, which the first start may write."""
        content, wanted = bytearray(self.out.read_bytes()), bytearray(self.out.read_bytes())
        for offset, data in self.new.parts:
            wanted[offset:offset + len(data)] = data
        for place in filter(None, self.new.slots.values()):
            wanted[place[0]:place[0] + 2 * SECTOR] = content[place[0]:place[0] + 2 * SECTOR]
        return wanted == content

    def attempt(self, way):
        """Returns whether it goes through, what simulate answers, and what else was complained of."""
        packed = self.pack([word for part in way["give_up"] for word in ("--give-up", part["region"])]
                           + (["--always", way["always"]] if way["always"] else []))
        if packed.returncode != 0:
            return False, None, packed.stderr.strip()
        result = self.run("simulate", "--json", "--out", self.out, *self.words(way["options"]))
        return result.returncode == 0, json.loads(result.stdout) if result.stdout else None, result.stderr.strip()

    def rehearse(self):
        """Returns the way in which it goes through, or None; the last answer of simulate; and why not."""
        way = {"options": [], "give_up": [], "always": None}
        good, answer, problem = self.attempt(way)
        ways = answer["room"]["ways"] if answer and answer["room"] else []
        if ways:  # in place, most of the run is a window
            way = min(ways, key=lambda one: "--allow-in-place" in one["options"])
            good, answer, problem = self.attempt(way)
        if good:
            return way, answer, None
        if answer:
            problem = answer["room"]["refusal_text_still"] if answer["room"] else answer["plan"]["refusal_text"]
        return None, answer, f"the way out fails: {problem}" if ways else problem

    def explore(self, allowed, options):
        """Failures that losing the power has; None if it could not be explored."""
        result = self.run("explore", "--json", *options, *self.words(allowed))
        return json.loads(result.stdout) if result.stdout else {"failures": [{"reason": result.stderr.strip()}]}


class Matrix:
    """All migrations, row by row."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.notes, self.failures, self.done, self.refused, self.states = [], 0, 0, 0, 0

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
        return f"[{self.notes.index(text) + 1}]"

    def fail(self, text):
        self.failures += 1
        return f"**{text}**"

    def refusal(self, text):
        """What is missing in the method that needs least; or why."""
        missing = [int(number) for number in re.findall(r"([0-9]+) bytes missing", text)]
        short = [number for number in missing if number > 0]
        if short:
            return f"no room: {min(short) / 1024:,.0f} KiB missing"
        return f"refused {self.note(text)}"

    def cell(self, old, slot, new):
        rehearsal = Rehearsal(self.options.program, self.folder, old, slot, new)
        way, answer, refusal = rehearsal.rehearse()
        if way is None and refusal.startswith("the way out fails"):
            return self.fail(refusal)
        if way is None:
            self.refused += 1
            return self.refusal(refusal)
        if not rehearsal.is_there():
            return self.fail("not complete")
        self.done += 1
        text = f"{answer['window_ms'] / 1000:.3f} s"
        if way["give_up"]:
            text += f", {' and '.join(part['region'] for part in way['give_up'])} given up"
        text += ", all compared" if way["always"] else ""
        text += "".join(f", {OPTIONS[option]}" for option in way["options"])
        if self.options.explore:
            explored = rehearsal.explore(way["options"], self.options.explore)
            failures = explored["failures"]
            self.states += explored.get("states", 0) + explored.get("nested_power_losses", 0)
            if failures:
                text += " " + self.fail(f"{len(failures)} failures: {failures[0]['reason']}")
        return text

    def print_family(self, olds, news):
        old = [(system, slot) for system in olds for slot in system.slots if self.options.old in system.name]
        new = [system for system in news if self.options.new in system.name]
        if not old or not new:
            return
        print(f"| from, at | {' | '.join(system.name for system in new)} |")
        print(f"| --- |{' --- |' * len(new)}", flush=True)
        for system, slot in old:
            cells = ["" if other is system else self.cell(system, slot, other) for other in new]
            print(f"| {system.name}, {slot:#x} | {' | '.join(cells)} |", flush=True)
        print()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("demo_images")
    parser.add_argument("fixtures")
    parser.add_argument("--from", dest="old", default="", help="only systems with this in their name")
    parser.add_argument("--to", dest="new", default="", help="only to systems with this in their name")
    parser.add_argument("--explore", nargs=argparse.REMAINDER, help="lose the power, with these options of explore")
    return parser.parse_args()


def main():
    options = parse()
    if options.explore is not None and not options.explore:
        options.explore = ["--sample", "40", "--torn", "2", "--cuts", "2"]
    with tempfile.TemporaryDirectory() as folder:
        matrix = Matrix(options, folder)
        for olds, news in Shelf(options.demo_images, options.fixtures, folder).families():
            matrix.print_family(olds, news)
    for number, text in enumerate(matrix.notes, 1):
        print(f"{number}. {text}")
    print(f"\n{matrix.done} migrations go through, {matrix.refused} are refused, {matrix.failures} failures")
    if options.explore:
        print(f"{matrix.states} power losses")
    return 0 if matrix.failures == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
