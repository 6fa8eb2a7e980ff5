#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Power losses everywhere: explore on small migrations with every operation, on large ones with a spread sample.

usage: test_explore.py PROGRAM DEMO_IMAGES FIXTURES
"""
import hashlib
import json
import os
import pathlib
import sys
import unittest

import cases
import flash_dumps
import runner

FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[3])
MEMBERS = {"operations", "states", "outcomes", "window_ms", "window_lower_bound_ms", "failures"}
BLANK_ENTRY = b"\xff" * 32
MD5_ENTRY = b"\xeb\xeb" + b"\xff" * 14
WINDOW_GOAL = 1.05
# In a build with sanitizers a sample has to do: see docs/testing.md.
SAMPLES = os.environ.get("SELF_REFLASHER_EXPLORE") == "sample"
FULL = ("--sample", "8", "--torn", "1") if SAMPLES else ("--full",)
# What goes nearly the way of another one is tried in full each night.
ALIKE = ("--full",) if os.environ.get("SELF_REFLASHER_EXPLORE") == "all" else ("--sample", "20")


def fewer(words):
    """Where a sample has to do, a smaller one: at most eight operations beside those of the commit."""
    for before, word in zip(["", *words], words):
        yield str(min(8, int(word))) if before == "--sample" and word.isdigit() else word


def run(*arguments):
    words = [*map(str, arguments)]
    return cases.run(*(fewer(words) if SAMPLES else words), timeout=900)


def renamed_nvs(table):
    """A table that differs in one label."""
    entries = table[:table.index(MD5_ENTRY)].replace(b"nvs".ljust(16, b"\0"), b"settings".ljust(16, b"\0"))
    return (entries + MD5_ENTRY + hashlib.md5(entries).digest()).ljust(0xC00, b"\xff")


class ExploreTest(cases.InDemoFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flash = cls.dir / "old-flash.bin"

    def pack(self, name, *arguments):
        path = self.dir / name
        result = run("pack", "-o", path, "--chip", "esp32", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return "--bundle", path, "--allow-unsigned"

    def explore(self, status, flash, *arguments):
        result = run("explore", "--json", "--flash", flash, *arguments)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        answer = json.loads(result.stdout)
        self.assertLessEqual(MEMBERS, answer.keys())
        print(f"explored: {answer['states']} states, {answer.get('nested_power_losses', 0)} further power losses")
        self.assertEqual(sum(answer["outcomes"].values()), answer["states"])
        self.assertEqual(bool(answer["failures"]), status == 1)
        if status == 0:
            for kind, shortest in answer["window_lower_bound_ms"].items():
                self.assertGreaterEqual(answer["window_ms"][kind], shortest)
        return answer

    def assert_window(self, answer, floor=None):
        for kind in ("typical", "maximum"):
            shortest = answer["window_lower_bound_ms"][kind]
            self.assertLessEqual(answer["window_ms"][kind], WINDOW_GOAL * shortest)
            if floor is not None:
                self.assertAlmostEqual(shortest, floor[kind])
        self.assertEqual(answer["outcomes"]["does_not_boot"] > 0, answer["window_ms"]["maximum"] > 0)


class Small(ExploreTest):
    """Every operation."""

    def test_table_only(self):
        table = self.write("table.bin", renamed_nvs(self.flash.read_bytes()[0x8000:0x8C00]))
        answer = self.explore(0, self.flash, "--full", *self.pack("table.srb", "0x8000", table))
        self.assert_window(answer, {"typical": 45.4, "maximum": 403})
        self.assertEqual(answer["operations_tried"], answer["operations"])
        answer = self.explore(0, self.flash, "--full", "--cuts", 3, *self.pack("table.srb", "0x8000", table))
        self.assertGreater(answer["nested_power_losses"], 0)

    def test_what_the_boot_itself_writes_is_no_failure(self):
        """A device fresh from a web installer: otadata is blank, and the first start after a power loss writes it."""
        content = bytearray(self.flash.read_bytes())
        content[0xD000:0xF000] = b"\xff" * 0x2000
        flash = self.write("fresh.bin", content)
        table = self.write("table.bin", renamed_nvs(content[0x8000:0x8C00]))
        answer = self.explore(0, flash, "--full", "--cuts", 2, *self.pack("fresh.srb", "0x8000", table))
        self.assertGreater(answer["outcomes"]["old_finishes"], 0)

    def test_the_table_at_another_place(self):
        """Before, after, both: the place is built into the bootloader, and so each side has its own."""
        content = self.flash.read_bytes()
        loader, app = content[0x1000:0x8000].rstrip(b"\xff"), content[0x210000:].rstrip(b"\xff")
        other = bytearray(loader)
        other[0x1234] ^= 0x55
        for old, new in ((0x8000, 0xA000), (0xA000, 0x8000), (0xA000, 0xA000), (0x10000, 0x9000)):
            def rows(table):
                return ((b"nvs", 1, 2, table + 0x1000, 0x4000), (b"otadata", 1, 0, table + 0x5000, 0x2000),
                        (b"app0", 0, 0x10, 0x20000, 0x100000), (b"app1", 0, 0x11, 0x120000, 0x100000))
            parts = ((0x1000, loader), (old, flash_dumps.table(rows(old))), (old + 0x1000, flash_dumps.in_use(1)),
                     (old + 0x5000, flash_dumps.otadata(2)), (0x120000, app))
            flash = self.write("old.bin", flash_dumps.flash(*parts))
            inputs = ((0x1000, flash_dumps.reseal(other)), (new, flash_dumps.table(rows(new))[:0xC00]),
                      (0x20000, flash_dumps.tiny_app("2.0")), (new + 0x5000, flash_dumps.otadata(1)))
            files = [(hex(address), self.write(f"{address:x}.bin", data)) for address, data in inputs]
            bundle = self.pack("table.srb", *(word for pair in files for word in pair), "--partition-table", hex(new))
            answer = self.explore(0, flash, "--sample", 30, "--torn", 1, "--cuts", 2, *bundle)
            self.assert_window(answer)
            out = self.dir / "after.bin"
            told = json.loads(run("simulate", "--json", "--flash", flash, "--out", out, *bundle).stdout)
            self.assertEqual((told["boot_before"]["app_offset"], told["boot"]["app_offset"]), (0x120000, 0x20000))
            # As images, it has to be named; what is left of the old table is as intact as the new one.
            place = flash_dumps.flash((0, flash.read_bytes()), *((0x300000 + 0x20000 * i, data)
                                                                 for i, (_, data) in enumerate(inputs)))
            images = [word for i, (address, data) in enumerate(inputs)
                      for word in (hex(address), f"flash:{0x300000 + 0x20000 * i:#x}+{len(data):#x}")]
            steps = ("--flash", self.write("place.bin", place), *images[2:], *images[:2], "--new-partition-table", hex(new))
            result = run("simulate", "--json", *steps)
            self.assertEqual((result.returncode, json.loads(result.stdout)["boot"]["app_offset"]), (0, 0x20000), result.stderr)
            for arguments in ((), ("--partition-table", hex(new))):
                result = run("boot", "--json", out, *arguments)
                if arguments or old == new:
                    self.assertEqual((json.loads(result.stdout)["app_offset"], result.stderr), (0x20000, ""))
                else:
                    self.assertIn(f"intact partition tables lie at", result.stderr)
                    self.assertIn("--partition-table 0x", result.stderr)

    def test_running_app(self):
        """An app other than the one that boots runs the migration, until a cut; it is relocated, too, if it is in the way."""
        content = bytearray(self.flash.read_bytes())
        other = bytearray(content[0x210000:].rstrip(b"\xff"))
        other[0x30:0x30 + 5] = b"9.9.9"  # its version, in the descriptor
        content[0x10000:0x10000 + len(other)] = flash_dumps.reseal(other)
        flash = self.write("two-apps.bin", content)
        table = self.write("table.bin", renamed_nvs(content[0x8000:0x8C00]))
        running = ("--running", "0x10000")
        answer = self.explore(0, flash, "--full", "--cuts", 2, *running, *self.pack("table.srb", "0x8000", table))
        self.assert_window(answer, {"typical": 45.4, "maximum": 403})
        app = self.write("tiny.bin", flash_dumps.tiny_app("3.0"))
        otadata = self.write("otadata.bin", flash_dumps.otadata(4))
        bundle = self.pack("moved.srb", "0xd000", otadata, "0x10000", app, "--partition-table", "none")
        self.explore(0, flash, "--sample", 20, *running, *bundle)
        for address in ("0x10001", "0x1000", "0x110000", "0x400000"):
            result = run("explore", "--flash", flash, "--running", address, "0x1000+0x7000", self.dir / "mcuboot.bin")
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(f"offset {address}", result.stderr)

    def test_bootloader_only(self):
        loader = bytearray(self.flash.read_bytes()[0x1000:0x7000])
        loader[2] = 0  # QIO: another header, and so another digest at the end
        path = self.write("bootloader.bin", flash_dumps.reseal(loader))
        bundle = self.pack("bootloader.srb", "0x1000", path, "--skip-check", "flash-mode")
        answer = self.explore(0, self.flash, *FULL, *bundle, "--skip-check", "flash-mode")
        self.assertGreater(answer["window_ms"]["typical"], 0)
        self.assert_window(answer)

    def test_app_only_has_no_window(self):
        app = bytearray(self.flash.read_bytes()[0x210000:])
        length = len(app.rstrip(b"\xff"))
        path = self.write("app.bin", app[:length])
        bundle = self.pack("app.srb", "0xd000", self.write("select.bin", flash_dumps.otadata(2)), "0x10000", path)
        answer = self.explore(0, self.flash, "--sample", 40, *bundle)
        self.assertEqual((answer["window_ms"], answer["outcomes"]["does_not_boot"]),
                         ({"typical": 0, "maximum": 0}, 0))
        self.assert_window(answer)

    def single_app(self):
        """A flash with one app and no other place for one, and a bundle with another app for this place."""
        content = bytearray(self.flash.read_bytes())
        app = content[0x210000:].rstrip(b"\xff")
        rows = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"factory", 0, 0, 0x10000, 0x100000))
        table = flash_dumps.table(rows)
        other = bytearray(app)
        other[0x30:0x30 + 5] = b"9.9.9"
        flash = self.write("single.bin", flash_dumps.flash((0x1000, content[0x1000:0x8000]), (0x8000, table),
                                                           (0x9000, flash_dumps.in_use(1)), (0x10000, app)))
        inputs = ("0x8000", self.write("table.bin", table), "0x10000",
                  self.write("other.bin", flash_dumps.reseal(other)))
        return flash, self.pack("single.srb", *inputs)

    def test_single_app_layout(self):
        flash, bundle = self.single_app()
        result = run("simulate", "--flash", flash, *bundle, "--json")
        answer = json.loads(result.stdout)
        self.assertEqual((result.returncode, answer["plan"]["refusal"]), (1, "running_app"))
        self.assertEqual((answer["erases"], answer["programs"]), (0, 0))
        for allowed, relocation, name in (("--allow-temporary-table", "temporary_table", "by a temporary table"),
                                          ("--allow-in-place", "in_place", "is overwritten in place")):
            with self.subTest(allowed=allowed):
                result = run("simulate", "--flash", flash, *bundle, allowed, "--json")
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                told = json.loads(result.stdout)
                self.assertEqual((told["result"], told["plan"]["relocation"]), ("ESP_OK", relocation))
                self.assertEqual(told["boot"]["app_offset"], 0x10000)
                for kind, measured in (("typical", "window_ms"), ("maximum", "window_ms_maximum")):
                    planned = told["plan"][f"window_ms_{kind}"] + told["plan"][f"relocation_ms_{kind}"]
                    self.assertGreaterEqual(planned, told[measured])
                    self.assertGreater(told["plan"][f"relocation_ms_{kind}"], 0)
                self.assertIn(name, run("simulate", "--flash", flash, *bundle, allowed).stdout)
                answer = self.explore(0, flash, "--sample", 20, "--torn", 1, "--cuts", 2, *bundle, allowed)
                self.assertEqual(answer["window_ms"], {"typical": told["window_ms"],
                                                       "maximum": told["window_ms_maximum"]})

    def test_room_that_the_owner_gives_up(self):
        """A single app, and a file system over all the rest: nothing takes the app, unless the files may go."""
        flash, _ = self.single_app()
        content = bytearray(flash.read_bytes())
        rows = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"factory", 0, 0, 0x10000, 0x100000), (b"files", 1, 0x82, 0x110000, 0x2F0000))
        content[0x8000:0x9000] = flash_dumps.table(rows)
        content[0x110000:0x400000] = flash_dumps.in_use(5) * 0x178
        flash = self.write("full.bin", bytes(content))
        inputs = ("0x8000", self.write("table.bin", flash_dumps.table(rows[:2])), "0x10000", self.dir / "other.bin")
        allowed = ("--allow-temporary-table",)
        refused = run("simulate", "--json", "--flash", flash, *self.pack("full.srb", *inputs), *allowed)
        self.assertEqual((refused.returncode, json.loads(refused.stdout)["plan"]["refusal"]), (1, "running_app"))
        for given_up in ("files", "0x110000+0x2f0000"):
            bundle = self.pack("given-up.srb", *inputs, "--flash-size", "4MB", "--give-up", given_up)
            told = json.loads(run("simulate", "--json", "--flash", flash, *bundle, *allowed).stdout)
            self.assertEqual((told["result"], told["plan"]["relocation"]), ("ESP_OK", "temporary_table"))
            self.assertEqual(told["plan"]["sectors_given_up"], 0x2F0)
            self.assertEqual([partition["label"] for partition in told["data_lost"]], ["files"])
            answer = self.explore(0, flash, "--sample", 20, "--torn", 1, "--cuts", 2, *bundle, *allowed)
            self.assertEqual(answer["outcomes"]["old_stuck"], 0)

    def test_single_image_moves_the_app_by_a_temporary_table(self):
        flash, _ = self.single_app()
        content = bytearray(flash.read_bytes())
        image = content[0x8000:0x10000] + (self.dir / "other.bin").read_bytes()
        content[0x200000:0x200000 + len(image)] = image
        flash = self.write("single-image.bin", content)
        steps = (f"0x8000+{(len(image) + 0xFFF) // 0x1000 * 0x1000:#x}", f"flash:0x200000+{len(image):#x}")
        answer = self.explore(0, flash, "--sample", 10, "--torn", 1, "--allow-temporary-table", *steps)
        self.assertLess(answer["window_ms"]["typical"], 120)
        self.assertGreater(answer["window_ms"]["typical"], 45)

    def test_what_is_linked_into_the_app_moves_with_it(self):
        """As an app finds it that asks spi_flash_cache2phys() at each start: where it lay at first, something else soon lies."""
        flash, image = self.dir / "embedded-flash.bin", (self.dir / "app_upd.merged.bin").read_bytes()
        source = flash.read_bytes().index(image)
        steps = (f"0x1000+{len(image):#x}", f"flash:{source:#x}+{len(image)}")
        answer = self.explore(0, flash, "--sample", 40, "--torn", 1, *steps)
        self.assertGreater(answer["outcomes"]["old_finishes"], 20)
        result = run("explore", "--flash", flash, "--sample", 8, "--torn", 1, "--cuts", 2, *steps)
        self.assertRegex(result.stdout, r"[0-9]+ further power losses while going on")

    def test_a_chip_of_16_mib(self):
        """Other slots, and a file system that moves from past the first 12 MiB to past the first 14."""
        bootloader = self.flash.read_bytes()[0x1000:0x8000].rstrip(b"\xff")
        old = flash_dumps.big(bootloader)
        flash = self.write("big.bin", old)
        parts = ((0x1000, flash_dumps.big_bootloader(bootloader, 0x55)),
                 (0x8000, flash_dumps.big_table(7 << 20, 0xE10000)), (0xD000, flash_dumps.otadata(1)),
                 (0x10000, flash_dumps.tiny_app("2.0")),
                 (0xE10000, flash_dumps.in_use(3) * 2))
        inputs = [word for address, data in parts for word in (hex(address), self.write(f"{address:x}.bin", data))]
        bundle = self.pack("big.srb", *inputs, "--erase", "0xc10000..0xe10000", "--erase", "0xe14000..0x1000000")
        out = self.dir / "big-after.bin"
        result = run("simulate", "--flash", flash, "--out", out, *bundle, "--json")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        wanted = flash_dumps.flash((0, old[:0x10000]), (0x610000, flash_dumps.tiny_app("1.0")), *parts, size=len(old))
        self.assertEqual(hashlib.sha256(out.read_bytes()).digest(), hashlib.sha256(wanted).digest())
        self.assertLess(json.loads(result.stdout)["peak_heap"], 48 << 10)
        answer = self.explore(0, flash, *FULL, "--torn", 1, *bundle)
        self.assertTrue(SAMPLES or answer["operations_tried"] == answer["operations"])
        self.assert_window(answer)

    def grown(self, size, slot):
        """A device with 4 MB in its bootloader's header, on a larger chip, and a bundle with a system for all of it."""
        loader, code = self.flash.read_bytes()[0x1000:0x8000].rstrip(b"\xff"), {8: 0x30, 16: 0x40}[size >> 20]
        rows = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, 0xD000, 0x2000), (b"app0", 0, 0x10, 0x10000, 0x100000),
                (b"app1", 0, 0x11, 0x110000, 0x100000), (b"storage", 1, 0x82, 0x3F0000, 0x8000))
        old = flash_dumps.flash((0x1000, loader), (0x8000, flash_dumps.table(rows)), (0x9000, flash_dumps.in_use(1)),
                                (0xD000, flash_dumps.otadata(slot + 1)), (0x10000 + slot * 0x100000, flash_dumps.tiny_app("1.0")),
                                (0x3F0000, flash_dumps.in_use(2)))
        larger = bytearray(loader)
        larger[3] = code | larger[3] & 0x0F
        rows = ((b"otadata", 1, 0, 0xD000, 0x2000), (b"app0", 0, 0x10, 0x10000, 0x300000),
                (b"app1", 0, 0x11, 0x310000, 0x300000), (b"nvs", 1, 2, size - 0x4000, 0x4000),
                (b"storage", 1, 0x82, 0x700000, 0x10000))
        parts = ((0x1000, flash_dumps.reseal(larger)), (0x8000, flash_dumps.table(rows)[:0xC00]),
                 (0x10000, flash_dumps.tiny_app("2.0")))
        flash = self.write(f"grown-{size >> 20}-{slot}.bin", old)
        inputs = [word for address, data in parts for word in (hex(address), self.write(f"grown-{address:x}.bin", data))]
        bundle = self.pack("grown.srb", *inputs, "--move", "nvs", "--move", "storage", "--old-layout", flash)
        wanted = flash_dumps.flash((0, old[:0x10000]), *parts, (size - 0x4000, old[0x9000:0xD000]),
                                   (0x700000, old[0x3F0000:0x3F8000]), size=size)
        return flash, bundle, wanted

    def test_the_flash_grows(self):
        """Sold with a layout for 4 MB on a larger chip; from both slots; NVS and a file system move past the old end."""
        for size, slot in ((8 << 20, 0), (8 << 20, 1), (16 << 20, 0), (16 << 20, 1)):
            flash, bundle, wanted = self.grown(size, slot)
            chip = ("--chip-size", f"{size >> 20}M")
            out = self.dir / "grown-after.bin"
            result = run("simulate", "--json", "--flash", flash, "--out", out, *bundle, *chip)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            after = out.read_bytes()
            for address, length in ((0x1000, 0x8000), (0x10000, 0x3000), (size - 0x4000, 0x4000), (0x700000, 0x10000)):
                self.assertEqual(after[address:address + length], wanted[address:address + length], hex(address))
            self.assertEqual(json.loads(result.stdout)["boot"]["app_offset"], 0x10000)
            sample = ALIKE if (size, slot) == (8 << 20, 1) else ("--sample", "20")
            answer = self.explore(0, flash, *sample, "--torn", 1, "--cuts", 2, *bundle, *chip)
            self.assert_window(answer)
            # Without the room for it, nothing is touched.
            result = run("simulate", "--json", "--flash", flash, *bundle)
            answer = json.loads(result.stdout)
            self.assertEqual((result.returncode, answer["plan"]["refusal"], answer["erases"]), (1, "flash_size", 0))
        for chip in ("2M", "3M", "0", "64M", "large"):
            result = run("simulate", "--flash", flash, *bundle, "--chip-size", chip)
            self.assertEqual((result.returncode, result.stdout), (2, ""), chip)
            self.assertIn("chip", result.stderr)

    def test_a_wrong_order_is_found_and_can_be_shown(self):
        """Images in the order that the documentation warns of."""
        steps = ("0x1000+0x7000", self.dir / "mcuboot.bin", "0x110000+1M", self.dir / "app_upd.bin")
        answer = self.explore(1, self.flash, "--sample", 10, "--torn", 1, *steps)
        out = self.dir / "cut.bin"
        failures = [f for f in answer["failures"] if f["outcome"] == "does_not_boot"]
        for failure in failures[:2] + failures[-2:]:
            self.assertEqual(failure["argument"].split(":")[0], str(failure["cut"]))
            self.assertTrue(failure["reason"])
            shown = run("simulate", "--json", "--flash", self.flash, "--out", out, "--cut", failure["argument"], *steps)
            self.assertEqual(shown.returncode, 1, shown.stderr)
            booted = run("boot", "--json", "--chip", "esp32", out)
            self.assertEqual(booted.returncode, 1)
            self.assertEqual(json.loads(booted.stdout), json.loads(shown.stdout)["boot"])
        # what has been found is shown to people, too
        result = run("explore", "--flash", self.flash, "--sample", 10, "--torn", 1, *steps)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"--cut {answer['failures'][0]['argument']} ", result.stdout)

    def test_bad_usage(self):
        for arguments, words in [
                (("explore", "--flash", self.flash), "no --bundle"),
                (("explore", "--flash", self.flash, "--url", "http://127.0.0.1/x", "--allow-unsigned"), "--bundle"),
                (("explore", "--flash", self.flash, "--cuts", "0", "0x1000", "x"), "power losses"),
                (("explore", "--flash", self.flash, "--sample", "many", "0x1000", "x"), "operations"),
                (("simulate", "--flash", self.flash, "--cut", "3:", "0x1000", "x"), "3:"),
                (("simulate", "--flash", self.flash, "--cut", "1,2,3,4,5,6,7,8,9", "0x1000", "x"), "1,2")]:
            with self.subTest(arguments):
                result = run(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(words, result.stderr)

    def test_what_cannot_be_explored(self):
        mcuboot = self.dir / "mcuboot.bin"
        blank = self.write("blank.bin", b"\xff" * flash_dumps.FLASH_SIZE)
        result = run("explore", "--flash", blank, "0x1000+0x7000", mcuboot)
        self.assertEqual((result.returncode, result.stdout), (3, ""))
        self.assertIn("blank.bin", result.stderr)
        # refused by the component: the run without a cut does not end well either
        result = run("explore", "--flash", self.flash, "0x1000+0x7000", self.dir / "app_upd.bin")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("even without a power loss", result.stderr)
        # a cut that never comes
        result = run("simulate", "--flash", self.flash, "--cut", "1000000", "0x1000+0x7000", mcuboot)
        self.assertEqual(result.returncode, 2)
        self.assertIn("power loss number 1", result.stderr)


@unittest.skipUnless(FIXTURES.exists(), "no fixtures")
class Large(ExploreTest):
    """Published systems, with a spread sample of the operations and all of the commit."""
    sample = ("--sample", 2, "--torn", 1, "--cuts", 2) if SAMPLES else ("--sample", 12, "--torn", 2, "--cuts", 2)

    def test_esphome_to_wled(self):
        flash = self.write("esphome.bin", flash_dumps.esphome(FIXTURES))
        bundle = self.pack("wled.srb", "--manifest", FIXTURES / "wled/json/manifest.json")
        self.assert_window(self.explore(0, flash, *self.sample, *bundle))

    def test_wled_to_esphome(self):
        flash = self.write("wled.bin", flash_dumps.wled(FIXTURES))
        bundle = self.pack("esphome.srb", "--manifest", FIXTURES / "esphome/manifest.json")
        self.assert_window(self.explore(0, flash, *self.sample, *bundle))

    def test_wled_to_esphome_from_the_first_slot(self):
        """The app moves out of the way first."""
        content = bytearray(flash_dumps.wled(FIXTURES))
        content[0xE000:0x10000] = flash_dumps.otadata(1)
        flash = self.write("wled-first.bin", content)
        bundle = self.pack("esphome.srb", "--manifest", FIXTURES / "esphome/manifest.json")
        self.assert_window(self.explore(0, flash, *self.sample, *bundle))

    def test_idf_to_mcuboot_by_bundle(self):
        bundle = self.pack("nuttx.srb", "--merged", f"{FIXTURES / flash_dumps.MERGED_NUTTX}@0x1000")
        self.assert_window(self.explore(0, self.flash, *self.sample, *bundle))

    def test_idf_to_mcuboot_by_download(self):
        folder = FIXTURES / "mcuboot-nuttx"
        answer = self.explore(0, self.flash, *self.sample, "0x110000+1M", folder / "app_upd.bin", "0x1000+0x7000",
                              folder / "mcuboot-esp32.bin")
        self.assert_window(answer)


if __name__ == "__main__":
    runner.main(sys.argv[4:])
