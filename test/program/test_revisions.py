#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What images ask of the chip's revision, on every chip: pack, simulate, explore and boot, with --revision and without.

usage: test_revisions.py PROGRAM
"""
import hashlib
import json
import struct
import sys
import zlib

import cases
import runner

SIZE = 1 << 20
TABLE, OTADATA, SLOTS, SLOT_SIZE = 0x8000, 0xE000, (0x20000, 0x40000), 0x20000
# name: chip id, bootloader offset, RAM for the app's code, for the bootloader's code and data
CHIPS = {
    "esp32": (0x00, 0x1000, 0x40080000, 0x40078000, 0x3FFF0000),
    "esp32s2": (0x02, 0x1000, 0x40028000, 0x40050000, 0x3FFE8000),
    "esp32c3": (0x05, 0x0, 0x40380000, 0x403CC700, 0x3FCD5820),
    "esp32s3": (0x09, 0x0, 0x40378000, 0x403CC700, 0x3FCE3810),
    "esp32c2": (0x0C, 0x0, 0x40380000, 0x403B0000, 0x3FCD8000),
    "esp32c6": (0x0D, 0x0, 0x40800000, 0x40860000, 0x40868000),
    "esp32h2": (0x10, 0x0, 0x40800000, 0x40830000, 0x40838000),
    "esp32p4": (0x12, 0x2000, 0x4FF00000, 0x4FF18000, 0x4FF20000),
    "esp32c61": (0x14, 0x0, 0x40800000, 0x40830000, 0x40838000),
    "esp32c5": (0x17, 0x2000, 0x40800000, 0x40840000, 0x40848000),
}
NOT_TOLD = [name for name in CHIPS if name != "esp32"]  # its default is v3.0


def image(chip_id, revision, segments, most=0xFFFF):
    """An ESP image whose first instruction is at its last segment's start."""
    out = struct.pack("<BBBBIBBBBHBHH4xB", 0xE9, len(segments), 2, 0, segments[-1][0], 0xEE, 0, 0, 0, chip_id, 0, revision,
                      most, 1)
    checksum = 0xEF
    for address, data in segments:
        out += struct.pack("<II", address, len(data)) + data
        for byte in data:
            checksum ^= byte
    out += bytes(15 - len(out) % 16) + bytes([checksum])
    return out + hashlib.sha256(out).digest()


def code(version):
    return bytes([0x36, 0x41, 0x00]) + bytes([version]) * 1021


def bootloader(chip, version, revision):
    chip_id, _, _, loader, data = CHIPS[chip]
    return image(chip_id, revision, [(data, b"chip rev >= v%".ljust(64, bytes([version]))), (loader, code(version))])


def app(chip, version, revision, most=0xFFFF):
    return image(CHIPS[chip][0], revision, [(CHIPS[chip][2], code(version))], most)


def table():
    def entry(kind, subtype, address, size, name):
        return struct.pack("<HBBII16sI", 0x50AA, kind, subtype, address, size, name.encode(), 0)
    entries = entry(1, 0, OTADATA, 0x2000, "otadata") + entry(0, 0x10, SLOTS[0], SLOT_SIZE, "app0") + \
        entry(0, 0x11, SLOTS[1], SLOT_SIZE, "app1")
    return entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()


def otadata(sequence):
    crc = zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF)
    return struct.pack("<I20sII", sequence, b"\xff" * 20, 0xFFFFFFFF, crc)


class Revisions(cases.InOwnFolder):
    def dump(self, chip, revision=0):
        """A chip that runs version 1 from the first slot."""
        flash = bytearray(b"\xff" * SIZE)
        for at, part in ((CHIPS[chip][1], bootloader(chip, 1, revision)), (TABLE, table()), (OTADATA, otadata(1)),
                         (SLOTS[0], app(chip, 1, revision))):
            flash[at:at + len(part)] = part
        return self.write(f"{chip}.bin", bytes(flash))

    def bundle(self, chip, of_bootloader, of_app, most=0xFFFF):
        """Version 2, in the second slot, and what it asks for."""
        parts = ((CHIPS[chip][1], bootloader(chip, 2, of_bootloader)), (TABLE, table()), (OTADATA, otadata(2)),
                 (SLOTS[1], app(chip, 2, of_app, most)))
        inputs = [item for at, part in parts for item in (hex(at), self.write(f"part-{at:x}.bin", part))]
        result = cases.run("pack", "--chip", chip, "--out", self.dir / "b.srb", *inputs)
        self.assertEqual(result.returncode, 0, result.stderr)
        return "--bundle", self.dir / "b.srb", "--allow-unsigned"

    def simulate(self, chip, flash, bundle, *arguments):
        result = cases.run("simulate", "--chip", chip, "-f", flash, *bundle, *arguments, "--json")
        return result.returncode, json.loads(result.stdout), result.stdout + result.stderr

    def test_revision_left_out_meets_every_demand(self):
        for chip in NOT_TOLD:
            for demands in ((3, 3), (0, 101), (300, 301)):
                with self.subTest(chip=chip, demands=demands):
                    flash, bundle = self.dump(chip), self.bundle(chip, *demands)
                    status, answer, text = self.simulate(chip, flash, bundle)
                    self.assertEqual((status, answer["boot"]["outcome"]), (0, "boots"), text)
                    self.assertEqual(answer["boot"]["app_offset"], SLOTS[1], text)

    def test_single_image(self):
        for chip in NOT_TOLD:
            with self.subTest(chip=chip):
                flash = self.dump(chip)
                step = (f"{CHIPS[chip][1]:#x}", self.write("loader.bin", bootloader(chip, 2, 3)))
                status, answer, text = self.simulate(chip, flash, step)
                self.assertEqual((status, answer["boot"]["app_offset"]), (0, SLOTS[0]), text)
                status, _, text = self.simulate(chip, flash, step, "--revision", "v0.2")
                self.assertEqual(status, 1, text)
                told = cases.run("simulate", "--chip", chip, "-f", flash, *step, "--revision", "0.2").stdout
                self.assertRegex(" ".join(told.split()), "at least revision v0.3 .* this one is v0.2")

    def test_explore(self):
        flash, bundle = self.dump("esp32c3"), self.bundle("esp32c3", 3, 3)
        result = cases.run("explore", "--chip", "esp32c3", "-f", flash, *bundle, "--sample", 6, "--torn", 1, "--json")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_a_chip_that_is_too_old_is_told_in_the_words_of_its_makers(self):
        for chip in CHIPS:
            for told in ("0.2", "v0.2"):
                with self.subTest(chip=chip, told=told):
                    flash, bundle = self.dump(chip), self.bundle(chip, 3, 3)
                    status, _, text = self.simulate(chip, flash, bundle, "--revision", told)
                    self.assertEqual(status, 1, text)
                    self.assertIn("revision v0.3 or later, this one is v0.2", text)

    def test_v0_0_is_a_revision(self):
        for chip in CHIPS:
            with self.subTest(chip=chip):
                flash, bundle = self.dump(chip), self.bundle(chip, 3, 3)
                status, _, text = self.simulate(chip, flash, bundle, "--revision", "0.0")
                self.assertEqual(status, 1, text)
                self.assertIn("this one is v0.0", text)
                asking = self.dump(chip, 3)
                self.assertEqual(cases.run("boot", "--chip", chip, asking).returncode, 0)
                self.assertEqual(cases.run("boot", "--chip", chip, "--revision", "0.0", asking).returncode, 1)
                self.assertEqual(cases.run("boot", "--chip", chip, "--revision", "0.3", asking).returncode, 0)

    def test_an_app_that_is_for_older_chips(self):
        flash, bundle = self.dump("esp32c3"), self.bundle("esp32c3", 3, 3, most=99)
        status, _, text = self.simulate("esp32c3", flash, bundle, "--revision", "1.1")
        self.assertEqual(status, 1, text)
        self.assertIn("v0.99", text)
        self.assertIn("this one is v1.1", text)


if __name__ == "__main__":
    runner.main(sys.argv[2:])
