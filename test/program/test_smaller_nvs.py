#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NVS that moves to a smaller partition: what was stored is still there, as read by a second reader of NVS, below, which goes
by ESP-IDF's description of the format.

usage: test_smaller_nvs.py PROGRAM DEMO_IMAGES
"""
import itertools
import json
import struct
import sys
import zlib

import cases
import flash_dumps
import runner

run = cases.run
PAGE = 0x1000
BLANK = b"\xff" * PAGE
ENTRIES = 126
ACTIVE, FULL = 0xFFFFFFFE, 0xFFFFFFFC
U8, STRING, BLOB_DATA, BLOB_INDEX = 0x01, 0x21, 0x42, 0x48
OLD, OLD_PAGES = 0x9000, 4  # of the demo's table


def crc(data):
    return zlib.crc32(data, 0xFFFFFFFF)


def item(space, kind, key, value, data=b"", chunk=0xFF):
    """An item of one entry, or of several with its data."""
    rows = (len(data) + 31) // 32
    head = struct.pack("<BBBB", space, kind, 1 + rows, chunk)
    rest = key.encode().ljust(16, b"\0") + value.ljust(8, b"\xff")
    return head + struct.pack("<I", crc(head + rest)) + rest + data.ljust(32 * rows, b"\xff")


def with_data(space, kind, key, data, chunk=0xFF):
    return item(space, kind, key, struct.pack("<HHI", len(data), 0xFFFF, crc(data)), data, chunk)


def page(sequence, items, state=FULL):
    body = b"".join(items)
    assert len(body) <= 32 * ENTRIES
    header = struct.pack("<IB19x", sequence, 0xFE).replace(b"\0" * 19, b"\xff" * 19)
    states = int("10" * (len(body) // 32), 2) | ~0 << len(body) // 16 if body else ~0
    head = struct.pack("<I", state) + header + struct.pack("<I", crc(header))
    return head + (states & (1 << 256) - 1).to_bytes(32, "little") + body.ljust(32 * ENTRIES, b"\xff")


def read_nvs(partition):
    """All that is stored, as {namespace: {key: value}}; and the number of blank pages."""
    pages = [partition[at:at + PAGE] for at in range(0, len(partition), PAGE)]
    used = [one for one in pages if struct.unpack("<I", one[:4])[0] in (ACTIVE, FULL)]
    used.sort(key=lambda one: struct.unpack_from("<I", one, 4))
    items = []
    for one in used:
        assert one[8] in (0xFE, 0xFF) and crc(one[4:28]) == struct.unpack_from("<I", one, 28)[0]
        states = int.from_bytes(one[32:64], "little")
        at = 0
        while at < ENTRIES:
            entry = one[64 + 32 * at:96 + 32 * at]
            if states >> 2 * at & 3 != 2:
                at += 1
                continue
            assert struct.unpack_from("<I", entry, 4)[0] == crc(entry[:4] + entry[8:])
            items.append((entry, one[96 + 32 * at:64 + 32 * (at + entry[2])]))
            at += entry[2]
    names = {entry[24]: entry[8:24].rstrip(b"\0").decode() for entry, _ in items if entry[0] == 0}
    found = {name: {} for name in names.values()}
    for entry, data in items:
        space, kind, key = names.get(entry[0]), entry[1], entry[8:24].rstrip(b"\0").decode()
        if space is not None and kind in (STRING, BLOB_DATA):
            length, _, check = struct.unpack_from("<HHI", entry, 24)
            assert crc(data[:length]) == check
            found[space].setdefault(key, {})[entry[3]] = data[:length]
        elif space is not None and kind == U8:
            found[space][key] = entry[24]
    for values in found.values():
        for key, parts in values.items():
            values[key] = b"".join(parts[chunk] for chunk in sorted(parts)) if isinstance(parts, dict) else parts
    return found, pages.count(BLANK)


class SmallerNvs(cases.InDemoFolder):
    """The demo's system, and a table with an NVS of three pages in place of four, which otadata needs a page of."""
    TABLES = {"in its place": (OLD, 0xC000), "past the apps": (0x3F0000, 0xB000)}
    CONTENT = {"wifi": {"ssid": b"home\0", "channel": 11}, "app": {"blob": bytes(range(256)) * 20, "count": 3}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.old = cls.dir.joinpath("old-flash.bin").read_bytes()
        blob = cls.CONTENT["app"]["blob"]
        cls.first = page(4, [item(0, U8, "wifi", b"\x01"), item(0, U8, "app", b"\x02"), with_data(1, STRING, "ssid", b"home\0"),
                             item(1, U8, "channel", b"\x0b"), with_data(2, BLOB_DATA, "blob", blob[:3000], 0)])
        cls.second = page(5, [with_data(2, BLOB_DATA, "blob", blob[3000:], 1),
                              item(2, BLOB_INDEX, "blob", struct.pack("<IBBH", len(blob), 2, 0, 0xFFFF)),
                              item(2, U8, "count", b"\x03")], ACTIVE)

    def flash(self, *pages):
        """The old system's dump, with these pages in its NVS."""
        content = bytearray(self.old)
        content[OLD:OLD + OLD_PAGES * PAGE] = b"".join(pages)
        return self.write("flash.bin", bytes(content))

    def pack(self, place, *old_layout, status=0, kind=(1, 2)):
        nvs, otadata = self.TABLES[place]
        rows = [(b"nvs", *kind, nvs, 3 * PAGE), (b"otadata", 1, 0, otadata, 0x2000), (b"ota_1", 0, 0x11, 0x10000, 0x100000),
                (b"ota_0", 0, 0x10, 0x210000, 0x1E0000)]
        out = self.dir / "out.srb"
        out.unlink(missing_ok=True)
        table = self.write("table.bin", flash_dumps.table(rows)[:0xC00])
        result = run("pack", "-o", out, "-c", "esp32", "0x1000", self.write("boot.bin", self.old[0x1000:0x8000].rstrip(b"\xff")),
                     "0x8000", table, hex(otadata), self.write("otadata.bin", self.old[0xD000:0xF000]), "0x210000",
                     self.write("app.bin", self.old[0x210000:].rstrip(b"\xff")), "--move", "nvs", *old_layout)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(out.exists(), status == 0)
        return out, result.stderr

    def simulate(self, flash, bundle, status=0):
        out = self.dir / "after.bin"
        result = run("simulate", "--flash", flash, "--bundle", bundle, "--allow-unsigned", "--out", out, "--json")
        self.assertEqual(result.returncode, status, result.stderr)
        return json.loads(result.stdout), out.read_bytes()

    def nvs_of(self, content, place):
        address = self.TABLES[place][0]
        return content[address:address + 3 * PAGE]

    def test_the_reader_reads_what_was_written(self):
        self.assertEqual(read_nvs(self.first + BLANK + self.second + BLANK), (self.CONTENT, 2))

    def test_what_was_stored_is_still_there(self):
        for place, (first, second) in itertools.product(self.TABLES, itertools.permutations(range(OLD_PAGES), 2)):
            with self.subTest(place, pages=(first, second)):
                pages = [BLANK] * OLD_PAGES
                pages[first], pages[second] = self.first, self.second
                flash = self.flash(*pages)
                bundle, told = self.pack(place, "--old-layout", flash)
                self.assertIn("nvs: 2 of its 4 pages are in use", told)
                self.assertNotIn("warning", told)
                answer, after = self.simulate(flash, bundle)
                self.assertEqual(answer["boot"]["app_offset"], 0x210000)
                self.assertEqual(read_nvs(self.nvs_of(after, place)), (self.CONTENT, 1))
                extracted = self.dir / "extracted.bin"
                self.assertEqual(run("extract", bundle, "--base", flash, "-o", extracted).returncode, 0)
                self.assertEqual(self.nvs_of(extracted.read_bytes(), place), self.nvs_of(after, place))

    def test_diff_tells_how_many_pages_are_in_use(self):
        flash = self.flash(BLANK, self.second, BLANK, self.first)
        bundle, _ = self.pack("past the apps")
        answer = json.loads(run("diff", bundle, flash, "--json").stdout)
        self.assertEqual([move["pages_in_use"] for move in answer["moves"]], [2])
        self.assertNotIn("nvs", [loss["label"] for loss in answer["data_lost"]])
        self.assertIn("from nvs, 16 KiB at 0x009000, 2 of 4 pages in use\n", run("diff", bundle, flash).stdout)

    def test_too_many_pages_are_told_in_numbers(self):
        flash = self.flash(self.first, BLANK, self.second, page(6, []))
        words = ("uses 3 pages of 4 KiB, its new place at 0x009000 has 3, and one has to stay free: 1 missing; give it "
                 "16 KiB in the new table")
        self.assertIn(words, self.pack("in its place", "--old-layout", flash, status=1)[1])
        table = self.write("old-table.bin", self.old[0x8000:0x8C00])
        bundle, told = self.pack("in its place", "--old-layout", table)
        self.assertIn("warning: nvs: its new place is smaller; only the chip can check that at most 2 of its 4 pages are in use",
                      told)
        for command in (("diff",), ("extract", "-o", self.dir / "refused.bin", "--base")):
            result = run(command[0], bundle, *command[1:], flash)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(words, result.stderr)
        answer, after = self.simulate(flash, bundle, status=1)
        self.assertEqual(answer["plan"]["refusal"], "move")
        self.assertIn("'nvs' uses 3 pages of 4 KiB, its new place at 0x9000 has 3, and one has to stay free: 1 missing; give "
                      "it 16384 bytes in the new table", answer["plan"]["refusal_text"])
        self.assertEqual((answer["erases"], answer["programs"]), (0, 0))
        self.assertEqual(after, flash.read_bytes())

    def test_what_may_be_encrypted_stays_at_its_offset(self):
        secret = self.second[:64] + bytes(byte ^ 0x5A for byte in self.second[64:])
        self.assertIn("nvs: 2 of its 4 pages are in use",
                      self.pack("past the apps", "--old-layout", self.flash(secret, secret, BLANK, BLANK))[1])
        flash = self.flash(secret, BLANK, secret, BLANK)
        told = self.pack("past the apps", "--old-layout", flash, status=1)[1]
        self.assertIn("its page at 0x00b000 would lie at another offset, and that may be encrypted for this one: give it 16 KiB",
                      told)
        answer, _ = self.simulate(flash, self.pack("past the apps")[0], status=1)
        self.assertIn("'nvs' moves to a smaller place, where its page at 0xb000", answer["plan"]["refusal_text"])

    def test_a_file_system_does_not_get_smaller(self):
        content = bytearray(self.flash(self.first, BLANK, BLANK, BLANK).read_bytes())
        rows = [(b"nvs", 1, 0x82, OLD, OLD_PAGES * PAGE), (b"otadata", 1, 0, 0xD000, 0x2000),
                (b"ota_0", 0, 0x10, 0x10000, 0x100000), (b"ota_1", 0, 0x11, 0x210000, 0x1F0000)]
        content[0x8000:0x8C00] = flash_dumps.table(rows)[:0xC00]
        flash = self.write("files.bin", bytes(content))
        told = self.pack("in its place", "--old-layout", flash, status=1, kind=(1, 0x82))[1]
        self.assertIn("nvs: 16 KiB do not fit the 12 KiB of its new place; only NVS can get smaller: keep the size of this, "
                      "or save what it holds and leave the move out", told)

    def test_no_power_loss_loses_it(self):
        for place in self.TABLES:
            flash = self.flash(BLANK, self.second, BLANK, self.first)
            bundle, _ = self.pack(place)
            result = run("explore", "--flash", flash, "--bundle", bundle, "--allow-unsigned", "--sample", 12, "--torn", 2,
                         "--cuts", 2, "--json")
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertEqual(json.loads(result.stdout)["failures"], [])


if __name__ == "__main__":
    runner.main(sys.argv[3:])
