#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bundles as their makers meet them: pack, keygen, sign, verify, inspect, extract, diff.

Compared with openssl (signatures), esptool (what its merge-bin makes of the same files) and a second reader of the
format, below. esptool is taken from the virtual environment that SELF_REFLASHER_VENV names, else from PATH.

usage: test_pack.py PROGRAM DEMO_IMAGES FIXTURES
"""
import gzip
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import unittest
import zlib

import cases
import espressif
import flash_dumps
import runner

run = cases.run
FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[3])
SECTOR = 0x1000
BLANK = b"\xff" * SECTOR
MIB = 1 << 20


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)


def read_bundle(data, flash):
    """A second implementation of the format's reader: gives the flash that a bundle makes of another one, except what moves."""
    (magic, version, header, features, manifest_size, size, _, _, least, _, regions, chunks, digests, moves, _, reserved) = \
        struct.unpack_from("<8sHHIIIHHIIHHIII12s", data)
    assert (magic, version, header, features) == (b"SRBNDL\r\n", 2, 64, 1 if moves else 0)
    assert reserved == bytes(12)
    assert manifest_size == 64 + 16 * (regions + chunks + digests) + 32 * moves and size == len(data)
    assert moves <= 16
    assert len(flash) >= least
    flash = bytearray(flash)
    row = 64 + 16 * (regions + chunks)
    wanted = [data[row + 16 * i:row + 16 * i + 16] for i in range(digests)]
    blank = hashlib.sha256(BLANK).digest()[:16]
    place = {}
    for i in range(regions):
        address, length, first, kind = struct.unpack_from("<IIIB", data, 64 + 16 * i)
        flash[address:address + length] = b"\xff" * length
        for k in range(length // SECTOR if kind == 0 else 0):
            place[first + k] = address + k * SECTOR
    for i in range(chunks):
        offset, length, first, count, encoding = struct.unpack_from("<IIIBB", data, 64 + 16 * (regions + i))
        content = data[offset:offset + length]
        if encoding == 1:
            inflate = zlib.decompressobj(-12)
            content = inflate.decompress(content)
            assert inflate.eof and not inflate.unused_data
        carried = [k for k in range(first, first + count) if wanted[k] != blank]
        assert len(content) == len(carried) * SECTOR
        for n, k in enumerate(carried):
            flash[place[k]:place[k] + SECTOR] = content[n * SECTOR:(n + 1) * SECTOR]
    for k, address in place.items():
        assert hashlib.sha256(flash[address:address + SECTOR]).digest()[:16] == wanted[k]
    return bytes(flash)


def read_moves(data):
    """The table of moves: (label, source address and size, destination address and size) of each."""
    least, _, regions, chunks, digests, moves = struct.unpack_from("<IIHHII", data, 28)
    at = 64 + 16 * (regions + chunks + digests)
    taken = [struct.unpack_from("<II", data, 64 + 16 * i) for i in range(regions)]
    result = []
    for i in range(moves):
        label, source, length, place, room = struct.unpack_from("<16sIIII", data, at + 32 * i)
        name = label.rstrip(b"\0")
        assert b"\0" not in name and (name == b"") != (source == length == 0) and length <= room
        assert place % SECTOR == room % SECTOR == source % SECTOR == length % SECTOR == 0 < room
        assert place + room <= least and source + length <= least and (name or source != place)
        assert all(place + room <= start or start + size <= place for start, size in taken)
        assert not result or result[-1][3] + result[-1][4] <= place
        result.append((name.decode(), source, length, place, room))
    return result


def read_table(flash):
    """ESP-IDF's partition table at 0x8000: label to (address, size)."""
    rows = [flash[at:at + 32] for at in range(0x8000, 0x8C00, 32)]
    rows = [struct.unpack("<4xII16s4x", row) for row in rows if row[:2] == b"\xaa\x50"]
    return {label.rstrip(b"\0").decode(): (address, size) for address, size, label in rows}


def partition_table(*rows):
    """The same, made of (label, type, subtype, address, size)."""
    table = b"".join(struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, address, size, label.encode(), 0)
                     for label, kind, subtype, address, size in rows)
    return table + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()


def der_signature(rs):
    """SEQUENCE { INTEGER r, INTEGER s } of two numbers of 32 bytes."""
    numbers = b""
    for half in (rs[:32], rs[32:]):
        number = half.lstrip(b"\0")
        number = (b"\0" if number[0] & 0x80 else b"") + number
        numbers += bytes([2, len(number)]) + number
    return bytes([0x30, len(numbers)]) + numbers


class PackTest(cases.InDemoFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flash = cls.dir / "old-flash.bin"
        cls.mcuboot = cls.dir / "mcuboot.bin"
        cls.slot = cls.dir / "app_upd.bin"
        cls.merged = cls.dir / "app_upd.merged.bin"
        content = cls.flash.read_bytes()
        cls.bootloader = cls.write("bootloader.bin", content[0x1000:0x8000].rstrip(b"\xff"))
        cls.table = cls.write("table.bin", content[0x8000:0x8C00])
        cls.otadata = cls.write("otadata.bin", content[0xD000:0xF000])
        cls.app = cls.write("app.bin", content[0x210000:].rstrip(b"\xff"))
        cls.image = bytearray(b"\xff" * (4 * MIB))  # what the four files make of a blank flash
        for address, part in ((0x1000, cls.bootloader), (0x8000, cls.table), (0xD000, cls.otadata),
                              (0x210000, cls.app)):
            cls.image[address:address + part.stat().st_size] = part.read_bytes()
        cls.image = bytes(cls.image)
        cls.system = ("0x1000", cls.bootloader, "0x8000", cls.table, "0xd000", cls.otadata, "0x210000", cls.app)
        cls.key, cls.public_key = cls.dir / "key.pem", cls.dir / "public.pem"
        cls.other_key, cls.other_public_key = cls.dir / "other.pem", cls.dir / "other-public.pem"
        for key, public in ((cls.key, cls.public_key), (cls.other_key, cls.other_public_key)):
            assert run("keygen", "-o", key, "--public", public).returncode == 0

    @classmethod
    def write(cls, name, content):
        path = cls.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def pack(self, *arguments, chip="esp32", warns=False):
        """Packs, and has the bundle checked by the second reader. Gives its path and the report."""
        out = self.dir / "out.srb"
        out.unlink(missing_ok=True)
        chip_option = ("--chip", chip) if chip else ()
        result = run("pack", "-o", out, *chip_option, "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual("warning" in result.stderr, warns, result.stderr)
        report = json.loads(result.stdout)
        blank = b"\xff" * report["min_flash_size"]
        self.assertEqual(self.extract(out), read_bundle(out.read_bytes(), blank))
        return out, report

    def extract(self, bundle, *arguments):
        out = self.dir / "extracted.bin"
        result = run("extract", bundle, "-o", out, *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return out.read_bytes()

    def assert_not_packed(self, status, words, *arguments, chip="esp32"):
        out = self.dir / "refused.srb"
        out.unlink(missing_ok=True)
        self.assert_fails(status, words, "pack", "-o", out, "--chip", chip, *arguments)
        self.assertFalse(out.exists())


class Inputs(PackTest):
    def test_files(self):
        bundle, report = self.pack(*self.system)
        self.assertEqual(report["chip"], "esp32")
        self.assertEqual(report["min_flash_size"], 4 * MIB)
        self.assertEqual(report["partition_table_offset"], 0x8000)
        self.assertIsNone(report["key_id"])
        self.assertEqual([region["offset"] for region in report["regions"]], [0x1000, 0x8000, 0xD000, 0x210000])
        self.assertEqual(report["contents"]["apps"][0]["name"], "boot_swap_download_example")
        self.assertEqual(self.extract(bundle), self.image)

    def test_order_does_not_matter(self):
        first = self.pack(*self.system)[0].read_bytes()
        pairs = list(zip(self.system[::2], self.system[1::2]))
        second = self.pack(*(word for pair in reversed(pairs) for word in pair))[0].read_bytes()
        self.assertEqual(first, second)

    def test_merged(self):
        old = self.flash.read_bytes()
        bundle, report = self.pack("--merged", self.flash)
        self.assertEqual(self.extract(bundle), old)
        self.assertEqual(report["sectors"], 1024)
        self.assertIn("erased", [region["kind"] for region in report["regions"]])
        self.assertEqual(report["sectors_blank"],
                         sum(old[at:at + SECTOR] == BLANK for at in range(0, len(old), SECTOR)))

    def test_merged_with_at_sign_in_its_name(self):
        path = self.write("v1@2x.bin", self.flash.read_bytes())
        self.assertEqual(self.extract(self.pack("--merged", path)[0]), self.flash.read_bytes())
        self.assertEqual(self.extract(self.pack("--merged", f"{path}@0")[0]), self.flash.read_bytes())

    def test_mcuboot_has_no_table(self):
        # MCUboot looks into its other slot, too
        bundle, report = self.pack("--merged", f"{self.merged}@0x1000", warns=True)
        self.assertIsNone(report["partition_table_offset"])
        self.assertEqual(report["contents"]["bootloader"]["kind"], "MCUboot")
        self.assertEqual(self.extract(bundle)[0x1000:0x110000], self.merged.read_bytes())

    def test_size_of_the_flash(self):
        def size(*arguments):
            return self.pack(*arguments, warns=True)[1]["min_flash_size"]

        self.assertEqual(size("0x1000", self.bootloader), 4 * MIB)  # what its header says
        self.assertEqual(size("0x8000", self.table), 4 * MIB)  # the end of its last partition
        self.assertEqual(size("0x10000", self.app), 1 * MIB)  # the end of the file
        self.assertEqual(size("0x10000", self.app, "--flash-size", "2MB"), 2 * MIB)
        self.assertEqual(size("0x1000", self.bootloader, "--erase", "0x7ff000+4K", "--skip-check", "flash-size"),
                         8 * MIB)

    def test_parts_that_share_a_sector(self):
        app = self.app.read_bytes()
        cut = 0x12345
        halves = (hex(0x210000 + cut), self.write("tail.bin", app[cut:]), "0x210000", self.write("head.bin", app[:cut]))
        bundle, _ = self.pack(*self.system[:-2], *halves)
        self.assertEqual(self.extract(bundle), self.image)

    def test_bad_files(self):
        missing = self.dir / "missing.bin"
        empty = self.write("empty.bin", b"")
        self.assert_not_packed(3, ["missing.bin"], "0x1000", missing)
        self.assert_not_packed(3, ["missing.bin"], "--merged", f"{missing}@0x1000")
        self.assert_not_packed(3, ["empty.bin"], "0x1000", empty)
        self.assert_not_packed(3, ["table.bin", "overlaps", "bootloader.bin"], "0x1000", self.bootloader, "0x2000",
                               self.table)
        self.assert_not_packed(3, ["table.bin", "0x8100", "0x1000"], "0x1000", self.bootloader, "0x8100", self.table)
        self.assert_not_packed(3, ["app.bin", "4 MB"], "--flash-size", "4MB", "0x3ff000", self.app)
        self.assert_not_packed(3, ["app.bin", "32 MB"], "0xfffff000", self.app)

    def test_bad_usage(self):
        out = ("-o", self.dir / "refused.srb")
        pair = ("0x1000", self.bootloader)
        self.assert_fails(2, ["--out"], "pack", "--chip", "esp32", *pair)
        self.assert_fails(2, ["no input"], "pack", *out, "--chip", "esp32")
        self.assert_fails(2, ["no chip given", "--chip"], "pack", *out, *pair)
        self.assert_fails(2, ["esp99"], "pack", *out, "--chip", "esp99", *pair)
        self.assert_not_packed(2, ["0x8000", "FILE"], *pair, "0x8000")
        self.assert_not_packed(2, ["wherever"], "wherever", self.bootloader)
        self.assert_not_packed(2, ["4MB"], "--flash-size", "5MB", *pair)
        self.assert_not_packed(2, ["dio"], "--flash-mode", "octal", *pair)
        self.assert_not_packed(2, ["frequency"], "--flash-freq", "60m", *pair)
        self.assert_not_packed(2, ["no such flash setting"], "--flash-freq", "frequency", *pair)
        self.assert_not_packed(2, ["everything", "flash-mode"], "--skip-check", "everything", *pair)
        self.assert_not_packed(2, ["0x8001"], "--partition-table", "0x8001", *pair)

    def test_out_and_key_that_cannot_be_used(self):
        self.assert_fails(3, ["no/out.srb"], "pack", "-o", self.dir / "no/out.srb", "--chip", "esp32", *self.system)
        self.assert_not_packed(3, ["public.pem"], "--sign", self.public_key, *self.system)
        self.assert_not_packed(3, ["nokey.pem"], "--sign", self.dir / "nokey.pem", *self.system)


class Manifests(PackTest):
    def manifest(self, content, name="web/manifest.json"):
        return self.write(name, content)

    def builds(self, *builds):
        return {"name": "x", "version": "1", "builds": list(builds)}

    def parts(self, *offsets):
        files = (self.bootloader, self.table, self.otadata, self.app)
        return [{"path": f"../{file.name}", "offset": offset} for file, offset in zip(files, offsets)]

    def test_offsets_as_numbers_and_as_text_in_any_order(self):
        parts = self.parts(0x1000, "0x8000", "53248", 0x210000)
        manifest = self.manifest(self.builds({"chipFamily": "ESP32", "parts": parts[::-1]}))
        bundle, _ = self.pack("--manifest", manifest, chip=None)
        self.assertEqual(self.extract(bundle), self.image)

    def test_chip_picks_the_build(self):
        good = {"chipFamily": "ESP32", "parts": self.parts(0x1000, 0x8000, 0xD000, 0x210000)}
        other = {"chipFamily": "ESP32-S3", "parts": [{"path": "s3.bin", "offset": 0}]}
        older = {"chipFamily": "ESP8266", "parts": [{"path": "8266.bin", "offset": 0}]}
        manifest = self.manifest(self.builds(older, other, good))
        self.assertEqual(self.pack("--manifest", manifest)[1]["chip"], "esp32")
        self.assert_not_packed(3, ["s3.bin"], "--manifest", manifest, chip="esp32s3")
        self.assert_not_packed(3, ["manifest.json", "no build for ESP32-C3", "only for ESP8266 (not supported), ESP32-S3, ESP32"],
                               "--manifest", manifest, chip="esp32c3")

    def test_several_chips_and_none_given_is_asked(self):
        """Taking one of them would be a guess; builds that are not supported do not count."""
        good = {"chipFamily": "ESP32", "parts": self.parts(0x1000, 0x8000, 0xD000, 0x210000)}
        other = {"chipFamily": "ESP32-S3", "parts": [{"path": "s3.bin", "offset": 0}]}
        older = {"chipFamily": "ESP8266", "parts": [{"path": "8266.bin", "offset": 0}]}
        out = ("-o", self.dir / "refused.srb")

        def ask(status, words, *builds):
            self.assert_fails(status, ["manifest.json", *words], "pack", *out, "--manifest",
                              self.manifest(self.builds(*builds)))

        ask(2, ["ESP8266 (not supported), ESP32-S3, ESP32", "--chip esp32s3"], older, other, good)
        ask(2, ["ESP32, ESP32-S3", "--chip esp32"], good, other)
        ask(3, ["no build for a supported chip", "ESP8266 (not supported)"], older)
        ask(3, ["no build for a supported chip", 'no "chipFamily" (not supported)'], {"parts": []})
        ask(3, ["no build for a supported chip"], *[{"chipFamily": "X" * 500}] * 40)
        for builds in ((older, good), (good, older), (good,), (good, good)):
            manifest = self.manifest(self.builds(*builds))
            self.assertEqual(self.pack("--manifest", manifest, chip=None)[1]["chip"], "esp32")

    def test_a_point_for_the_thousands_in_an_offset(self):
        """Published by WLED 0.14.4: shown as it stands, with what was meant, and taken only if one says so."""
        for written, meant in ((32.768, 0x8000), ("32.768", 0x8000), (4.096, 0x1000), (40.96, 0xA000), (65.536, 0x10000),
                               (53.248, 0xD000), (2162.688, 0x210000)):
            part = {"path": f"../{self.table.name}", "offset": written}
            manifest = self.manifest(self.builds({"chipFamily": "ESP32", "parts": [part]}))
            self.assert_not_packed(3, ["manifest.json", "part 1", self.table.name, json.dumps(written),
                                       f"{meant} ({meant:#x})", "--fix-offsets"], "--manifest", manifest)
        parts = self.parts(4.096, 32.768, "53.248", 0x210000)
        manifest = self.manifest(self.builds({"chipFamily": "ESP32", "parts": parts}))
        bundle, _ = self.pack("--manifest", manifest, "--fix-offsets")
        self.assertEqual(self.extract(bundle), self.image)
        self.assert_not_packed(2, ["--fix-offsets", "--manifest"], "--fix-offsets", *self.system)

    def test_bad_offsets_are_shown_as_they_stand(self):
        for written in ("-1", "-32.768", "0.5", "32.77", "32.7681", "4294967296", "1e99", "4294967.296", "67108.864", "true",
                        "null", "[]", "{}", '"0x"', '"ten"', '"0x1000z"', '"-4096"', '"1.048.576"', '""', '"."', '"1e4"',
                        '"inf"', '"nan"', '" 4096"', '"0x8.000"', '"' + "9" * 90 + '"', "1e999"):
            manifest = self.write("web/manifest.json", ('{"builds": [{"chipFamily": "ESP32", "parts": [{"path": "a.bin", '
                                                        f'"offset": {written}}}]}}]}}').encode())
            for option in ((), ("--fix-offsets",)):
                shown = {"1e99": "1e+99", "1e999": "bad"}.get(written, written[:40])
                self.assert_not_packed(3, ["part 1", "a.bin", "offset", shown], "--manifest", manifest, *option)
        missing = self.manifest(self.builds({"chipFamily": "ESP32", "parts": [{"path": "a.bin"}]}))
        self.assert_not_packed(3, ["part 1", "a.bin", "offset", "missing"], "--manifest", missing)

    def test_good_offsets_however_written(self):
        for written in ("32768", "32768.0", "3.2768e4", '"32768"', '"0x8000"', '"32K"'):
            manifest = self.write("web/manifest.json", ('{"builds": [{"chipFamily": "ESP32", "parts": [{"path": '
                                                        f'"../{self.table.name}", "offset": {written}}}]}}]}}').encode())
            _, report = self.pack("--manifest", manifest, warns=True)
            self.assertEqual([region["offset"] for region in report["regions"]], [0x8000])

    def test_bad_manifests(self):
        def refuse(words, content, name="web/manifest.json"):
            self.assert_not_packed(3, [name, *words], "--manifest", self.manifest(content, name))

        def with_part(part):
            return self.builds({"chipFamily": "ESP32", "parts": [part]})

        refuse(["line 3"], b'{\n"builds": [\n}')
        refuse(["builds"], {"name": "x"})
        refuse(["builds"], self.builds())
        refuse(["builds"], [1, 2])
        refuse(["parts"], self.builds({"chipFamily": "ESP32"}))
        refuse(["parts"], self.builds({"chipFamily": "ESP32", "parts": []}))
        refuse(["part 1", "path"], with_part({"offset": 0}))
        refuse(["part 1", "path"], with_part(7))
        for offset in (-1, 0.5, 1 << 32, "0x", "ten", "0x1000z", None, True):
            refuse(["part 1", "a.bin", "offset"], with_part({"path": "a.bin", "offset": offset}))
        refuse(["part 1", "offset"], with_part({"path": "a.bin"}))
        refuse(["part 1", "ftp://example.org/a.bin"], with_part({"path": "ftp://example.org/a.bin", "offset": 0}))
        self.assert_not_packed(3, ["web/gone.bin"], "--manifest",
                               self.manifest(with_part({"path": "gone.bin", "offset": 0})))
        self.assert_not_packed(3, ["absent.json"], "--manifest", self.dir / "absent.json")


class Uf2(PackTest):
    """UF2 as esptool makes it, and what is wrong with others."""

    def merge(self, made, *arguments):
        espressif.run("esptool", "--chip", "esp32", "merge-bin", "--format", "uf2", "-o", made, *arguments)

    def uf2(self, *options):
        """The test system as UF2."""
        made = self.dir / "image.uf2"
        self.merge(made, *options, *self.system)
        return made

    def blocks(self, content):
        return [content[at:at + 512] for at in range(0, len(content), 512)]

    def assert_refused(self, words, content):
        self.assert_not_packed(3, ["bad.uf2", *words], "--merged", self.write("bad.uf2", content))

    def test_merged_images_as_esptool_makes_them(self):
        for options in ((), ("--chunk-size", "256"), ("--md5-disable",)):
            self.assertEqual(self.extract(self.pack("--merged", self.uf2(*options))[0]), self.image, options)

    def test_what_lies_between_is_kept(self):
        _, report = self.pack("--merged", self.uf2())
        _, files = self.pack(*self.system)
        self.assertEqual(report["regions"], files["regions"])

    def test_an_app_alone_goes_where_it_is_put(self):
        """CircuitPython's addresses begin at 0, where the app's partition does."""
        for base in ("0x0", "0x10000"):
            made = self.dir / "app.uf2"
            self.merge(made, base, self.app)
            self.assertEqual(self.extract(self.pack(*self.system[:-1], made)[0]), self.image, base)

    def test_what_is_not_whole_is_refused(self):
        good = self.uf2().read_bytes()
        blocks = self.blocks(good)
        for end in (512, len(good) // 2, len(good) - 512):
            self.assert_refused(["missing" if end < len(blocks[0]) else "cut short"], good[:end // 512 * 512])
        self.assert_refused(["cut short"], good[:-1])
        self.assert_refused(["0x0"], b"UF2\n" * 128)
        for offset in (0, 4, 508):
            bad = bytearray(good)
            bad[512 * 5 + offset] ^= 0xFF
            self.assert_refused(["0xa00"], bytes(bad))
        self.assert_refused(["missing"], b"".join(blocks[:7] + blocks[8:]))
        self.assert_refused(["missing"], b"".join([blocks[1], blocks[0], *blocks[2:]]))

    def test_what_is_for_others_is_refused(self):
        blocks = self.blocks(self.uf2().read_bytes())
        other = [block[:28] + struct.pack("<I", 0xE48BFF56) + block[32:] for block in blocks]
        self.assert_refused(["0xe48bff56", "no ESP32"], b"".join(other))
        mixed = blocks + [block[:28] + struct.pack("<I", 0xC47E5767) + block[32:] for block in blocks]
        self.assert_refused(["several chips"], b"".join(mixed))
        self.assert_refused(["two blocks"], b"".join(blocks + blocks))
        far = [blocks[0][:12] + struct.pack("<I", 0x2000000) + blocks[0][16:], *blocks[1:]]
        self.assert_refused(["0x2000000", "32 MiB"], b"".join(far))
        none = [block[:8] + struct.pack("<I", 0x2001) + block[12:] for block in blocks]
        self.assert_refused(["nothing in it is for flash"], b"".join(none))


class Gzip(PackTest):
    def gz(self, content, name="image.bin.gz"):
        return self.write(name, gzip.compress(content))

    def test_apps_and_merged_images_are_unpacked(self):
        whole = self.gz(self.image)
        self.assertEqual(self.extract(self.pack("--merged", whole)[0]), self.image)
        part = self.gz(self.image[0x1000:])
        self.assertEqual(self.extract(self.pack("--merged", f"{part}@0x1000")[0]), self.image)
        app = self.gz(self.app.read_bytes())
        bundle, _ = self.pack(*self.system[:-1], app)
        self.assertEqual(self.extract(bundle), self.image)
        middle = len(self.image) // 2
        joined = self.write("joined.gz", gzip.compress(self.image[:middle]) + gzip.compress(self.image[middle:]))
        self.assertEqual(self.extract(self.pack("--merged", joined)[0]), self.image)

    def test_what_holds_no_image_stays_data(self):
        data = self.gz(b"a page for the web server")
        bundle, _ = self.pack(*self.system, "0x3f0000", data, "--skip-check", "place")
        self.assertEqual(self.extract(bundle)[0x3F0000:][:data.stat().st_size], data.read_bytes())

    def test_damaged_files_are_refused(self):
        good = gzip.compress(self.image)
        for end in (2, 9, 10, 11, 100, len(good) // 2, len(good) - 8, len(good) - 1):
            self.assert_not_packed(3, ["cut.gz", "cut short"], "--merged", self.write("cut.gz", good[:end]))
        for at in (2, 3, 12, len(good) - 6, len(good) - 2):
            bad = good[:at] + bytes([good[at] ^ 0xE1]) + good[at + 1:]
            self.assert_not_packed(3, ["bad.gz", "gzip file"], "--merged", self.write("bad.gz", bad))
        self.assert_not_packed(3, ["more.gz", "damaged"], "--merged", self.write("more.gz", good + b"more"))

    def test_more_than_a_flash_is_refused(self):
        """A small file may unpack to gigabytes."""
        bomb = self.gz(b"\xe9" + bytes(32 * MIB))
        self.assertLess(bomb.stat().st_size, 64 << 10)
        self.assert_not_packed(3, ["image.bin.gz", "32 MiB"], "--merged", bomb)


class BuildDirs(PackTest):
    def build(self, **changes):
        shutil.rmtree(self.dir / "build", ignore_errors=True)
        for name, file in (("bootloader/bootloader.bin", self.bootloader), ("t/table.bin", self.table),
                           ("otadata.bin", self.otadata), ("app.bin", self.app)):
            self.write(f"build/{name}", file.read_bytes())
        arguments = {
            "write_flash_args": ["--flash_mode", "dio"],
            "flash_settings": {"flash_mode": "dio", "flash_size": "4MB", "flash_freq": "40m"},
            "flash_files": {"0x8000": "t/table.bin", "0x210000": "app.bin", "0xd000": "otadata.bin",
                            "0x1000": "bootloader/bootloader.bin"},
            "partition-table": {"offset": "0x8000", "file": "t/table.bin", "encrypted": "false"},
            "extra_esptool_args": {"after": "hard_reset", "before": "default_reset", "stub": True, "chip": "esp32"},
        }
        arguments.update(changes)
        self.write("build/flasher_args.json", {name: value for name, value in arguments.items() if value is not None})
        return self.dir / "build"

    def test_build(self):
        bundle, report = self.pack("--build-dir", self.build(), chip=None)
        self.assertEqual(report["chip"], "esp32")
        self.assertEqual(self.extract(bundle), self.image)

    def test_settings_of_the_build_and_of_the_user(self):
        settings = {"flash_mode": "qio", "flash_size": "detect", "flash_freq": "80m"}
        build = self.build(flash_settings=settings)
        info = self.pack("--build-dir", build, chip=None)[1]["contents"]["bootloader"]
        self.assertEqual((info["flash_mode"], info["flash_size"], info["flash_clock"]), ("QIO", "4MB", "80 MHz"))
        self.assertTrue(info["intact"])
        info = self.pack("--build-dir", build, "--flash-mode", "dout", chip=None)[1]["contents"]["bootloader"]
        self.assertEqual((info["flash_mode"], info["flash_clock"]), ("DOUT", "80 MHz"))

    def test_bad_builds(self):
        def refuse(words, **changes):
            self.assert_not_packed(3, ["flasher_args.json", *words], "--build-dir", self.build(**changes))

        refuse(["chip"], extra_esptool_args=None)
        refuse(["chip"], extra_esptool_args={"chip": "esp99"})
        refuse(["esp32s3", "esp32"], extra_esptool_args={"chip": "esp32s3"})
        refuse(["flash_size"], flash_settings=None)
        refuse(["flash mode"], flash_settings={"flash_mode": "fast", "flash_size": "4MB", "flash_freq": "40m"})
        refuse(["flash_files"], flash_files=None)
        refuse(["flash_files"], flash_files={})
        refuse(["start"], flash_files={"start": "app.bin"})
        refuse(["0x1000"], flash_files={"0x1000": 5})
        refuse(["partition-table"], **{"partition-table": {"offset": "here"}})
        self.assert_not_packed(3, ["gone.bin"], "--build-dir", self.build(flash_files={"0x1000": "gone.bin"}))
        self.write("build/flasher_args.json", b"{]")
        self.assert_not_packed(3, ["flasher_args.json", "line 1"], "--build-dir", self.dir / "build")
        self.assert_not_packed(3, ["nowhere/flasher_args.json"], "--build-dir", self.dir / "nowhere")


class EspIdfProject(PackTest):
    """The CMake functions, in a project where a few functions of the same names stand for ESP-IDF."""
    MOCK = """
cmake_minimum_required(VERSION 3.16)
project(demo NONE)
function(idf_build_get_property variable name)
    set(${variable} ${CMAKE_BINARY_DIR} PARENT_SCOPE)
endfunction()
function(fail_at_build_time target)
    add_custom_target(${target} ALL COMMAND ${CMAKE_COMMAND} -E echo "${ARGN}" COMMAND ${CMAKE_COMMAND} -E false)
endfunction()
function(target_add_binary_data target file type keyword name)
    message("EMBEDS ${target} ${file} ${type} ${keyword} ${name}")
endfunction()
add_custom_target(images COMMAND ${CMAKE_COMMAND} -E copy_directory @BUILD@ ${CMAKE_BINARY_DIR})
add_custom_target(flash)
add_dependencies(flash images)
set(COMPONENT_LIB main)
include(@INCLUDE@)
@CALL@
"""

    def build(self, call, tool=cases.PROGRAM):
        """Configures and builds. Gives the exit status, all output, and the build folder."""
        shutil.rmtree(self.dir / "project", ignore_errors=True)
        include = pathlib.Path(__file__).resolve().parent.parent.parent / "project_include.cmake"
        text = self.MOCK.replace("@BUILD@", str(self.dir / "images")).replace("@INCLUDE@", str(include))
        self.write("project/CMakeLists.txt", text.replace("@CALL@", call).encode())
        environment = {**os.environ, "SELF_REFLASHER_TOOL": tool}
        output = ""
        for command in (["-S", self.dir / "project", "-B", self.dir / "project/b"], ["--build", self.dir / "project/b"]):
            result = subprocess.run(["cmake", *command], env=environment, text=True, check=False,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            output += result.stdout
            if result.returncode != 0:
                break
        return result.returncode, output, self.dir / "project/b"

    def setUp(self):
        for name, file in (("a.bin", self.bootloader), ("b.bin", self.table), ("c.bin", self.app)):
            self.write(f"images/{name}", file.read_bytes())
        self.write("images/flasher_args.json", {
            "flash_settings": {"flash_mode": "dio", "flash_size": "4MB", "flash_freq": "40m"},
            "flash_files": {"0x1000": "a.bin", "0x8000": "b.bin", "0x210000": "c.bin"},
            "extra_esptool_args": {"chip": "esp32"}})

    def test_bundle_of_the_build(self):
        status, output, folder = self.build("self_reflasher_create_bundle()")
        self.assertEqual(status, 0, output)
        report = self.run_json(0, "inspect", folder / "demo.srb")
        self.assertEqual([region["offset"] for region in report["regions"]], [0x1000, 0x8000, 0xD000, 0x210000])
        self.assertIsNone(report["key_id"])

    def test_options(self):
        shutil.copy(self.key, self.dir / "images/key.pem")
        status, output, folder = self.build("self_reflasher_create_bundle(OUTPUT x.srb SIGN_KEY ../images/key.pem "
                                            "OPTIONS --keep-bootloader --erase nvs)")
        self.assertEqual(status, 0, output)
        report = self.run_json(0, "inspect", folder / "x.srb")
        self.assertEqual([region["offset"] for region in report["regions"]], [0x8000, 0x9000, 0x210000])
        self.assertEqual(run("verify", folder / "x.srb", "--public-key", self.public_key).returncode, 0)

    def test_embed(self):
        bundle = self.write("images/x.srb", b"bundle")
        status, output, _ = self.build("self_reflasher_embed_bundle(../images/x.srb)")
        self.assertEqual(status, 0, output)
        self.assertIn(f"EMBEDS main {bundle} BINARY RENAME_TO self_reflasher_bundle", output)

    def test_failures(self):
        status, output, _ = self.build("self_reflasher_embed_bundle(gone.srb)")
        self.assertNotEqual(status, 0)
        self.assertIn("gone.srb", output)
        status, output, _ = self.build("self_reflasher_create_bundle(OUTPUT x.srb key.pem)")
        self.assertNotEqual(status, 0)
        self.assertIn("key.pem", output)
        self.write("images/a.bin", self.bootloader.read_bytes()[:-1])
        status, output, _ = self.build("self_reflasher_create_bundle()")
        self.assertNotEqual(status, 0)
        self.assertIn("check 'bootloader' failed", output)


class Regions(PackTest):
    def test_keep(self):
        bundle, report = self.pack("--merged", self.flash, "--keep", "nvs", "--keep", "0x3f0000..0x3f2000", "--keep",
                                   "0x3ff000+4K")
        kept = [(0x9000, 0xD000), (0x3F0000, 0x3F2000), (0x3FF000, 0x400000)]
        self.assertEqual(report["sectors"], 1024 - 4 - 2 - 1)
        base = self.write("base.bin", b"\x5a" * (4 * MIB))
        expected = bytearray(self.flash.read_bytes())
        for start, end in kept:
            expected[start:end] = b"\x5a" * (end - start)
        self.assertEqual(self.extract(bundle, "--base", base), bytes(expected))
        self.assertEqual(read_bundle(bundle.read_bytes(), base.read_bytes()), bytes(expected))

    def test_erase_what_no_input_fills(self):
        bundle, _ = self.pack(*self.system, "--erase", "0..4M", "--keep", "nvs")
        base = self.write("base.bin", b"\x5a" * (4 * MIB))
        expected = bytearray(self.image)
        expected[0x9000:0xD000] = b"\x5a" * 0x4000
        self.assertEqual(self.extract(bundle, "--base", base), bytes(expected))

    def test_rest_of_the_last_sector_is_blank(self):
        bundle, _ = self.pack(*self.system)
        base = self.write("base.bin", b"\0" * (4 * MIB))
        after = self.extract(bundle, "--base", base)
        self.assertEqual(after[0x8000:0x9000], self.table.read_bytes().ljust(SECTOR, b"\xff"))
        self.assertEqual(after[0x9000:0xA000], b"\0" * SECTOR)

    def test_keep_bootloader(self):
        bundle, _ = self.pack("--merged", self.flash, "--keep-bootloader", warns=True)
        base = self.write("base.bin", b"\x5a" * (4 * MIB))
        expected = b"\x5a" * 0x8000 + self.flash.read_bytes()[0x8000:]
        self.assertEqual(self.extract(bundle, "--base", base), expected)

    def test_app_alone(self):
        result = run("pack", "-o", self.dir / "app.srb", "--chip", "esp32", "0x210000", self.app)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, "warning.*bootloader.*app")

    def test_many_blank_runs_become_fewer_regions(self):
        image = bytearray(b"\xff" * (16 * MIB))
        for block in range(0, 16 * MIB, 2 << 16):
            image[block] = 0
        bundle, report = self.pack("0x0", self.write("sparse.bin", bytes(image)), "--partition-table", "none",
                                   "--skip-check", "bootloader", "--skip-check", "flash-size")
        self.assertLessEqual(len(report["regions"]), 64)
        self.assertEqual(self.extract(bundle), bytes(image))

    def test_more_regions_than_a_bundle_has(self):
        sector = self.write("sector.bin", b"\0")
        pairs = [word for i in range(65) for word in (hex(i * 0x2000), sector)]
        checks = ("--partition-table", "none", "--skip-check", "bootloader", "--skip-check", "app")
        self.assert_not_packed(1, ["64"], *pairs, *checks)
        self.pack(*pairs[:-2], *checks, warns=True)

    def test_bad_regions(self):
        self.assert_not_packed(2, ["spiffs", "table"], *self.system, "--keep", "spiffs")
        self.assert_not_packed(2, ["nvs"], "0x1000", self.bootloader, "--keep", "nvs")
        self.assert_not_packed(2, ["0x9001+4K", "sector"], *self.system, "--erase", "0x9001+4K")
        self.assert_not_packed(2, ["0x9000+0", "sector"], *self.system, "--erase", "0x9000+0")
        self.assert_not_packed(2, ["0x9000..0x8000"], *self.system, "--erase", "0x9000..0x8000")
        self.assert_not_packed(2, ["0xfffff000+8K"], *self.system, "--erase", "0xfffff000+8K")
        self.assert_not_packed(2, ["4MB"], *self.system, "--flash-size", "4MB", "--erase", "4M+4K")
        self.assert_not_packed(1, ["kept"], *self.system, "--keep", "0..4M")
        self.assert_not_packed(2, ["--keep"], "--merged", self.flash, "--keep-bootloader", "--partition-table", "none")
        self.assert_not_packed(2, ["--flash-mode"], *self.system, "--keep-bootloader", "--flash-mode", "dio")


class Moves(PackTest):
    """From the demo's table, with nvs at 0x9000, to one where otadata has that place and data lies after the apps."""
    NEW = (("otadata", 1, 0, 0x9000, 0x2000), ("phy_init", 1, 1, 0xB000, 0x1000), ("nvs", 1, 2, 0xC000, 0x4000),
           ("ota_1", 0, 0x11, 0x10000, 0x100000), ("files", 1, 0x82, 0x110000, 0x80000),
           ("calibration_data", 1, 0x40, 0x190000, 0x2000), ("ota_0", 0, 0x10, 0x210000, 0x1F0000))

    def setUp(self):
        old = bytearray(self.flash.read_bytes())
        old[0x9000:0x10000] = bytes(1 + i % 251 for i in range(0x4000)) + old[0xD000:0x10000]
        old[0x110000:0x112000] = b"region" + b"\x11" * 0x1FFA
        self.old = self.write("old.bin", bytes(old))
        self.new_table = self.write("new-table.bin", partition_table(*self.NEW))
        self.new = ("0x1000", self.bootloader, "0x8000", self.new_table, "0x9000", self.otadata, "0x210000", self.app)

    def moved(self, bundle, flash):
        """What a chip would make of a flash, by the second reader."""
        data = bundle.read_bytes()
        after = read_bundle(data, flash)
        if after[0x1000:0x9000] == flash[0x1000:0x9000]:
            return after
        after = bytearray(after)
        for label, source, length, place, room in read_moves(data):
            source, length = read_table(flash)[label] if label else (source, length)
            after[place:place + room] = flash[source:source + length].ljust(room, b"\xff")
        return bytes(after)

    def check(self, bundle, moves):
        self.assertEqual(read_moves(bundle.read_bytes()), moves)
        after = self.extract(bundle, "--base", self.old)
        self.assertEqual(after, self.moved(bundle, self.old.read_bytes()))
        again = self.extract(bundle, "--base", self.write("after.bin", after))
        self.assertEqual(again, after)
        return after

    def test_label(self):
        bundle, report = self.pack(*self.new, "--move", "nvs", "--sign", self.key, warns=True)
        after = self.check(bundle, [("nvs", 0, 0, 0xC000, 0x4000)])
        self.assertEqual(after[0xC000:0x10000], self.old.read_bytes()[0x9000:0xD000])
        self.assertEqual(after[0x9000:0xB000], self.otadata.read_bytes())
        self.assertEqual(report["moves"], [{"label": "nvs", "source_offset": None, "source_size": None,
                                            "offset": 0xC000, "size": 0x4000}])
        self.assertEqual(run("verify", bundle, "--public-key", self.public_key).returncode, 0)
        data = bytearray(bundle.read_bytes())
        page = pathlib.Path(__file__).resolve().parent.parent.parent.joinpath("docs/bundle-format.md").read_text()
        example = bytes.fromhex(page.split("The partition `nvs`")[1].split("```")[1])
        end = struct.unpack_from("<I", data, 16)[0]
        self.assertEqual(data[end - 32:end], example)
        data[end - 3] ^= 0x10  # in the last field of the table of moves
        self.assert_fails(1, ["damaged.srb"], "verify", self.write("damaged.srb", bytes(data)), "--public-key",
                          self.public_key)

    def test_several_in_any_order(self):
        words = ("--move", "0x110000+8K=calibration_data", "--move", "0x3ff000..4M=0x1f0000+64K", "--move", "nvs=files")
        bundle, report = self.pack(*self.new, *words, warns=True)
        after = self.check(bundle, [("nvs", 0, 0, 0x110000, 0x80000), ("", 0x110000, 0x2000, 0x190000, 0x2000),
                                    ("", 0x3FF000, 0x1000, 0x1F0000, 0x10000)])
        self.assertTrue(after[0x190000:0x192000].startswith(b"region"))
        self.assertEqual(after[0x114000:0x190000], b"\xff" * 0x7C000)
        self.assertEqual([move["source_offset"] for move in report["moves"]], [None, 0x110000, 0x3FF000])

    def test_label_of_16_bytes(self):
        bundle, _ = self.pack(*self.new, "--move", "calibration_data", warns=True)
        self.assertEqual(read_moves(bundle.read_bytes()), [("calibration_data", 0, 0, 0x190000, 0x2000)])

    def test_inputs_do_not_count_where_data_moves_to(self):
        image = bytearray(b"\xff" * (4 * MIB))
        for address, file in zip(self.new[::2], self.new[1::2]):
            image[int(address, 16):int(address, 16) + file.stat().st_size] = file.read_bytes()
        image[0xC000:0x10000] = b"\x77" * 0x4000
        merged = self.write("merged.bin", bytes(image))
        for more in ((), ("--erase", "0..4M")):
            bundle, report = self.pack("--merged", merged, "--move", "nvs", *more, warns=True)
            self.assertFalse(any(region["offset"] < 0x10000 and region["offset"] + region["size"] > 0xC000
                                 for region in report["regions"]))
            after = self.check(bundle, [("nvs", 0, 0, 0xC000, 0x4000)])
            self.assertEqual(after[0xC000:0x10000], self.old.read_bytes()[0x9000:0xD000])

    def test_old_layout(self):
        table = self.write("old-table.bin", self.old.read_bytes()[0x8000:0x8C00].rstrip(b"\xff"))
        without, _ = self.pack(*self.new, "--move", "nvs", warns=True)
        expected = without.read_bytes()
        for old in (self.old, table):
            out = self.dir / "old-layout.srb"
            result = run("pack", "-o", out, "--chip", "esp32", *self.new, "--move", "nvs", "--old-layout", old)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("nvs: 16 KiB at 0x009000 move to 16 KiB at 0x00c000", result.stderr)
            self.assertEqual("data is lost: phy_init" in result.stderr, old == self.old)  # a table says nothing of what is in use
            self.assertEqual(out.read_bytes(), expected)

    def test_only_the_chip_can_check(self):
        result = run("pack", "-o", self.dir / "x.srb", "--chip", "esp32", *self.new, "--move", "nvs", "--move",
                     "phy_init", "--move", "0x120000+4K=files")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, "warning: .*--old-layout.* phy_init, nvs\n")
        result = run("pack", "-o", self.dir / "x.srb", "--chip", "esp32", *self.new, "--move", "0x120000+4K=files")
        self.assertNotIn("warning", result.stderr)

    def test_what_stays_where_it_is(self):
        rows = [row if row[0] != "files" else ("phy_init", 1, 1, 0xF000, 0x1000) for row in self.NEW[2:]]
        rows = [("otadata", 1, 0, 0xD000, 0x2000), ("nvs", 1, 2, 0x9000, 0x4000)] + rows[1:]
        new = (*self.system[:2], "0x8000", self.write("same.bin", partition_table(*rows)), *self.system[4:])
        out = self.dir / "same.srb"
        result = run("pack", "-o", out, "--chip", "esp32", *new, "--move", "nvs", "--move", "phy_init",
                     "--old-layout", self.old)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("nvs: 16 KiB at 0x009000 stay where they are", result.stderr)
        self.check(out, [("nvs", 0, 0, 0x9000, 0x4000), ("phy_init", 0, 0, 0xF000, 0x1000)])

    def test_larger_room_at_the_same_place(self):
        rows = (("nvs", 1, 2, 0x9000, 0x5000), ("otadata", 1, 0, 0xE000, 0x2000), *self.NEW[3:])
        new = (*self.new[:2], "0x8000", self.write("larger.bin", partition_table(*rows)), "0xe000", self.otadata,
               *self.new[6:])
        bundle, _ = self.pack(*new, "--move", "nvs", "--old-layout", self.old, warns=True)
        after = self.check(bundle, [("nvs", 0, 0, 0x9000, 0x5000)])
        self.assertEqual(after[0x9000:0xE000], self.old.read_bytes()[0x9000:0xD000] + BLANK)

    def test_size_of_the_flash(self):
        for move in ("0x110000+4K=0x7ff000+4K", "0x7ff000+4K=files"):
            report = self.pack(*self.new, "--move", move)[1]
            self.assertEqual(report["min_flash_size"], 8 * MIB)
        self.assert_not_packed(2, ["4MB"], *self.new, "--flash-size", "4MB", "--move", move)

    def refuse(self, status, words, *moves, new=None):
        arguments = [word for move in moves for word in ("--move", move)]
        self.assert_not_packed(status, words, *(new or self.new), *arguments)

    def test_bad_syntax(self):
        for word in ("=", "=nvs", "nvs=", "nvs=nowhere", "0x110000+4K", "0x110001+4K=files", "0x110000+1=files",
                     "0x110000+0=files", "0x120000..0x110000=files", "files=0x110800+4K", "a name of 17 bytes=files",
                     "0xfffff000+8K=files", f"{'x' * 99}=files"):
            self.refuse(2, [], word)

    def test_unknown_partitions(self):
        self.refuse(2, ["'spiffs'", "table that is packed"], "spiffs")
        self.refuse(2, ["'spiffs'", "table that is packed"], "nvs=spiffs")
        for old in (self.old, self.table):
            self.assert_not_packed(1, [str(old), "'spiffs'"], *self.new, "--move", "spiffs=files", "--old-layout", old)

    def test_apps_are_not_moved(self):
        self.refuse(2, ["'ota_1'", "apps"], "ota_1")
        self.refuse(2, ["'ota_0'", "apps"], "nvs=ota_0")
        self.assert_not_packed(2, ["'ota_1'", "apps"], *self.new, "--move", "ota_1=files", "--old-layout", self.old)

    def test_what_does_not_fit(self):
        self.refuse(1, ["0x110000+16K=calibration_data", "16 KiB", "8 KiB"], "0x110000+16K=calibration_data")
        self.assert_not_packed(1, ["nvs: uses 4 pages of 4 KiB, its new place at 0x190000 has 2"], *self.new, "--move",
                               "nvs=calibration_data", "--old-layout", self.old)

    def test_places_of_the_new_system(self):
        self.refuse(1, ["bootloader and partition table", "0x009000"], "0x110000+4K=0x1000+4K")
        self.refuse(1, ["bootloader and partition table"], "0x110000+4K=0x8000+4K")
        self.refuse(1, ["bootloader and partition table"], "0x110000+64K=0x7000..0x17000")
        self.refuse(1, ["'otadata'"], "nvs=otadata")
        self.refuse(1, ["'ota_0'"], "nvs=0x210000+16K")
        self.refuse(1, ["'ota_1'"], "nvs=0xf000+8K")
        bootloader = ("0x1000", self.bootloader)  # and the table is kept
        self.assert_not_packed(1, ["'ota_1'"], *bootloader, "--move", "nvs=0x10000+16K", "--old-layout", self.old)
        merged = ("--merged", f"{self.merged}@0x1000")
        self.refuse(1, ["boots"], "nvs=0x10000+16K", new=merged)
        self.refuse(1, ["boots"], "nvs=0x4000+16K", new=merged)
        bundle, _ = self.pack(*merged, "--move", "nvs=0x3f0000+16K", warns=True)
        self.assertEqual(read_moves(bundle.read_bytes()), [("nvs", 0, 0, 0x3F0000, 0x4000)])
        after = self.check(bundle, [("nvs", 0, 0, 0x3F0000, 0x4000)])
        self.assertEqual(after[0x3F0000:0x3F4000], self.old.read_bytes()[0x9000:0xD000])

    def test_moves_that_contradict_others(self):
        self.refuse(2, ["two moves to one place", "0x110000", "0x110000"], "nvs=files", "phy_init=0x110000+4K")
        self.refuse(2, ["two moves of 'nvs'"], "nvs", "nvs=files")
        self.refuse(2, ["two moves of one place"], "0x112000+8K=files", "0x113000+4K=calibration_data")
        self.refuse(2, ["0x110000", "--keep"], "0x110000+8K=files")
        self.assert_not_packed(2, ["--keep nvs"], *self.new, "--move", "nvs", "--keep", "nvs")

    def test_more_than_16(self):
        moves = [f"old{i}={hex(0x110000 + i * SECTOR)}+4K" for i in range(17)]
        self.refuse(2, ["old16", "16 moves"], *moves)
        arguments = [word for move in moves[:-1] for word in ("--move", move)]
        self.assertEqual(len(self.pack(*self.new, *arguments, warns=True)[1]["moves"]), 16)

    def test_moves_that_would_never_be_made(self):
        words = ["bootloader", "partition table"]
        self.refuse(2, words, "nvs=0x110000+16K", new=("0x210000", self.app))
        self.assert_not_packed(1, words, *self.system, "--move", "nvs=0x110000+16K", "--old-layout", self.old)

    def test_bad_old_layout(self):
        move = (*self.new, "--move", "nvs", "--old-layout")
        damaged = bytearray(self.old.read_bytes())
        damaged[0x8024] ^= 1
        self.assert_not_packed(3, ["missing.bin"], *move, self.dir / "missing.bin")
        self.assert_not_packed(3, ["app.bin", "no partition table"], *move, self.app)
        self.assert_not_packed(3, ["damaged.bin", "0x8000", "MD5"], *move, self.write("damaged.bin", bytes(damaged)))

    def test_inspect(self):
        bundle, _ = self.pack(*self.new, "--move", "nvs", "--move", "0x120000+8K=files", warns=True)
        answer = self.run_json(0, "inspect", bundle)
        self.assertEqual([(move["label"], move["source_offset"], move["source_size"], move["offset"], move["size"])
                          for move in answer["moves"]],
                         [("nvs", None, None, 0xC000, 0x4000), (None, 0x120000, 0x2000, 0x110000, 0x80000)])
        text = run("inspect", bundle).stdout
        self.assertRegex(text, r"Moves\n  0x00c000  moved    16 KiB     from nvs\n"
                               r"  0x110000  moved    512 KiB    from 0x120000\+0x2000\n")
        self.assertEqual(self.run_json(0, "inspect", self.pack(*self.system)[0])["moves"], [])

    def test_diff(self):
        bundle, _ = self.pack(*self.new, "--move", "nvs", "--move", "0x110000+8K=calibration_data", warns=True)
        old = self.old.read_bytes()
        after = self.moved(bundle, old)
        answer = self.run_json(0, "diff", bundle, self.old)
        self.assertTrue(answer["moves_pending"])
        wrong = [at for at in range(0, len(old), SECTOR) if old[at:at + SECTOR] != after[at:at + SECTOR]]
        blank = [at for at in wrong if after[at:at + SECTOR] == BLANK]
        self.assertEqual((answer["sectors_wrong"], answer["sectors_to_program"]), (len(wrong), len(wrong) - len(blank)))
        moves = answer["moves"]
        self.assertEqual([(move["source_offset"], move["source_size"]) for move in moves],
                         [(0x9000, 0x4000), (0x110000, 0x2000)])
        self.assertEqual([move["sectors_wrong"] for move in moves],
                         [sum(0xC000 <= at < 0x10000 for at in wrong), sum(0x190000 <= at < 0x192000 for at in wrong)])
        self.assertEqual([move["sectors_right"] + move["sectors_wrong"] for move in moves], [4, 2])
        text = run("diff", bundle, self.old).stdout
        self.assertRegex(text, r"Moves\n  0x00c000  moved    16 KiB     \d right, \d wrong, from nvs, 16 KiB at "
                               r"0x009000\n  0x190000  .* from 0x110000\+0x2000\n")

        changed = bytearray(after)
        changed[0xC000:0xC100] = b"\0" * 0x100  # the new system writes to what is its own now
        changed = self.write("changed.bin", bytes(changed))
        answer = self.run_json(0, "diff", bundle, changed)
        self.assertTrue(answer["same"])
        self.assertFalse(answer["moves_pending"])
        self.assertEqual(self.extract(bundle, "--base", changed), changed.read_bytes())
        self.assertIn("Moves, made already\n", run("diff", bundle, changed).stdout)

    def test_moves_are_pending_until_bootloader_and_table_are_there(self):
        bundle, _ = self.pack(*self.new, "--move", "nvs", warns=True)
        old = self.old.read_bytes()
        after = bytearray(self.moved(bundle, old))
        for start, end, pending in ((0x1000, 0x2000, True), (0x8000, 0x9000, True), (0x9000, 0xB000, False),
                                    (0x210000, 0x211000, False)):
            torn = bytearray(after)
            torn[start:end] = old[start:end] if old[start:end] != after[start:end] else b"\0" * (end - start)
            if start == 0x8000:
                torn[0xC000:0xD000] = BLANK
            answer = self.run_json(0, "diff", bundle, self.write("torn.bin", bytes(torn)))
            self.assertEqual(answer["moves_pending"], pending)

    def test_what_the_chip_would_refuse(self):
        bundle, _ = self.pack(*self.new, "--move", "spiffs=files", "--move", "ota_1=calibration_data", warns=True)
        self.assert_fails(1, ["old.bin", "'spiffs'", "0x110000"], "diff", bundle, self.old)
        self.assert_fails(1, ["old.bin", "'spiffs'"], "extract", bundle, "-o", self.dir / "x.bin", "--base", self.old)
        bundle, _ = self.pack(*self.new, "--move", "ota_1=calibration_data", warns=True)
        self.assert_fails(1, ["ota_1: 1 MiB do not fit the 8 KiB"], "diff", bundle, self.old)
        blank = self.write("blank.bin", b"\xff" * (4 * MIB))
        self.assert_fails(3, ["blank.bin", "no partition table"], "diff", bundle, blank)

    def test_bundles_with_odd_places(self):
        no_image = self.write("no-image.bin", b"\x77" + self.bootloader.read_bytes()[1:])
        bundle, _ = self.pack("0x1000", no_image, *self.new[2:], "--move", "nvs", "--skip-check", "bootloader",
                              "--skip-check", "flash-size", warns=True)
        for table in (0, 0x1000, 0x3FF000, 0xFFFFFFFF):
            data = bytearray(bundle.read_bytes())
            struct.pack_into("<I", data, 32, table)
            answer = self.run_json(0, "diff", self.write("odd.srb", bytes(data)), self.old)
            self.assertTrue(answer["moves_pending"])
        data = bytearray(bundle.read_bytes())
        struct.pack_into("<H", data, 24, 0x7777)
        self.assert_fails(1, ["odd.srb", "chip"], "diff", self.write("odd.srb", bytes(data)), self.old)
        self.assertEqual(self.run_json(0, "inspect", self.dir / "odd.srb")["moves"][0]["label"], "nvs")

    def test_partitions_that_are_not_made_of_whole_sectors(self):
        bundle, _ = self.pack(*self.new, "--move", "nvs", warns=True)
        old = bytearray(self.old.read_bytes())
        for address, size, status in ((0x9000, 0x3001, 0), (0x9000, 0x4001, 1), (0x9800, 0x1000, 1)):
            old[0x8000:0x8C00] = partition_table(("nvs", 1, 2, address, size)).ljust(0xC00, b"\xff")
            odd = self.write("odd.bin", bytes(old))
            if status == 0:
                after = self.extract(bundle, "--base", odd)
                self.assertEqual(after[0xC000:0x10000], self.old.read_bytes()[0x9000:0xD000])
            else:
                self.assert_fails(1, ["nvs"], "diff", bundle, odd)

    def test_extract_without_the_old_flash(self):
        bundle, _ = self.pack(*self.new, "--move", "nvs", warns=True)
        result = run("extract", bundle, "-o", self.dir / "x.bin")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, "warning: .*--base")
        self.assertIn("keeps or moves", result.stdout)
        self.assertEqual((self.dir / "x.bin").read_bytes()[0xC000:0x10000], b"\xff" * 0x4000)


class Places(PackTest):
    """What an input is, and where it belongs on each chip."""
    CHIPS = {"esp32": (0, 0x1000), "esp32s2": (2, 0x1000), "esp32c3": (5, 0), "esp32s3": (9, 0), "esp32c2": (12, 0),
             "esp32c6": (13, 0), "esp32h2": (16, 0), "esp32p4": (18, 0x2000), "esp32c61": (20, 0), "esp32c5": (23, 0x2000)}
    ROWS = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, 0xD000, 0x2000), (b"app0", 0, 0x10, 0x10000, 0x10000),
            (b"app1", 0, 0x11, 0x20000, 0x10000), (b"data", 1, 0x82, 0x30000, 0x10000))

    def of_chip(self, image, chip):
        image = bytearray(image)
        image[12:14] = self.CHIPS[chip][0].to_bytes(2, "little")
        return flash_dumps.reseal(image)

    def files(self, chip):
        loader = self.of_chip(self.bootloader.read_bytes(), chip)
        app = self.of_chip(flash_dumps.tiny_app("2.0"), chip)
        table, otadata = flash_dumps.table(self.ROWS)[:0xC00], flash_dumps.otadata(1)
        place = self.CHIPS[chip][1]
        merged = flash_dumps.flash((place, loader), (0x8000, table), (0xD000, otadata), (0x10000, app), size=0x14000)
        return {"bootloader": (loader, place), "table": (table, 0x8000), "otadata": (otadata, 0xD000), "app": (app, 0x10000),
                "merged": (merged, 0), "merged from the bootloader on": (merged[place:], place)}

    def packed(self, chip, files, kind, offset, *options):
        """Packs the system with one of its files at another place."""
        words = ["--skip-check", "bootloader", "--skip-check", "app", "--skip-check", "revision", "--skip-check", "flash-size"]
        own = ("bootloader", "table", "otadata", "app") if not kind.startswith("merged") else ()
        for name in own:
            data, place = files[name]
            words += [hex(offset if name == kind else place), self.write(f"{name}.bin", data)]
        if not own:
            words += [hex(offset), self.write("merged.bin", files[kind][0])]
        return run("pack", "-o", self.dir / "place.srb", "--chip", chip, *words, *options)

    def test_each_kind_at_each_place_of_each_chip(self):
        places = (0, 0x1000, 0x2000, 0x8000, 0xD000, 0x10000, 0x20000, 0x30000, 0x40000)
        for chip, kind, offset in itertools.product(self.CHIPS, ("bootloader", "table", "otadata", "app"), places):
            files = self.files(chip)
            right = files[kind][1]
            good = offset == right or (kind == "app" and offset == 0x20000) or (kind == "bootloader" and offset in (0x10000, 0x20000))
            if offset != right and offset in [place for _, place in list(files.values())[:4]]:
                continue  # another file lies there: they overlap
            result = self.packed(chip, files, kind, offset)
            if good or "overlaps" in result.stderr:
                self.assertNotIn("--skip-check place", result.stderr)
                continue
            with self.subTest(chip=chip, kind=kind, offset=hex(offset)):
                self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
                self.assertIn("--skip-check place", result.stderr)
                self.assertIn(hex(right) if kind != "app" else "app0 at 0x10000, app1 at 0x20000", result.stderr)

    def test_merged_images(self):
        for chip, kind in itertools.product(self.CHIPS, ("merged", "merged from the bootloader on")):
            files = self.files(chip)
            for offset in (0, 0x1000, 0x2000, 0x10000):
                result = self.packed(chip, files, kind, offset)
                if offset == files[kind][1]:
                    self.assertEqual(result.returncode, 0, result.stderr)
                else:
                    self.assertEqual(result.returncode, 1)
                    self.assertIn(f"--merged FILE@{files[kind][1]:#x}", result.stderr)
        # A C3's bootloader merged at the ESP32's offset, as a published installer had it.
        loader = self.files("esp32c3")["bootloader"][0]
        merged = flash_dumps.flash((0x1000, loader), (0x8000, flash_dumps.table(self.ROWS)), size=0x10000)
        result = run("pack", "-o", self.dir / "x.srb", "--chip", "esp32c3", "--merged", self.write("merged.bin", merged))
        self.assertEqual(result.returncode, 1)
        self.assertIn("ESP32-C3, which looks for it at 0x0", result.stderr)

    def test_other_chips(self):
        for chip, other in itertools.permutations(self.CHIPS, 2):
            app = self.write("other.bin", self.files(other)["app"][0])
            self.assert_not_packed(1, [f"--chip {other}"], "0x10000", app, chip=chip)

    def test_an_app_that_is_larger_than_its_slot(self):
        """1,325,744 bytes in a slot of 1,310,720: the board would restart for ever without a word."""
        app = (FIXTURES / "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin")
        if not app.exists():
            self.skipTest("no fixtures")
        rows = ((b"nvs", 1, 2, 0x9000, 0x5000), (b"otadata", 1, 0, 0xE000, 0x2000), (b"app0", 0, 0x10, 0x10000, 0x140000),
                (b"app1", 0, 0x11, 0x150000, 0x140000))
        table = self.write("slots.bin", flash_dumps.table(rows)[:0xC00])
        self.assert_not_packed(1, ["1325744", "1310720", "15024 too many", "larger slots"], "0x8000", table, "0x10000", app)
        tiny = self.write("tiny.bin", flash_dumps.tiny_app("2.0"))
        self.assert_not_packed(1, ["apps go to app0"], "0x8000", table, "0x1000", tiny)

    def test_a_dump_that_was_cut_short(self):
        cut = self.write("cut.bin", self.flash.read_bytes()[:0x200000])
        self.assert_not_packed(1, ["cut short", "2 MB", "4 MB", "read-flash 0 ALL"], "--merged", cut)
        self.assertEqual(run("pack", "-o", self.dir / "whole.srb", "--chip", "esp32", "--merged", self.flash).returncode, 0)

    def test_what_is_not_for_an_esp32(self):
        old = struct.pack("<BBBBIII", 0xE9, 1, 0, 0x40, 0x40100000, 0x3FFE8000, 16) + b"\1" * 20
        newer = struct.pack("<BBBBIII", 0xEA, 4, 0, 1, 0x4010F4F4, 0, 256) + b"\1" * 300
        for content, word in ((old, "ESP8266"), (newer, "ESP8266"), (b"\x7fELF" + b"\1" * 99, "elf2image"),
                              (gzip.compress(b"data" * 99), "gzip -d")):
            self.assert_not_packed(1, [word, "--skip-check place"], "0x10000", self.write("stranger.bin", content))

    def test_who_means_it(self):
        files = self.files("esp32")
        result = self.packed("esp32", files, "bootloader", 0x30000, "--skip-check", "place")
        self.assertEqual(result.returncode, 0, result.stderr)
        result = run("pack", "-o", self.dir / "x.srb", "--chip", "esp32", "0x300000", self.write("data.elf", b"\x7fELF" * 999),
                     "--skip-check", "place")
        self.assertEqual(result.returncode, 0, result.stderr)
        result = run("simulate", "-f", self.flash, "--bundle", self.dir / "x.srb", "--allow-unsigned", "--skip-check", "place")
        self.assertEqual(result.returncode, 2)


class Otadata(PackTest):
    """What no input brings selects, on a device, one of its old apps."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.app = cls.write("slot.bin", flash_dumps.tiny_app("2.0"))
        cls.slots = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, 0xD000, 0x2000), (b"app0", 0, 0x10, 0x10000, 0x100000),
                     (b"app1", 0, 0x11, 0x110000, 0x100000))
        cls.factory = (*cls.slots, (b"factory", 0, 0, 0x210000, 0x100000))

    def packed(self, rows, *arguments, status=0):
        """The bundle's content of otadata (None: it has none), and what pack said."""
        table = self.write("rows.bin", flash_dumps.table(rows)[:0xC00])
        bundle = self.dir / "otadata.srb"
        result = run("pack", "-o", bundle, "--chip", "esp32", "0x1000", self.bootloader, "0x8000", table, *arguments)
        self.assertEqual(result.returncode, status, result.stderr)
        if status != 0:
            return None, result.stderr
        merged = self.dir / "otadata-merged.bin"
        run("extract", bundle, "-o", merged)
        regions = [region for region in self.run_json(0, "inspect", bundle)["regions"]
                   if region["offset"] <= 0xD000 < region["offset"] + region["size"]]
        self.starts = self.run_json(0, "inspect", bundle)["starts"]
        return (merged.read_bytes()[0xD000:0xF000] if regions else None), result.stderr

    def test_what_blank_otadata_starts(self):
        blank = b"\xff" * 0x2000
        for rows, place, label in ((self.slots, "0x10000", "app0"), (self.factory, "0x210000", "factory")):
            content, told = self.packed(rows, place, self.app)
            self.assertEqual((content, self.starts), (blank, int(place, 0)))
            self.assertIn(f"it is erased, so that {label} starts", told)

    def test_what_has_to_be_selected(self):
        # Whatever the device has in front of it in the bootloader's order stays there, and might start.
        for rows, place, sequence, label in ((self.slots, "0x110000", 2, "app1"), (self.factory, "0x10000", 1, "app0"),
                                             (self.factory, "0x110000", 2, "app1")):
            content, told = self.packed(rows, place, self.app)
            self.assertEqual((content, self.starts), (flash_dumps.otadata(sequence), int(place, 0)))
            self.assertIn(f"it is written, so that {label} starts", told)
        content, _ = self.packed(self.factory, "0x10000", self.app, "--erase", "factory")
        self.assertEqual(content, b"\xff" * 0x2000)

    def test_two_of_them(self):
        # The bootloader goes by the last one that the table has.
        rows = ((b"otaother", 1, 0, 0x310000, 0x2000), *self.slots)
        content, told = self.packed(rows, "0x110000", self.app)
        self.assertEqual((content, self.starts), (flash_dumps.otadata(2), 0x110000))
        self.assertIn("no input brings otadata, at 0xd000", told)
        content, _ = self.packed(rows, "0x10000", self.app, "0xd000", self.write("both.bin", flash_dumps.otadata(1)))
        self.assertEqual(content, flash_dumps.otadata(1))

    def test_half_of_it(self):
        half = self.write("half.bin", flash_dumps.otadata(2)[:0x1000])
        for place in ("0xd000", "0xe000"):
            content, told = self.packed(self.slots, "0x10000", self.app, place, half)
            self.assertEqual(content, b"\xff" * 0x2000)
            self.assertIn("so that app0 starts", told)

    def test_all_of_it(self):
        for sequence, starts in ((1, True), (2, False)):
            both = self.write("both.bin", flash_dumps.otadata(sequence))
            content, told = self.packed(self.slots, "0x10000", self.app, "0xd000", both)
            self.assertEqual(content, flash_dumps.otadata(sequence))
            self.assertEqual("may select an app in app1 that stays on the device" in told, not starts)
            self.assertEqual(self.starts, 0x10000 if starts else None)
        content, told = self.packed(self.slots, "0x10000", self.app, "0xd000", both, "--erase", "app1")
        self.assertNotIn("may select", told)

    def test_kept_on_purpose(self):
        content, told = self.packed(self.slots, "0x10000", self.app, "--keep", "otadata")
        self.assertEqual((content, self.starts), (None, None))
        self.assertIn("may select an app that stays on the device", told)

    def test_without_an_app_or_a_table(self):
        content, told = self.packed(self.slots)
        self.assertIsNone(content)
        self.assertNotIn("otadata", told)
        result = run("pack", "-o", self.dir / "x.srb", "--chip", "esp32", "0x10000", self.app)
        self.assertNotIn("note:", result.stderr)


class Settings(PackTest):
    def compare(self, size, *settings, parts=None, chip="esp32"):
        merged = self.dir / "merged.bin"
        options = [word for pair in zip(("--flash-size", "--flash-mode", "--flash-freq"), settings) for word in pair]
        parts = parts or self.system
        espressif.run("esptool", "--chip", chip, "merge-bin", "-o", merged, "--pad-to-size", size, *options, *parts)
        bundle, report = self.pack(*options, *parts)
        self.assertEqual(self.extract(bundle), merged.read_bytes())
        self.assertEqual(report["contents"]["bootloader"]["digest"], "good")
        return report

    def test_as_esptool(self):
        for mode, frequency in (("qio", "80m"), ("qout", "26m"), ("dout", "20m"), ("dio", "40m"), ("keep", "keep")):
            report = self.compare("8MB", "8MB", mode, frequency)
            self.assertEqual(report["min_flash_size"], 8 * MIB)
        self.compare("4MB", "keep", "qio", "keep")
        self.compare("16MB", "16MB", "keep", "80m")

    def test_as_esptool_with_real_firmware(self):
        if not FIXTURES.exists():
            self.skipTest("no fixtures")
        wled = FIXTURES / "wled/binaries"
        parts = ("0x1000", FIXTURES / "idf/bootloader_esp32_v5_2.bin",
                 "0x8000", self.write("wled-table.bin", (wled / "esp32_bootloader_v4.bin").read_bytes()[0x8000:0x8C00]),
                 "0xe000", self.write("wled-ota.bin", (wled / "esp32_bootloader_v4.bin").read_bytes()[0xE000:]),
                 "0x10000", wled / "WLED_0.14.2_Dig-Uno-V3.bin")
        self.compare("4MB", "4MB", "dio", "40m", parts=parts)
        self.assert_not_packed(1, ["flash-size"], *parts)  # its header says 2 MB, and the table ends at 4 MB

    def test_settings_without_a_whole_bootloader(self):
        self.assert_not_packed(3, ["bootloader"], "--flash-mode", "qio", "0x210000", self.app)
        broken = bytearray(self.bootloader.read_bytes())
        broken[0x100] ^= 1
        self.assert_not_packed(3, ["broken.bin", "intact"], "--flash-mode", "qio", "0x1000",
                               self.write("broken.bin", bytes(broken)))


class Checks(PackTest):
    def system_with(self, **files):
        parts = {"0x1000": self.bootloader, "0x8000": self.table, "0xd000": self.otadata, "0x210000": self.app}
        parts.update({name.replace("at_", ""): file for name, file in files.items()})
        return [word for pair in parts.items() for word in pair]

    def refuse(self, check, *arguments, chip="esp32"):
        self.assert_not_packed(1, [f"'{check}'"], *arguments, chip=chip)

    def flip(self, file, *offsets):
        content = bytearray(file.read_bytes())
        for offset in offsets:
            content[offset] ^= 1
        return self.write("flipped.bin", bytes(content))

    def test_bootloader(self):
        self.refuse("bootloader", *self.system_with(at_0x1000=self.flip(self.bootloader, 0x100)))
        self.refuse("bootloader", *self.system, "--skip-check", "place", chip="esp32s2")
        self.refuse("bootloader", "--merged", self.merged, "--skip-check", "place")
        self.pack(*self.system_with(at_0x1000=self.flip(self.bootloader, 0x100)), "--skip-check", "bootloader")

    def test_a_bad_bootloader_is_found_though_other_flash_is_kept(self):
        self.refuse("bootloader", "0x1000", self.flip(self.bootloader, 0x100))

    def test_flash_size(self):
        self.refuse("flash-size", *self.system[:4], "--flash-size", "2MB")

    def test_table(self):
        self.refuse("table", *self.system_with(at_0x8000=self.flip(self.table, 0x45)))

    def test_app(self):
        self.refuse("app", *self.system_with(at_0x210000=self.flip(self.app, 0x5000)))
        other_slot = self.flip(self.app, 0x5000)
        self.pack(*self.system, "0x10000", other_slot)

    def test_app_of_mcuboot(self):
        image = bytearray(self.merged.read_bytes())
        image[0x10100] ^= 1
        other_slot = ("--erase", "0x110000+1M", "--erase", "0x210000+256K")
        self.refuse("app", "--merged", f"{self.write('bad-slot.bin', bytes(image))}@0x1000", *other_slot)
        self.pack("--merged", f"{self.merged}@0x1000", *other_slot)

    def test_revision_that_is_asked_for(self):
        app = bytearray(self.app.read_bytes())
        app[15:17] = struct.pack("<H", 301)  # min_chip_rev_full: the app's digest covers it
        end = len(app) - 32
        app[end:] = hashlib.sha256(app[:end]).digest()
        report = self.pack(*self.system_with(at_0x210000=self.write("v3.1.bin", bytes(app))), "--skip-check", "app")[1]
        self.assertEqual(report["min_chip_revision"], 301)


class Initial(PackTest):
    """What the new system owns once it is installed."""

    def flags(self, report):
        return {region["offset"]: region["initial"] for region in report["regions"]}

    def initial_sectors(self, report):
        return {sector for region in report["regions"] if region["initial"]
                for sector in range(region["offset"], region["offset"] + region["size"], SECTOR)}

    def test_files_of_a_system(self):
        _, report = self.pack(*self.system)
        flags = self.flags(report)
        self.assertEqual({place for place, initial in flags.items() if initial}, {0xD000})
        self.assertGreater(len(flags), 3)

    def test_whole_flash_is_split_at_partitions(self):
        flash = bytearray(self.image)
        partitions = read_table(self.image)
        for label in ("nvs", "phy_init", "ota_1"):  # content across every boundary
            if label in partitions:
                address, size = partitions[label]
                flash[address:address + size] = (b"data" * (size // 4))[:size]
        _, report = self.pack("--merged", self.write("whole.bin", bytes(flash)))
        expected = set()
        for address, size in partitions.values():
            if address != 0x210000:
                expected |= set(range(address, address + size, SECTOR))
        self.assertEqual(self.initial_sectors(report), expected)
        self.assertNotIn(0x1000, expected)
        self.assertNotIn(0x210000, expected)

    def test_the_other_slot(self):
        _, report = self.pack(*self.system, "0x10000", self.app)
        self.assertEqual({place for place, initial in self.flags(report).items() if initial}, {0xD000, 0x10000})

    def test_kept_table_tells_nothing(self):
        _, report = self.pack("0xd000", self.otadata, "0x210000", self.app, warns=True)
        self.assertFalse(any(self.flags(report).values()))

    def test_data_alone_is_compared(self):
        data = self.write("data.bin", b"data" * 3000)
        for more in ((), ("--erase", "0x300000+64K")):
            _, report = self.pack("0x9000", data, *more, "--partition-table", "none", warns=True)
            self.assertFalse(any(self.flags(report).values()))

    def test_slots_of_mcuboot(self):
        _, report = self.pack("0x1000", self.mcuboot, "0x10000", self.slot, "--erase", "0x110000+1M", warns=True)
        flags = self.flags(report)
        self.assertFalse(flags[0x1000])
        self.assertTrue(flags[0x10000])
        self.assertTrue(flags[0x110000])

    def test_the_user_says_otherwise(self):
        _, report = self.pack(*self.system, "--always", "otadata")
        self.assertFalse(any(self.flags(report).values()))
        _, report = self.pack(*self.system, "--initial", "0x210000+8K")
        self.assertEqual(self.initial_sectors(report), {0xD000, 0xE000, 0x210000, 0x211000})
        _, report = self.pack(*self.system, "--initial", "0x210000+8K", "--always", "0x211000+4K")
        self.assertEqual(self.initial_sectors(report), {0xD000, 0xE000, 0x210000})

    def test_what_the_user_cannot_say(self):
        self.assert_not_packed(2, ["--initial", "always compared"], *self.system, "--initial", "0x1000+4K")
        self.assert_not_packed(2, ["--initial", "always compared"], *self.system, "--initial", "0x8000+4K")
        self.assert_not_packed(2, ["nothing is packed"], *self.system, "--always", "0x3f0000+4K")
        self.assert_not_packed(2, ["neither"], *self.system, "--always", "no-such-partition")
        self.assert_not_packed(2, ["nothing is left"], "0x10000", self.slot, "--partition-table", "none", "--initial",
                               "0x10000+1M")

    def test_reports(self):
        bundle, _ = self.pack(*self.system)
        self.assertRegex(run("inspect", bundle).stdout, r"0x00d000  \w+ +8 KiB +initial\n")
        difference = self.run_json(0, "diff", bundle, self.flash)
        self.assertIn(True, [region["initial"] for region in difference["regions"]])

    def test_diff_of_an_installed_one(self):
        bundle, _ = self.pack(*self.system)
        flash = bytearray(self.image)
        self.assertTrue(self.run_json(0, "diff", bundle, self.write("new.bin", bytes(flash)))["installed"])
        flash[0xD000:0xF000] = b"\x11" * 0x2000
        difference = self.run_json(0, "diff", bundle, self.write("new.bin", bytes(flash)))
        self.assertTrue(difference["installed"] and difference["same"])
        flash[0x210100] ^= 1
        difference = self.run_json(0, "diff", bundle, self.write("new.bin", bytes(flash)))
        self.assertFalse(difference["installed"])
        self.assertEqual(difference["sectors_wrong"], 3)

    def test_installed_on_the_chip(self):
        bundle, _ = self.pack(*self.system, "--sequence", 7)
        words = ("simulate", "--chip", "esp32", "--bundle", bundle, "--allow-unsigned")
        out = self.dir / "after.bin"
        flash = bytearray(self.image)
        flash[0x210000 + 0x5000] ^= 1
        for place in (0xD000, 0x9000):
            flash[place:place + SECTOR] = b"\x22" * SECTOR
        flash[0x10000:0x10000 + self.app.stat().st_size] = self.app.read_bytes()
        answer = self.run_json(0, *words, "--flash", self.write("device.bin", bytes(flash)), "--out", out)
        self.assertEqual((answer["result"], answer["plan"]["installed"]), ("ESP_OK", False))
        self.assertEqual(answer["plan"]["sequence"], 7)
        after = bytearray(out.read_bytes())
        self.assertEqual(after[0xD000:0xF000], self.image[0xD000:0xF000])
        after[0xD018:0xD01C] = struct.pack("<I", 2)  # marked valid
        after[0x9000] ^= 1
        answer = self.run_json(0, *words, "--flash", self.write("device.bin", bytes(after)), "--out", out)
        self.assertEqual((answer["plan"]["installed"], answer["plan"]["sectors_to_write"]), (True, 0))
        self.assertEqual(out.read_bytes(), bytes(after))


class Sequence(PackTest):
    def test_sequence(self):
        for number in (0, 1, 0xFFFFFFFF):
            bundle, report = self.pack(*self.system, *(("--sequence", number) if number else ()), "--sign", self.key)
            self.assertEqual(struct.unpack_from("<I", bundle.read_bytes(), 48)[0], number)
            self.assertEqual(report["sequence"], number)
            verified = self.run_json(0, "verify", bundle, "--public-key", self.public_key)
            self.assertEqual((verified["verified"], verified["sequence"]), (True, number))
            self.assertIn(f"sequence {number}\n", run("verify", bundle, "--public-key", self.public_key).stdout)
            self.assertRegex(run("inspect", bundle).stdout, rf"sequence +{number}\n")

    def test_no_number(self):
        for word in ("-1", "x", "4294967296", ""):
            self.assert_not_packed(2, ["sequence number"], *self.system, f"--sequence={word}")

    def test_replay(self):
        bundle, _ = self.pack(*self.system, "--sequence", 7, "--sign", self.key)
        words = ("--flash", self.flash, "--chip", "esp32", "--bundle", bundle, "--public-key", self.public_key)
        for command in ("simulate", "explore"):
            result = run(command, *words, "--min-sequence", 8, "--json")
            self.assertNotEqual(result.returncode, 0, result.stdout)
        answer = self.run_json(1, "simulate", *words, "--min-sequence", 8)
        self.assertEqual((answer["plan"]["refusal"], answer["plan"]["sequence"]), ("sequence", 7))
        self.assertIn("7, this app takes 8", answer["plan"]["refusal_text"])
        self.assertEqual(self.run_json(0, "simulate", *words, "--min-sequence", 7)["plan"]["refusal"], None)


class Signing(PackTest):
    def setUp(self):
        self.bundle, _ = self.pack(*self.system)
        self.manifest_size = struct.unpack_from("<I", self.bundle.read_bytes(), 16)[0]

    def signature(self):
        return self.bundle.read_bytes()[self.manifest_size:self.manifest_size + 80]

    def assert_signed(self):
        """Verified by openssl, not by our code."""
        block = self.signature()
        manifest = self.write("manifest.bin", self.bundle.read_bytes()[:self.manifest_size])
        der = self.write("signature.der", der_signature(block[16:]))
        result = openssl("dgst", "-sha256", "-verify", self.public_key, "-signature", der, manifest)
        self.assertEqual(result.returncode, 0, result.stdout)
        point = openssl("pkey", "-pubin", "-in", self.public_key, "-outform", "DER").stdout[-65:]
        self.assertEqual(block[:16], b"\1" + bytes(7) + hashlib.sha256(point).digest()[:8])
        self.assertTrue(self.run_json(0, "verify", self.bundle, "--public-key", self.public_key)["verified"])

    def test_pack_signs(self):
        self.bundle, report = self.pack(*self.system, "--sign", self.key)
        self.assert_signed()
        self.assertEqual(report["key_id"], self.signature()[8:16].hex())

    def test_moves_are_signed(self):
        self.bundle, _ = self.pack(*self.system, "--move", "nvs=0x110000+16K", "--sign", self.key, warns=True)
        self.manifest_size = struct.unpack_from("<I", self.bundle.read_bytes(), 16)[0]
        self.assertEqual(len(read_moves(self.bundle.read_bytes())), 1)
        self.assert_signed()

    def test_sign(self):
        self.assertEqual(run("sign", self.bundle, "--key", self.key).returncode, 0)
        self.assert_signed()
        self.assertEqual(run("sign", self.bundle, "--key", self.other_key).returncode, 0)
        self.assert_fails(1, ["another key"], "verify", self.bundle, "--public-key", self.public_key)

    def test_sign_to_another_file(self):
        before = self.bundle.read_bytes()
        signed = self.dir / "signed.srb"
        self.assertEqual(run("sign", self.bundle, "--key", self.key, "-o", signed).returncode, 0)
        self.assertEqual(self.bundle.read_bytes(), before)
        self.bundle = signed
        self.assert_signed()

    def test_keys_of_openssl(self):
        keys = (("sec1.pem", ("ecparam", "-name", "prime256v1", "-genkey", "-noout")),
                ("pkcs8.pem", ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")))
        for name, arguments in keys:
            key, public = self.dir / name, self.dir / f"public-{name}"
            openssl(*arguments, "-out", key)
            openssl("pkey", "-in", key, "-pubout", "-out", public)
            self.assertEqual(run("sign", self.bundle, "--key", key).returncode, 0)
            self.assertEqual(run("verify", self.bundle, "--public-key", public).returncode, 0)

    def test_signature_made_elsewhere(self):
        digest, der = self.dir / "digest.bin", self.dir / "hsm.der"
        self.assertEqual(run("sign", self.bundle, "--digest-out", digest).returncode, 0)
        self.assertEqual(digest.read_bytes(), hashlib.sha256(self.bundle.read_bytes()[:self.manifest_size]).digest())
        openssl("pkeyutl", "-sign", "-inkey", self.key, "-in", digest, "-out", der)
        take = ("sign", self.bundle, "--public-key")
        unsigned = self.bundle.read_bytes()
        self.assert_fails(1, ["hsm.der", "other-public.pem"], *take, self.other_public_key, "--signature", der)
        self.assertEqual(self.bundle.read_bytes(), unsigned)
        self.assertEqual(run(*take, self.public_key, "--signature", der).returncode, 0)
        self.assert_signed()
        raw = self.write("raw.bin", self.signature()[16:])
        self.bundle.write_bytes(unsigned)
        self.assertEqual(run(*take, self.public_key, "--signature", raw).returncode, 0)
        self.assert_signed()

    def test_not_verified(self):
        self.assert_fails(1, ["signed"], "verify", self.bundle, "--public-key", self.public_key)
        run("sign", self.bundle, "--key", self.key)
        good = self.bundle.read_bytes()
        verify = ("verify", self.dir / "damaged.srb", "--public-key", self.public_key)
        for offset in (0, 9, 30, 200, self.manifest_size + 3, self.manifest_size + 20, self.manifest_size + 200,
                       len(good) - 3):
            damaged = bytearray(good)
            damaged[offset] ^= 4
            self.write("damaged.srb", bytes(damaged))
            self.assert_fails(1, ["damaged.srb"], *verify)
        for size in (7, 47, 100, self.manifest_size + 79, len(good) - 1):
            self.write("damaged.srb", good[:size])
            self.assert_fails(1, ["damaged.srb"], *verify)
        self.write("damaged.srb", good + b"rest of a partition")
        self.assertEqual(run(*verify).returncode, 0)
        self.assertFalse(self.run_json(1, "verify", self.write("bad.srb", good[:-1]), "--public-key",
                                       self.public_key)["verified"])

    def test_bad_usage_and_input(self):
        missing = self.dir / "missing.srb"
        self.assert_fails(2, ["--public-key"], "verify", self.bundle)
        self.assert_fails(2, ["no bundle"], "verify", "--public-key", self.public_key)
        self.assert_fails(2, ["one bundle"], "verify", self.bundle, self.bundle)
        self.assert_fails(3, ["missing.srb"], "verify", missing, "--public-key", self.public_key)
        self.assert_fails(3, ["key.pem"], "verify", self.bundle, "--public-key", self.key)
        self.assert_fails(2, ["--key"], "sign", self.bundle)
        self.assert_fails(2, ["--key"], "sign", self.bundle, "--key", self.key, "--digest-out", "x")
        self.assert_fails(2, ["--public-key"], "sign", self.bundle, "--signature", "x")
        self.assert_fails(2, ["--out"], "sign", self.bundle, "--digest-out", "x", "-o", "y")
        self.assert_fails(2, ["no bundle"], "sign", "--key", self.key)
        self.assert_fails(3, ["missing.srb"], "sign", missing, "--key", self.key)
        self.assert_fails(3, ["public.pem"], "sign", self.bundle, "--key", self.public_key)
        self.assert_fails(3, ["app.bin"], "sign", self.app, "--key", self.key)
        self.assert_fails(3, ["app.bin"], "sign", self.app, "--digest-out", self.dir / "x")
        self.assert_fails(3, ["app.bin"], "sign", self.app, "--signature", self.app, "--public-key", self.public_key)

    def test_keygen(self):
        self.assertEqual(stat.S_IMODE(self.key.stat().st_mode), 0o600)
        public = openssl("pkey", "-in", self.key, "-pubout").stdout
        self.assertEqual(self.public_key.read_bytes(), public)
        self.assert_fails(3, ["key.pem"], "keygen", "-o", self.key)
        third = self.dir / "third.pem"
        self.assert_fails(3, ["public.pem"], "keygen", "-o", third, "--public", self.public_key)
        self.assertFalse(third.exists())
        self.assertEqual(self.public_key.read_bytes(), public)
        result = run("keygen", "-o", third)
        self.assertEqual(result.stdout.encode(), openssl("pkey", "-in", third, "-pubout").stdout)
        self.assert_fails(2, ["--out"], "keygen")
        self.assert_fails(2, ["word"], "keygen", "-o", self.dir / "x.pem", "word")


class Looking(PackTest):
    def setUp(self):
        self.bundle, _ = self.pack(*self.system, "--sign", self.key)

    def test_inspect(self):
        answer = self.run_json(0, "inspect", self.bundle)
        self.assertEqual((answer["kind"], answer["size"]), ("bundle", self.bundle.stat().st_size))
        self.assertEqual(answer["contents"]["apps"][0]["offset"], 0x210000)
        text = run("inspect", self.bundle).stdout
        for words in ("bundle for ESP32", "4 MiB of flash", answer["key_id"], "0x210000", "ota_0: boot_swap_download",
                      "partition table", " % of "):
            self.assertIn(words, text)

    def test_inspect_of_a_damaged_bundle(self):
        content = bytearray(self.bundle.read_bytes())
        content[-1] ^= 1
        self.assert_fails(3, ["chunk.srb", "chunk"], "inspect", self.write("chunk.srb", bytes(content)))
        self.assert_fails(3, ["cut.srb"], "inspect", self.write("cut.srb", self.bundle.read_bytes()[:300]))

    def test_data_after_the_end_of_a_stream(self):
        content = bytearray(self.bundle.read_bytes()) + b"\0"
        size, _, _, _, _, regions, chunks = struct.unpack_from("<IHHIIHH", content, 20)
        struct.pack_into("<I", content, 20, size + 1)
        length_at = 64 + 16 * (regions + chunks - 1) + 4
        struct.pack_into("<I", content, length_at, struct.unpack_from("<I", content, length_at)[0] + 1)
        self.assert_fails(3, ["longer.srb", f"chunk {chunks - 1}", "decode"], "inspect",
                          self.write("longer.srb", bytes(content)))

    def test_bundle_for_a_flash_that_cannot_be(self):
        content = bytearray(self.bundle.read_bytes())
        struct.pack_into("<I", content, 28, 0xFFFFF000)
        self.assert_fails(3, ["huge.srb", "128 MiB"], "inspect", self.write("huge.srb", bytes(content)))

    def test_extract(self):
        out = self.dir / "x.bin"
        self.assertEqual(self.run_json(0, "extract", self.bundle, "-o", out)["size"], 4 * MIB)
        small = self.write("small.bin", b"\0" * (2 * MIB))
        large = self.write("large.bin", b"\0" * (8 * MIB))
        self.assert_fails(1, ["small.bin"], "extract", self.bundle, "-o", out, "--base", small)
        self.assertEqual(len(self.extract(self.bundle, "--base", large)), 8 * MIB)
        self.assert_fails(2, ["--out"], "extract", self.bundle)
        self.assert_fails(2, ["no bundle"], "extract", "-o", out)
        self.assert_fails(3, ["app.bin"], "extract", self.app, "-o", out)
        self.assert_fails(3, ["no/x.bin"], "extract", self.bundle, "-o", self.dir / "no/x.bin")

    def test_diff_of_the_same(self):
        answer = self.run_json(0, "diff", self.bundle, self.flash)
        size = struct.unpack_from("<I", self.bundle.read_bytes(), 16)[0]
        self.assertTrue(answer["same"])
        self.assertEqual((answer["sectors_wrong"], answer["chunks"]), (0, 0))
        self.assertEqual(answer["bytes_to_download"], size + 80)

    def test_diff(self):
        flash = bytearray(self.flash.read_bytes())
        flash[0x210000 + 0x20010] ^= 1
        flash[0x210000 + 0x21010] ^= 1
        flash[0x9000] ^= 1  # in no region
        answer = self.run_json(0, "diff", self.bundle, self.write("near.bin", bytes(flash)))
        self.assertFalse(answer["same"])
        self.assertEqual((answer["sectors_wrong"], answer["sectors_to_program"], answer["chunks"]), (2, 2, 1))
        self.assertEqual([region["sectors_wrong"] for region in answer["regions"]], [0, 0, 0, 2])
        self.assertEqual(answer["regions"][3]["chunk_bytes"], answer["chunk_bytes"])
        self.assertLess(answer["bytes_to_download"], answer["bundle_size"])
        text = run("diff", self.bundle, self.dir / "near.bin").stdout
        self.assertRegex(text, "0x210000 .*2 wrong, 1 chunk of")

    def test_diff_of_everything(self):
        answer = self.run_json(0, "diff", self.bundle, self.write("other.bin", b"\x5a" * (4 * MIB)))
        self.assertEqual(answer["sectors_right"], 0)
        self.assertEqual(answer["bytes_to_download"], answer["bundle_size"])

    def test_bad_diff(self):
        self.assert_fails(2, ["FLASH"], "diff", self.bundle)
        self.assert_fails(2, ["only"], "diff", self.bundle, self.flash, self.flash)
        self.assert_fails(3, ["old-flash.bin"], "diff", self.flash, self.flash)
        self.assert_fails(3, ["app.bin"], "diff", self.bundle, self.app)
        self.assert_fails(1, ["half.bin"], "diff", self.bundle, self.write("half.bin", b"\0" * (2 * MIB)))


@unittest.skipUnless(FIXTURES.exists(), "no fixtures")
class RealFirmware(PackTest):
    def boot(self, flash):
        return self.run_json(0, "boot", self.write("after.bin", flash))

    def test_esphome(self):
        bundle, report = self.pack("--manifest", FIXTURES / "esphome/manifest.json", chip=None)
        merged = (FIXTURES / "esphome/esp32.bin").read_bytes()
        after = self.extract(bundle)
        self.assertEqual(after, merged.ljust(4 * MIB, b"\xff"))
        self.assertEqual(self.boot(after)["app_offset"], 0x10000)
        self.assertEqual((report["chip"], report["partition_table_offset"]), ("esp32", 0x8000))

    def test_wled(self):
        bundle, _ = self.pack("--manifest", FIXTURES / "wled/json/manifest.json", chip=None)
        after = self.extract(bundle)
        first = (FIXTURES / "wled/binaries/esp32_bootloader_v4.bin").read_bytes()
        app = (FIXTURES / "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin").read_bytes()
        self.assertEqual(after, (first.ljust(0x10000, b"\xff") + app).ljust(4 * MIB, b"\xff"))
        self.assertEqual(self.boot(after)["app_offset"], 0x10000)

    def test_wled_0_14_4(self):
        """Its tables are at 32.768, and it has builds for four chips and the ESP8266."""
        manifest = FIXTURES / "wled-0.14.4/manifest.json"
        self.assert_fails(2, ["ESP32, ESP32-C3, ESP32-S2, ESP32-S3, ESP8266 (not supported)", "--chip"], "pack", "-o",
                          self.dir / "refused.srb", "--manifest", manifest)
        self.assert_not_packed(3, ["partitions_s3_8m.bin", "32.768", "32768 (0x8000)", "--fix-offsets"], "--manifest",
                               manifest, chip="esp32s3")
        for chip, *option in (("esp32",), ("esp32c3",), ("esp32s3", "--fix-offsets")):
            bundle, report = self.pack("--manifest", manifest, *option, chip=chip, warns=False)
            self.assertEqual((report["chip"], report["partition_table_offset"]), (chip, 0x8000))
            family = {"esp32": "ESP32", "esp32c3": "ESP32-C3", "esp32s3": "ESP32-S3_8MB"}[chip]
            app = (FIXTURES / f"wled-0.14.4/WLED_0.14.4_{family}.bin").read_bytes()
            self.assertEqual(self.extract(bundle)[0x10000:0x10000 + len(app)], app)

    def test_from_one_to_the_other(self):
        wled, _ = self.pack("--manifest", FIXTURES / "wled/json/manifest.json", chip=None)
        before = self.write("wled.bin", self.extract(wled))
        self.assertTrue(self.run_json(0, "diff", wled, before)["same"])
        esphome, _ = self.pack("--manifest", FIXTURES / "esphome/manifest.json", chip=None)
        self.assertFalse(self.run_json(0, "diff", esphome, before)["same"])

    def test_mcuboot_is_small_enough_to_embed(self):
        merged = FIXTURES / "mcuboot-nuttx/app_upd.merged.bin"
        bundle, report = self.pack("--merged", f"{merged}@0x1000", "--erase", "0x110000+1M", "--erase",
                                   "0x210000+256K", "--sign", self.key)
        self.assertLess(bundle.stat().st_size, 100_000)
        self.assertIsNone(report["partition_table_offset"])
        self.assertEqual(self.extract(bundle)[0x1000:0x110000], merged.read_bytes())
        self.assertEqual(self.boot(self.extract(bundle))["loader"], "MCUboot")

    def test_mcuboot_in_the_secondary_slot(self):
        folder = FIXTURES / "mcuboot-nuttx"
        bundle, _ = self.pack("0x1000", folder / "mcuboot-esp32.bin", "0x110000", folder / "app_upd.bin", warns=True)
        answer = self.run_json(0, "boot", self.write("swap.bin", self.extract(bundle)))
        self.assertEqual(answer["outcome"], "swaps_then_boots")


if __name__ == "__main__":
    runner.main(sys.argv[4:])
