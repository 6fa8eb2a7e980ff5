#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each kind of file that people have in their hands is told as what it is, however much of it there is.

Data is made here, by the formats' own specifications: NVS pages, SPIFFS, littlefs, FAT, UF2, tables, otadata.

usage: test_kinds.py PROGRAM DEMO_IMAGES FIXTURES
"""
import gzip
import hashlib
import json
import os
import pathlib
import struct
import sys
import zlib

import cases
import runner

FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[3])
SECTOR = 4096
CHIPS = {"esp32": 0x1C5F21B0, "esp32s2": 0xBFDD4EEE, "esp32s3": 0xC47E5767, "esp32c2": 0x2B88D29C, "esp32c3": 0xD42BA06C,
         "esp32c5": 0xF71C0343, "esp32c6": 0x540DDF62, "esp32c61": 0x77D850C4, "esp32h2": 0x332726F6, "esp32p4": 0x3D308E94}
ESP8266_FAMILY = 0x7EAB61ED


def blank(size):
    return b"\xff" * size


def nvs_page(*namespaces, state=0xFFFFFFFE, sequence=0):
    """A page with an entry for each namespace."""
    fields = struct.pack("<IB", sequence, 0xFE) + blank(19)
    bitmap = bytearray(blank(32))
    entries = b""
    for i, name in enumerate(namespaces):
        bitmap[i // 4] &= ~(1 << i % 4 * 2)  # two bits: 10 is written
        entries += struct.pack("<BBBBI16sQ", 0, 1, 1, 0xFF, 0, name, i + 1)
    page = struct.pack("<I", state) + fields + struct.pack("<I", zlib.crc32(fields, 0xFFFFFFFF)) + bytes(bitmap) + entries
    return page.ljust(SECTOR, b"\xff")


def spiffs(blocks, page=256):
    """An empty one. The magic is the last but one object id of a block's first page."""
    image = b""
    for block in range(blocks):
        magic = (0x20140529 ^ page ^ (blocks - block)) & 0xFFFF
        image += (blank(page - 4) + struct.pack("<HH", magic, 0xFFFF)).ljust(SECTOR, b"\xff")
    return image


def littlefs(blocks, version=0x00020001, block_size=SECTOR):
    superblock = struct.pack("<II8sIIIIIII", 1, 0xF0000FFF, b"littlefs", 0, version, block_size, blocks, 255, 0x7FFFFFFF, 1022)
    return (superblock.ljust(block_size, b"\xff") * 2).ljust(blocks * block_size, b"\xff")


def fat(sectors, sector_size=SECTOR, name=b"FAT     "):
    boot = bytearray(sector_size)
    boot[:3] = b"\xeb\xfe\x90"
    struct.pack_into("<HBHBHH", boot, 11, sector_size, 1, 1, 2, 512, sectors)
    boot[54:54 + len(name)] = name
    boot[510:512] = b"\x55\xaa"
    return bytes(boot).ljust(sectors * sector_size, b"\xff")


def uf2(payload, family=None, address=0x10000):
    chunks = [payload[i:i + 256] for i in range(0, len(payload), 256)]
    blocks = b""
    for i, chunk in enumerate(chunks):
        blocks += struct.pack("<8I476sI", 0x0A324655, 0x9E5D5157, 0x2000 if family else 0, address + 256 * i, 256, i, len(chunks),
                              family or 0, chunk, 0x0AB16F30)
    return blocks


def otadata(*sequences, state=0xFFFFFFFF):
    image = b""
    for sequence in sequences:
        row = b""
        if sequence is not None:
            row = struct.pack("<I20sII", sequence, blank(20), state, zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF))
        image += row.ljust(SECTOR, b"\xff")
    return image


def entry(kind, subtype, address, size, label):
    return struct.pack("<HBBII16sI", 0x50AA, kind, subtype, address, size, label, 0)


def table(*entries):
    rows = b"".join(entries)
    return (rows + b"\xeb\xeb" + blank(14) + hashlib.md5(rows).digest()).ljust(0xC00, b"\xff")


GOOD_TABLE = table(entry(1, 2, 0x9000, 0x5000, b"nvs"), entry(1, 0, 0xE000, 0x2000, b"otadata"),
                   entry(0, 0x10, 0x10000, 0x100000, b"app0"))


def elf(machine):
    return b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, machine) + bytes(400)


def esp8266(magic=0xE9, entry_point=0x4010F000, segment=0x4010F000):
    return struct.pack("<BBBBIII", magic, 1, 0, 0x40, entry_point, segment, 256) + bytes(range(256)) + bytes(64)


class KindsTest(cases.InDemoFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flash = (cls.dir / "old-flash.bin").read_bytes()

    def run_program(self, *arguments):
        return cases.run(*arguments, errors="surrogateescape")

    def write(self, content, name="file.bin"):
        path = self.dir / name
        path.write_bytes(content)
        return path

    def inspect(self, content, *options):
        """As text and as JSON, which must both succeed."""
        path = self.write(content)
        text, answer = self.run_program("inspect", path, *options), self.run_program("inspect", path, "--json", *options)
        for result in (text, answer):
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        for line in text.stdout.splitlines()[1:]:  # the first one is the path
            self.assertLessEqual(len(line), 80)
            self.assertEqual(line, line.rstrip())
        return text.stdout, json.loads(answer.stdout)

    def assert_kind(self, kind, content, *words):
        text, answer = self.inspect(content)
        self.assertEqual((answer["kind"], answer["size"]), (kind, len(content)))
        for word in words:
            self.assertIn(word, " ".join(text.split()))
            self.assertIn(word, answer["facts"])
        return answer


class Data(KindsTest):
    def test_nvs(self):
        self.assert_kind("nvs", nvs_page(b"wifi", b"phy") + blank(4 * SECTOR), "1 of 5 pages in use", "wifi, phy")
        self.assert_kind("nvs", blank(SECTOR) + nvs_page(b"a", state=0xFFFFFFFC) + nvs_page(), "2 of 3 pages in use")
        self.assert_kind("nvs", nvs_page(*[b"n%d" % i for i in range(9)]), "n0, n1, n2, n3, n4, n5, ...")
        self.assert_kind("nvs", nvs_page(b"a") * 2 + b"torn".ljust(SECTOR, b"\0"), "2 of 3 pages in use", "others damaged")

    def test_nvs_is_told_by_its_checksum(self):
        page = bytearray(nvs_page(b"wifi"))
        page[6] ^= 1
        self.assertEqual(self.run_program("inspect", self.write(page)).returncode, 3)
        self.assertEqual(self.run_program("inspect", self.write(nvs_page(b"a") + b"x" * SECTOR * 3)).returncode, 3)

    def test_spiffs(self):
        for page in (256, 512, 1024):
            for blocks in (2, 15, 240, 256):  # the last is 1 MiB: no whole flash
                self.assert_kind("spiffs", spiffs(blocks, page), f"{blocks} blocks of 4096 bytes", f"pages of {page}")

    def test_littlefs(self):
        self.assert_kind("littlefs", littlefs(16), "version 2.1, 16 blocks of 4096 bytes")
        self.assert_kind("littlefs", littlefs(256, 0x00020000), "version 2.0")
        torn = bytearray(littlefs(16))
        torn[:SECTOR] = blank(SECTOR)
        self.assert_kind("littlefs", torn, "16 blocks")

    def test_fat(self):
        self.assert_kind("fat", fat(128), "128 sectors of 4096 bytes")
        self.assert_kind("fat", fat(300, 512, b"FAT12   "), "300 sectors of 512 bytes")
        self.assert_kind("fat", blank(SECTOR) + fat(128) + blank(4 * SECTOR), "wear levelling")

    def test_file_systems_that_were_cut_short(self):
        for kind, image in (("spiffs", spiffs(64)), ("littlefs", littlefs(64)), ("fat", fat(64))):
            for size in (2 * SECTOR, 100000, len(image) - 1):
                self.assert_kind(kind, image[:size], "cut short", f"{size} of {len(image)} bytes")
            self.assertNotIn("cut short", self.assert_kind(kind, image)["facts"])

    def test_otadata(self):
        self.assert_kind("otadata", otadata(1, None), "entry 0: sequence 1, state undefined, CRC good", "entry 1 blank",
                         "entry 0 in force")
        self.assert_kind("otadata", otadata(1, 2, state=2), "sequence 2, state valid", "entry 1 in force")
        self.assert_kind("otadata", otadata(5, None, state=4), "state aborted", "none in force")
        damaged = bytearray(otadata(1, None))
        damaged[28] ^= 1
        self.assert_kind("otadata", damaged, "CRC wrong", "none in force")

    def test_blank(self):
        for size in (1, 0x2000, 0x3000, 100000):  # otadata of a new device among them
            self.assert_kind("blank", blank(size), "nothing but 0xff")

    def test_beginnings_of_everything_are_survived(self):
        for image in (nvs_page(b"wifi") * 2, spiffs(4), littlefs(4), fat(4), otadata(1, 2), GOOD_TABLE, uf2(bytes(999), CHIPS["esp32"]),
                      gzip.compress(bytes(999)), elf(94), esp8266()):
            for size in (1, 2, 3, 4, 7, 16, 24, 31, 32, 40, 63, 255, 256, 511, 512, SECTOR - 1, SECTOR, SECTOR + 31, SECTOR + 512):
                result = self.run_program("inspect", self.write(image[:size]))
                self.assertIn(result.returncode, (0, 3), result.stderr)


class OtherFiles(KindsTest):
    def test_elf(self):
        self.assertEqual(self.assert_kind("elf", elf(94), "Xtensa")["way_out"].count("elf2image"), 1)
        self.assert_kind("elf", elf(243), "RISC-V")
        self.assert_kind("elf", elf(62), "machine 62", "no ESP32")

    def test_uf2_of_each_chip(self):
        for chip, family in CHIPS.items():
            answer = self.assert_kind("uf2", uf2(bytes(1000), family), "4 blocks", "first one for 0x10000")
            self.assertEqual(answer["chip"], chip)
            self.assertIn(".bin", answer["way_out"])
        self.assert_kind("uf2", uf2(bytes(1000), ESP8266_FAMILY), "no ESP32")
        self.assert_kind("uf2", uf2(bytes(1000)), "no family")
        self.assert_kind("uf2", uf2(bytes(1000), CHIPS["esp32"])[:-512], "cut short")
        self.assert_kind("uf2", b"UF2\n" + bytes(600), "damaged")

    def test_gzip(self):
        self.assertIn("gzip -d", self.assert_kind("gzip", gzip.compress(bytes(5000)), "unpacked 5000 bytes")["way_out"])
        named = self.dir / "firmware.gz"
        with named.open("wb") as out, gzip.GzipFile("firmware.bin", "wb", fileobj=out) as packed:
            packed.write(b"x")
        self.assert_kind("gzip", named.read_bytes(), "firmware.bin")

    def test_esp8266(self):
        """Told as what it is, and as not supported, by all that take an image."""
        for content in (esp8266(), esp8266(segment=0x3FFE8000), esp8266(0xEA, 0x40200000, 0), esp8266(0xEA, 0x40210000, 0x40201010)):
            text, answer = self.inspect(content)
            self.assertEqual(answer["kind"], "esp8266")
            self.assertIn("not supported", " ".join(text.split()))
            result = self.run_program("boot", self.write(content))
            self.assertEqual(result.returncode, 3)
            self.assertIn("ESP8266", result.stderr)

    def test_images_of_esp32s_are_no_esp8266(self):
        if not FIXTURES.exists():
            self.skipTest("no fixtures")
        for path in sorted(FIXTURES.rglob("*.bin")) + sorted(FIXTURES.rglob("*.img")):
            kind = json.loads(self.run_program("inspect", path, "--json").stdout)["kind"]
            wanted = {"part"} if path.stat().st_size in (65535, 65536) else {"app", "part", "bootloader", "partition_table", "mcuboot_slot"}
            self.assertIn(kind, wanted, path)

    def test_what_is_in_a_file_comes_first(self):
        """A table, or an image's first byte, inside a file system does not make it a flash."""
        image = bytearray(littlefs(256))
        image[0x8000:0x8000 + 0xC00] = GOOD_TABLE
        self.assert_kind("littlefs", image)
        image = bytearray(spiffs(16))
        image[0] = 0xE9
        self.assert_kind("spiffs", image)


class Tables(KindsTest):
    def table(self, content):
        text, answer = self.inspect(content)
        self.assertEqual(answer["kind"], "partition_table")
        return " ".join(text.split()), answer["partition_table"]

    def test_bare(self):
        for content in (GOOD_TABLE, GOOD_TABLE.ljust(SECTOR, b"\xff"), GOOD_TABLE[:128]):
            text, answer = self.table(content)
            self.assertEqual((answer["valid"], answer["problems"]), (True, []))
            self.assertNotIn("problem", text)

    def test_invalid_says_what_is(self):
        for at, word in ((0, "entry 0"), (32, "entry 1"), (40, "MD5"), (96, "entry 3")):
            content = bytearray(GOOD_TABLE)
            content[at] ^= 1
            for size in (0xC00, SECTOR):
                text, answer = self.table(content.ljust(size, b"\xff"))
                self.assertFalse(answer["valid"])
                self.assertIn(word, text)

    def test_what_bootloaders_accept_and_is_wrong_all_the_same(self):
        nvs = entry(1, 2, 0x9000, 0x5000, b"nvs")
        for entries, words in (((nvs, entry(1, 6, 0xA000, 0x1000, b"x")), ("'x' at 0xa000", "overlaps 'nvs' at 0x9000")),
                               ((nvs, entry(1, 2, 0xE000, 0x1000, b"nvs")), ("two partitions", "'nvs'", "0x9000", "0xe000")),
                               ((nvs, entry(0, 0x10, 0x11000, 0x10000, b"app0")), ("'app0'", "0x11000", "0x10000")),
                               ((nvs, entry(1, 6, 0x11100, 0x1000, b"d")), ("'d'", "0x11100", "0x1000")),
                               ((nvs, entry(1, 6, 0x11000, 0, b"d")), ("'d'", "no size"))):
            text, answer = self.table(table(*entries))
            self.assertTrue(answer["valid"])
            self.assertEqual(len(answer["problems"]), 1)
            for word in words:
                self.assertIn(word, answer["problems"][0])
                self.assertIn(word, text)

    def test_names_are_any_bytes(self):
        """Empty ones are told as such; and none of them steers the terminal."""
        for label in (b"", b"\x1b[31mred", b"\x07\r\n\t", b"\xc2\x9b31m", b"\x9b31m", b"\x7f", b"\xe2\x80\xae"):
            text = self.run_program("inspect", self.write(table(entry(0, 0x10, 0x10000, 0x10000, label)))).stdout
            self.assertFalse([c for c in text if (ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\udc9b\u202e"], repr(text))
            self.assertIn("(no name)" if label == b"" else "?", text)
            self.assertEqual(len(text.splitlines()), 7)
        text, _ = self.inspect(nvs_page(b"\x1b[2J"))
        self.assertIn("?[2J", text)

    def test_names_in_apps(self):
        for name in (b"", b"\x1b[31m"):
            flash = bytearray(self.flash)
            at = flash.index(struct.pack("<I", 0xABCD5432), 0x210000) + 48  # project_name
            flash[at:at + 32] = name.ljust(32, b"\0")
            for command in (("inspect",), ("boot",)):
                text = self.run_program(*command, self.write(flash)).stdout
                self.assertNotIn("\x1b", text)
            text = self.run_program("inspect", self.dir / "file.bin").stdout
            self.assertIn("(no name)" if name == b"" else "?[31m", text)


if __name__ == "__main__":
    runner.main(sys.argv[4:])
