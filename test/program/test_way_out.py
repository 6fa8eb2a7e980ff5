#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ways out of a refusal for want of room: each that simulate and diff name is taken, and works; where there is none, they say so.

usage: test_way_out.py PROGRAM DEMO_IMAGES FIXTURES
"""
import json
import os
import pathlib
import re
import sys
import unittest

import cases
import flash_dumps
import runner

run = cases.run
FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[3])
SECTOR = flash_dumps.SECTOR
TABLE, IN_PLACE = "--allow-temporary-table", "--allow-in-place"
NVS = (b"nvs", 1, 2, 0x9000, 0x4000)
FACTORY = (b"factory", 0, 0, 0x10000, 0x100000)
END = 0x400000


def filled(size, seed=5):
    return (flash_dumps.in_use(seed) * (size // 0x2000 + 1))[:size]


def unwrapped(text):
    return re.sub(r"\s+", " ", text)


class WayOutTest(cases.InDemoFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key, cls.public = cls.dir / "key.pem", cls.dir / "public.pem"
        assert run("keygen", "--out", cls.key, "--public", cls.public).returncode == 0
        idf = (cls.dir / "old-flash.bin").read_bytes()
        cls.loader, cls.app = idf[0x1000:0x8000].rstrip(b"\xff"), flash_dumps.image_at(idf, 0x210000)

    def device(self, rows, *parts):
        """A single app at 0x10000, with NVS in use and more parts."""
        return self.write("device.bin", flash_dumps.flash((0x1000, self.loader), (0x8000, flash_dumps.table(rows)),
                                                          (0x9000, flash_dumps.in_use(1)), (0x10000, self.app), *parts))

    def new_app(self):
        app = bytearray(self.app)
        app[0x30:0x30 + 5] = b"9.9.9"
        return flash_dumps.reseal(app)

    def inputs(self, app=None, rows=(NVS, FACTORY)):
        return ("--flash-size", "4MB", "0x8000", self.write("table.bin", flash_dumps.table(rows)),
                "0x10000", self.write("app.bin", app or self.new_app()))

    def pack(self, *words, status=0):
        """A signed bundle."""
        bundle = self.dir / "new.srb"
        result = run("pack", "--chip", "esp32", "-o", bundle, "--sign", self.key, *words)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.said = result.stderr
        return bundle

    def simulate(self, flash, bundle, *options):
        result = run("simulate", "--json", "--flash", flash, "--bundle", bundle, "--public-key", self.public, *options)
        return result.returncode, json.loads(result.stdout)

    def refused(self, flash, words, *options):
        """The ways out of a refusal, the same in both commands: each is taken, and comes through as it was told."""
        bundle = self.pack(*words)
        before = flash.read_bytes()
        status, told = self.simulate(flash, bundle, "--out", self.dir / "out.bin", *options)
        self.assertEqual((status, told["result"], told["erases"], told["programs"]),
                         (1, "ESP_ERR_SELF_REFLASHER_REFUSED", 0, 0))
        self.assertEqual((self.dir / "out.bin").read_bytes(), before)
        self.assertEqual(flash.read_bytes(), before)
        if not options:
            differs = run("diff", "--json", bundle, flash)
            self.assertEqual(json.loads(differs.stdout)["room"], told["room"], differs.stderr)
            self.assertEqual(json.loads(differs.stdout)["refusal_text"], told["plan"]["refusal_text"])
            free = [way for way in told["room"]["ways"] if not way["give_up"] and not way["always"]]
            self.assertEqual(differs.returncode, 0 if free else 1)
        for way in told["room"]["ways"]:
            self.assertNotIn("otadata", json.dumps(way))
            self.assertEqual(way["bytes_freed"], sum(part["size"] for part in way["give_up"]))
            given_up = [word for part in way["give_up"] for word in ("--give-up", part["region"])]
            always = ("--always", way["always"]) if way["always"] else ()
            status, taken = self.simulate(flash, self.pack(*words, *given_up, *always), *options, *way["options"])
            self.assertEqual((status, taken["result"], taken["window_ms"]), (0, "ESP_OK", way["window_ms"]))
        return told

    def ways(self, told):
        return [(way["options"], [(part["region"], part["lost"]) for part in way["give_up"]]) for way in told["room"]["ways"]]

    def test_an_option_of_the_app(self):
        flash, words = self.device((NVS, FACTORY)), self.inputs()
        told = self.refused(flash, words)
        self.assertEqual(self.ways(told), [([TABLE], [])])
        self.assertRegex(told["way_out"], rf"^{TABLE}: enough, with a window of 0\.\d{{3}} s$")
        self.assertEqual(told["plan"]["bytes_missing"], 0)
        shown = unwrapped(run("simulate", "--flash", flash, "--bundle", self.pack(*words), "--public-key", self.public).stdout)
        self.assertIn(f"way out {TABLE}: enough", shown)
        shown = unwrapped(run("diff", self.dir / "new.srb", flash).stdout)
        self.assertIn("refused running app at 0x10000 is in the way", shown)
        self.assertIn(f"way out {TABLE}: enough", shown)

    def test_what_is_not_refused_needs_no_way_out(self):
        flash = self.device((NVS, FACTORY))
        bundle = self.pack(*self.inputs())
        status, told = self.simulate(flash, bundle, TABLE)
        self.assertEqual((status, told["room"], told["plan"]["bytes_missing"]), (0, None, 0))
        status, told = self.simulate(flash, bundle, TABLE, "--min-sequence", 3)  # not for want of room
        self.assertEqual((status, told["room"], told["plan"]["refusal"]), (1, None, "sequence"))
        table = self.write("table.bin", flash_dumps.table((NVS, FACTORY, (b"files", 1, 0x82, 0x110000, 0x10000))))
        result = run("diff", "--json", self.pack("--flash-size", "4MB", "0x8000", table, "--skip-check", "app"), flash)
        answer = json.loads(result.stdout)
        self.assertEqual((result.returncode, answer["refusal_text"], answer["room"]), (0, None, None))

    def test_files_that_the_owner_gives_up(self):
        rows = (NVS, FACTORY, (b"files", 1, 0x82, 0x110000, 0x2F0000))
        flash, words = self.device(rows, (0x110000, filled(0x2F0000))), self.inputs()
        told = self.refused(flash, words)
        self.assertEqual(self.ways(told), [([TABLE], [("files", "files")])])
        self.assertRegex(told["way_out"], rf"^pack --give-up files, then {TABLE}: frees 2\.9 MiB, enough, with a window of "
                                          r"[0-9.]+ s; lost: the files in files$")
        self.assertIn("before files, ", told["message"])
        missing = [int(number) for number in re.findall("([0-9]+) bytes missing", told["message"])]
        self.assertEqual((told["plan"]["bytes_missing"], min(missing) % SECTOR), (min(missing), 0))
        self.assertGreater(min(missing), 0)
        told = self.refused(flash, words, TABLE)
        self.assertEqual(self.ways(told), [([], [("files", "files")])])
        self.assertTrue(told["way_out"].startswith("pack --give-up files: frees"))
        flash = self.device(rows)
        self.assertEqual(self.ways(self.refused(flash, words)), [([TABLE], [("files", "nothing")])])

    def test_what_loses_least_comes_first(self):
        """In place without a loss, in a long window; and by a temporary table, with the files."""
        rows = (NVS, FACTORY, (b"files", 1, 0x81, 0x120000, 0x2E0000))
        flash = self.device(rows, (0x120000, filled(0x2E0000)))
        words = self.inputs(flash_dumps.tiny_app("2"))
        told = self.refused(flash, words)
        self.assertEqual(self.ways(told), [([IN_PLACE], []), ([TABLE], [("files", "files")])])
        shown = unwrapped(run("diff", self.pack(*words), flash).stdout)
        self.assertIn(f"way out {IN_PLACE}: enough", shown)
        self.assertIn(f" or pack --give-up files, then {TABLE}: ", shown)

    def test_no_more_than_is_needed(self):
        """Of a core dump, two file systems and NVS: the one that suffices."""
        rows = (NVS, FACTORY, (b"dump", 1, 3, 0x110000, 0x10000), (b"small", 1, 0x83, 0x120000, 0x20000),
                (b"large", 1, 0x82, 0x140000, 0x120000), (b"nvs2", 1, 2, 0x260000, 0x1A0000))
        flash = self.device(rows, (0x110000, filled(END - 0x110000)))
        told = self.refused(flash, self.inputs())
        self.assertEqual(self.ways(told), [([TABLE], [("large", "files")])])

    def test_settings_come_last(self):
        """Data of an unknown kind before NVS; and what the app must do without is told."""
        rows = [NVS, FACTORY, (b"nvs2", 1, 2, 0x110000, 0x200000), (b"own", 0x40, 0, 0x310000, 0xF0000)]
        parts = ((0x110000, filled(END - 0x110000)),)
        told = self.refused(self.device(rows, *parts), self.inputs())
        self.assertEqual(self.ways(told), [([TABLE], [("own", "data")])])
        self.assertIn("lost: the data in own; the running app must do without", told["way_out"])
        rows[2:] = (b"nvs2", 1, 2, 0x110000, 0x2B0000), (b"files", 1, 0x82, 0x3C0000, 0x40000)
        told = self.refused(self.device(rows, *parts), self.inputs())
        self.assertEqual(self.ways(told), [([TABLE], [("nvs2", "settings")])])
        self.assertIn("lost: the settings in nvs2; the running app must do without", told["way_out"])

    def test_another_app_and_what_is_in_no_partition(self):
        test = (b"test", 0, 0x20, 0x110000, 0x100000)
        flash = self.device((NVS, FACTORY, test), (0x110000, filled(END - 0x110000)))
        told = self.refused(flash, self.inputs())
        self.assertEqual(self.ways(told), [([TABLE], [("0x210000+0x1f0000", "unknown")])])
        self.assertIn("lost: what lies in no partition at 0x210000+0x1f0000", told["way_out"])
        rows = (NVS, FACTORY, test, (b"own", 0x40, 0, 0x210000, 0x1F0000))
        told = self.refused(self.device(rows, (0x110000, filled(END - 0x110000))), self.inputs())
        self.assertEqual(self.ways(told), [([TABLE], [("test", "app")])])

    def test_labels_that_no_command_line_has(self):
        for label in (b"my files", b"-f", b"0x0+4K", b"\xff\xfe"):
            rows = (NVS, FACTORY, (label, 1, 0x82, 0x110000, 0x2F0000))
            told = self.refused(self.device(rows, (0x110000, filled(0x2F0000))), self.inputs())
            self.assertEqual(self.ways(told), [([TABLE], [("0x110000+0x2f0000", "files")])])

    def test_what_the_bundle_needs_itself_is_not_named(self):
        """What moves, and what is given up already."""
        rows = (NVS, FACTORY, (b"files", 1, 0x82, 0x110000, 0x180000), (b"other", 1, 0x82, 0x290000, 0x170000))
        flash = self.device(rows, (0x110000, filled(END - 0x110000)))
        new = (NVS, FACTORY, (b"kept", 1, 0x82, 0x280000, 0x180000))
        words = (*self.inputs(rows=new), "--move", "files=kept", "--old-layout", flash)
        _, told = self.simulate(flash, self.pack(*words))
        self.assertNotIn('"region": "files"', json.dumps(told["room"]))
        self.assertIn('"region": "other"', json.dumps(told["room"]))
        words = (*self.inputs(), "--give-up", "0x110000+0x10000", "--give-up", "other")
        _, told = self.simulate(flash, self.pack(*words))
        self.assertNotIn('"region": "other"', json.dumps(told["room"]))

    def test_nothing_that_helps(self):
        """The new system wants all of the flash."""
        flash = self.device((NVS, FACTORY, (b"files", 1, 0x82, 0x110000, 0x2F0000)), (0x110000, filled(0x2F0000)))
        rest = self.write("rest.bin", filled(0x2F0000, 9))
        new = (NVS, FACTORY, (b"storage", 1, 0x82, 0x110000, 0x2F0000))
        words = (*self.inputs(rows=new), "0x110000", rest)
        told = self.refused(flash, words)
        room = told["room"]
        self.assertEqual((room["ways"], room["give_up_tried"]), ([], True))
        self.assertEqual(([part["region"] for part in room["most"]["give_up"]], room["most"]["options"]),
                         (["0xd000+0x3000", "files", "nvs"], [TABLE, IN_PLACE]))
        self.assertGreater(room["bytes_missing_still"], 0)
        self.assertIn("before new storage", room["refusal_text_still"])
        missing = f"{room['bytes_missing_still']:,}"
        self.assertEqual(told["way_out"], "nothing that could be given up makes room: with 0xd000+0x3000, files, nvs given up, "
                                          f"with --always 0x110000+0x2f0000, and with {TABLE} and {IN_PLACE}, {missing} bytes are missing still")
        self.assertIn("before new storage", told["message"])
        shown = unwrapped(run("diff", self.pack(*words), flash).stdout)
        self.assertIn("way out nothing that could be given up makes room: ", shown)

    def test_room_for_what_moves(self):
        """Data that moves is staged first: that takes room, too."""
        rows = (NVS, (b"otadata", 1, 0, 0xD000, 0x2000), (b"ota_0", 0, 0x10, 0x10000, 0x180000),
                (b"ota_1", 0, 0x11, 0x190000, 0x180000), (b"files", 1, 0x82, 0x310000, 0xF0000))
        flash = self.device(rows, (0xD000, flash_dumps.otadata(2)), (0x10000, filled(END - 0x10000)), (0x190000, self.app))
        new = ((b"otadata", 1, 0, 0xD000, 0x2000), (b"ota_0", 0, 0x10, 0x10000, 0x180000),
               (b"ota_1", 0, 0x11, 0x190000, 0x180000), (b"nvs", 1, 2, 0x310000, 0x10000))
        app = flash_dumps.tiny_app("2").ljust(0x180000, b"\x55")
        words = (*self.inputs(app, new), "0xd000", self.write("otadata.bin", flash_dumps.otadata(1)), "--move", "nvs",
                 "--old-layout", flash)
        told = self.refused(flash, words)
        self.assertEqual((told["plan"]["refusal"], self.ways(told)), ("move", [([], [("files", "files")])]))
        self.assertRegex(told["message"], "the longest piece has [0-9]+ bytes")

    def test_bundle_that_is_not_at_hand(self):
        """In flash, as on the device: only what the app allows can be tried."""
        rows = (NVS, FACTORY, (b"files", 1, 0x82, 0x200000, 0x200000))
        bundle = self.pack(*self.inputs()).read_bytes()
        for parts, ways in (((), [([TABLE], [])]), (((0x110000, filled(0xF0000)),), [])):
            flash = self.device(rows, (0x200000, filled(0x200000)), *parts, (0x300000, bundle))
            source = f"flash:0x300000+{len(bundle)}"
            status, told = self.simulate(flash, source)
            self.assertEqual((status, self.ways(told), told["room"]["give_up_tried"]), (1, ways, False))
        self.assertIn("--bundle FILE finds out", told["way_out"])

    def test_flash_that_boots_nothing_is_compared_all_the_same(self):
        flash = self.write("blank.bin", b"\xff" * END)
        result = run("diff", "--json", self.pack(*self.inputs()), flash)
        self.assertEqual((result.returncode, json.loads(result.stdout)["room"]), (0, None))

    def test_dump_that_is_smaller_than_what_the_bundle_needs(self):
        """The first half of a chip, or all of one that is too small: the same advice from each command."""
        flash, out = self.device((NVS, FACTORY)), self.dir / "after.bin"
        rows = (NVS, FACTORY, (b"files", 1, 0x82, 0x400000, 0x400000))
        bundle = self.pack("--flash-size", "8MB", *self.inputs(rows=rows)[2:], "0x1000", self.write("loader.bin", self.loader))
        for words in (("diff", bundle, flash), ("extract", bundle, "--base", flash, "-o", out)):
            result = run(*words)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn("a flash of 4194304 bytes, where the bundle needs 8388608; ", result.stderr)
            self.assertIn("take a dump of all of it: esptool read-flash 0 ALL", result.stderr)
        self.assertFalse(out.exists())
        _, told = self.simulate(flash, bundle)
        self.assertEqual((told["plan"]["refusal"], told["erases"]), ("flash_size", 0))
        self.assertIn("take a dump of all of it: esptool read-flash 0 ALL", told["way_out"])

    def test_labels_that_the_old_system_lacks(self):
        rows = (NVS, FACTORY, (b"otadata", 1, 0, 0xE000, 0x2000), (b"files", 1, 0x82, 0x110000, 0x2F0000))
        flash = self.device(rows, (0x110000, filled(0x2F0000)))
        table = self.write("old-table.bin", flash_dumps.table(rows))
        self.pack(*self.inputs(), "--give-up", "files", "--give-up", "0xe000+0x1000")
        self.assertIn("warning: without --old-layout nobody checks that the old system has what is given up: files", self.said)
        for old in (flash, table):
            self.pack(*self.inputs(), "--give-up", "fils", "--old-layout", old, status=2)
            self.assertIn(f"--give-up fils: {old} has no partition of that name (it has nvs, factory, otadata, files)",
                          self.said)
            for booted in ("otadata", "0xf000+0x1000"):
                self.pack(*self.inputs(), "--give-up", booted, "--old-layout", old, status=1)
                self.assertIn("the chip boots from 'otadata' at 0x00e000", self.said)
            bundle = self.pack(*self.inputs(), "--give-up", "files", "--old-layout", old)
            self.assertIn("files: 2.9 MiB at 0x110000 are given up", self.said)
            self.assertNotIn("--old-layout", self.said)
        words = ("--flash", flash, "--bundle", bundle, "--public-key", self.public, TABLE)
        self.assertEqual(run("simulate", *words, "--out", self.dir / "after.bin").stderr, "")
        bundle = self.pack(*self.inputs(), "--give-up", "files", "--give-up", "fils")
        warning = f"warning: {flash} has no partition of that name, which the bundle gives up: fils (it has nvs, "
        self.assertIn(warning, run("simulate", *words).stderr)
        self.assertIn(warning, run("diff", bundle, flash).stderr)
        words = ("--flash", self.dir / "after.bin", *words[2:])
        self.assertEqual(run("simulate", *words).stderr, "")  # given up is what the old system had

    def test_published_systems(self):
        """WLED has no room for Tasmota unless its files go; and for MicroPython none for a note, so there must be no need for one."""
        if not FIXTURES.exists():
            raise unittest.SkipTest("no fixtures")
        flash = bytearray(flash_dumps.wled(FIXTURES))
        flash[0xE000:0x10000] = flash_dumps.otadata(1)
        flash[0x310000:END] = filled(0xF0000)
        flash = self.write("wled.bin", flash)
        told = self.refused(flash, ("--merged", FIXTURES / "tasmota/tasmota32.factory.bin"))
        self.assertEqual(self.ways(told), [([TABLE], [("spiffs", "files")])])
        self.assertTrue(told["way_out"].startswith(f"pack --give-up spiffs, then {TABLE}: frees 960 KiB, enough"))
        self.assertIn("before spiffs", told["message"])
        bundle = self.pack("--merged", FIXTURES / "tasmota/tasmota32.factory.bin")
        shown = run("simulate", "--flash", flash, "--bundle", bundle, "--public-key", self.public).stdout
        page = (pathlib.Path(__file__).parents[2] / "docs" / "program.md").read_text(encoding="utf-8")
        self.assertIn(re.search(r"```text\n(  result.*?)```", page, re.DOTALL)[1], shown)
        told = self.refused(flash, ("--merged", f"{FIXTURES / 'micropython/esp32.bin'}@0x1000"))
        self.assertEqual(self.ways(told), [([IN_PLACE], [("app1", "app")])])
        self.assertEqual(told["room"]["ways"][0]["always"], "0x9000+0x7000")
        self.assertTrue(told["way_out"].startswith(
            f"pack --always 0x9000+0x7000 --give-up app1, then {IN_PLACE}: frees 1.5 "))
        self.assertIn("is written with each run of the bundle", told["way_out"])


if __name__ == "__main__":
    runner.main(sys.argv[4:])
