#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program as its users meet it: exit statuses, JSON, messages, and what a rehearsal leaves in flash.

usage: test_tool.py PROGRAM DEMO_IMAGES FIXTURES ORACLE
"""
import functools
import hashlib
import http.server
import json
import os
import pathlib
import struct
import sys
import threading
import unicodedata

import cases
import flash_dumps
import runner

run = cases.run
FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[3])
ORACLE = pathlib.Path(os.environ.get("SELF_REFLASHER_ORACLE") or sys.argv[4])
FLASH_SIZE = 4 << 20
SIMULATE_MEMBERS = {"flash_ms", "erases", "programs", "sectors_written", "bytes_downloaded", "window_ms", "peak_heap",
                    "boot", "result"}


def run_on_terminal(*arguments):
    """Output alone on a pseudo terminal."""
    status, shown = cases.run_on_terminal(*arguments)
    return status, shown.decode()


class ToolTest(cases.InDemoFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flash = cls.dir / "old-flash.bin"
        cls.embedded = cls.dir / "embedded-flash.bin"
        cls.mcuboot = cls.dir / "mcuboot.bin"
        cls.app = cls.dir / "app_upd.bin"
        cls.merged = cls.dir / "app_upd.merged.bin"


class Usage(ToolTest):
    def test_help_lists_the_commands(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        for command in ("inspect", "boot", "simulate"):
            self.assertRegex(result.stdout, rf"(?m)^  {command} +\w")
            self.assertEqual(run(command, "--help").returncode, 0)

    def test_version(self):
        self.assertRegex(run("--version").stdout, r"^self-reflasher \d+\.\d+\.\d+\nbundle format \d+\n$")

    def test_bad_usage(self):
        self.assert_fails(2, ["no command"])
        self.assert_fails(2, ["nonsense"], "nonsense")
        self.assert_fails(2, ["--nonsense"], "boot", "--nonsense")
        self.assert_fails(2, ["no file"], "boot")
        self.assert_fails(2, ["no file"], "inspect")
        self.assert_fails(2, ["esp99", "esp32c3"], "boot", "--chip", "esp99", self.flash)
        self.assert_fails(2, ["one"], "boot", self.flash, self.flash)
        self.assert_fails(2, ["3.x"], "boot", "--revision", "3.x", self.flash)
        self.assert_fails(2, ["0x10z"], "inspect", "--offset", "0x10z", self.flash)

    def test_bad_usage_of_simulate(self):
        flash = ("simulate", "--flash", self.flash)
        self.assert_fails(2, ["--flash"], "simulate", "0x1000", self.mcuboot)
        self.assert_fails(2, ["no OFFSET"], *flash)
        self.assert_fails(2, ["0x1000", "SOURCE"], *flash, "0x1000")
        self.assert_fails(2, ["wherever"], *flash, "wherever", self.mcuboot)
        self.assert_fails(2, ["0x1000+"], *flash, "0x1000+", self.mcuboot)
        self.assert_fails(2, ["0x100000000"], *flash, "0x100000000", self.mcuboot)
        self.assert_fails(2, ["flash:0x1000"], *flash, "0x1000", "flash:0x1000")
        self.assert_fails(2, ["X25", "W25Q32JV"], *flash, "--flash-chip", "X25", "0x1000", self.mcuboot)
        self.assert_fails(2, ["--sha"], *flash, "--sha", "0x1000+4K", "http://127.0.0.1:9/x")

    def test_bad_input(self):
        short = self.write("short.bin", b"\xff" * 0x180001)
        empty = self.write("empty.bin", b"")
        nothing = self.write("nothing.bin", b"\x55" * 0x3000)
        self.assert_fails(3, ["missing.bin"], "boot", self.dir / "missing.bin")
        self.assert_fails(3, ["short.bin", "0x180001"], "boot", short)
        self.assert_fails(3, ["empty.bin"], "inspect", empty)
        self.assert_fails(3, ["nothing.bin", "0x0"], "inspect", nothing)
        self.assert_fails(3, [str(self.dir)], "inspect", self.dir)
        self.assert_fails(3, ["short.bin"], "simulate", "--flash", short, "0x1000", self.mcuboot)
        self.assert_fails(3, ["missing.bin"], "simulate", "--flash", self.flash, "0x1000", self.dir / "missing.bin")
        self.assert_fails(2, ["0x300000"], "simulate", "-f", self.flash, "-r", "0x300000", "0x1000", self.mcuboot)


class Boot(ToolTest):
    def test_boots(self):
        answer = self.run_json(0, "boot", self.flash)
        self.assertEqual(answer["outcome"], "boots")
        self.assertEqual(answer["app_offset"], 0x210000)
        self.assertEqual(answer["loader"], "ESP-IDF")
        self.assertTrue(answer["reason"])
        self.assertRegex(run("boot", self.flash).stdout, r"\Aboots: boot_swap_download_example \S+ at 0x210000\n")

    def test_rom_rejects(self):
        flash = bytearray(self.flash.read_bytes())
        flash[0x1000] = 0xE8
        answer = self.run_json(1, "boot", self.write("rom.bin", flash))
        self.assertEqual(answer["outcome"], "rom_rejects")
        self.assertIsNone(answer["app_offset"])
        self.assertIn("does not boot", run("boot", self.dir / "rom.bin").stdout)

    def test_bootloader_rejects(self):
        flash = bytearray(self.flash.read_bytes())
        flash[0x8000:0x9000] = b"\xff" * 0x1000
        answer = self.run_json(1, "boot", self.write("table.bin", flash))
        self.assertEqual(answer["outcome"], "bootloader_rejects")

    def test_not_known(self):
        """A segment in the other core's cache: a bootloader that was built for one core loads it, others refuse it."""
        flash = bytearray(self.flash.read_bytes())
        start = self.run_json(0, "boot", self.flash)["app_offset"]
        at = start + 24
        for _ in range(flash[start + 1]):
            address, length = struct.unpack_from("<II", flash, at)
            if address == 0x3FFB0000:
                struct.pack_into("<I", flash, at, 0x4007C000)
            at += 8 + length
        end = at + 16 - (at - start) % 16
        flash[end:end + 32] = hashlib.sha256(flash[start:end]).digest()
        path = self.write("not-known.bin", flash)
        answer = self.run_json(3, "boot", path)
        self.assertEqual((answer["outcome"], answer["app_offset"]), ("not_known", None))
        self.assertIn("not all builds", answer["reason"])
        self.assertRegex(run("boot", path).stdout, r"\Anot known whether it boots\n")
        self.assert_fails(3, ["for certain", "--running"], "simulate", "-f", path, "0x1000", self.mcuboot)
        packed = run("pack", "--chip", "esp32", "--out", self.dir / "not-known.srb", "--merged", path)
        self.assertEqual(packed.returncode, 0, packed.stderr)
        self.assertIn("warning: not known whether the chip boots this", packed.stderr)

    def test_chip_can_be_told(self):
        self.assertEqual(self.run_json(1, "boot", "--chip", "ESP32-C3", self.flash)["chip"], "esp32c3")

    def test_one_wrong_chip_id_does_not_make_another_chip(self):
        """The ESP32-S2 looks for its bootloader at the same place."""
        flash = bytearray(self.flash.read_bytes())
        flash[0x100C] = 2
        answer = self.run_json(1, "boot", self.write("s2.bin", flash))
        self.assertEqual((answer["chip"], answer["outcome"]), ("esp32", "rom_rejects"))

    def test_recovery_bootloader(self):
        """An ESP32-C5 whose only bootloader is the one at the burnt offset; that finds no table."""
        code = b"\x6f\0\0\0" * 8
        image = (b"\xe9\x01\x02\x00" + struct.pack("<I", 0x40840000) + b"\xee\0\0\0" + struct.pack("<H", 23) +
                 b"\0" * 3 + b"\xff\xff" + b"\0" * 5 + struct.pack("<II", 0x40840000, len(code)) + code)
        image += b"\0" * (15 - len(image) % 16) + bytes([0xEF ^ functools.reduce(lambda a, b: a ^ b, code)])
        flash = bytearray(b"\xff" * 0x400000)
        flash[0x3F0000:0x3F0000 + len(image)] = image
        path = self.write("c5.bin", flash)
        burnt = ("--chip", "esp32c5", "--recovery-bootloader", "0x3f0000")
        answer = self.run_json(1, "boot", *burnt, path)
        self.assertEqual((answer["outcome"], answer["recovered"]), ("bootloader_rejects", True))
        self.assertEqual(answer["bootloader"]["offset"], 0x3F0000)
        self.assertIn("recovery bootloader at 0x3f0000", run("boot", *burnt, path).stdout)
        answer = self.run_json(1, "boot", "--chip", "esp32c5", path)
        self.assertEqual((answer["outcome"], answer["recovered"]), ("rom_rejects", False))

    def test_efuses(self):
        answer = self.run_json(1, "boot", "--efuse", "secure-version=1", self.flash)
        self.assertEqual(answer["outcome"], "bootloader_rejects")
        for harmless in ("secure-version=0", "block-revision=1.3", "ignore-max-revision=1", "ignore-max-block=1"):
            self.run_json(0, "boot", "--efuse", harmless, self.flash)
        for bad in ("secure-version", "secure-version=17", "secure-version=x", "block-revision=1", "no-such=1",
                    "ignore-max-block=2", "=1", "bootloader-version=5"):
            self.assert_fails(2, ["eFuse" if "revision" not in bad else "MAJOR.MINOR"], "boot", "--efuse", bad, self.flash)
        self.assert_fails(2, ["esp32 ", "bootloader-version"], "boot", "--efuse", "bootloader-version=1", self.flash)

    def test_recovery_bootloader_where_there_is_none(self):
        for command in ("boot", "inspect"):
            self.assert_fails(2, ["esp32 ", "recovery"], command, "--recovery-bootloader", "0x3f0000", self.flash)
        self.assert_fails(2, ["esp32 ", "recovery"], "simulate", "-f", self.flash, "--recovery-bootloader", "0x3f0000",
                          "0x1000", self.mcuboot)
        self.assert_fails(2, ["esp32p4", "recovery"], "boot", "--chip", "esp32p4", "--revision", "1.3",
                          "--recovery-bootloader", "0x3f0000", self.flash)
        for bad in ("0", "0x3f0800", "0xfff000", "0x1000000", "x"):
            self.assert_fails(2, [bad, "0xfff000"], "boot", "--recovery-bootloader", bad, self.flash)

    def test_what_real_chips_did(self):
        if not (ORACLE / "cases.json").exists() or not FIXTURES.exists():
            self.skipTest("no oracle")
        sys.dont_write_bytecode = True  # the folder is not ours
        sys.path.insert(0, str(ORACLE))
        import rebuild  # pylint: disable=import-error,import-outside-toplevel
        for case in json.loads((ORACLE / "cases.json").read_text()):
            outcome, _, offset = case["outcome"].replace("rom_stuck", "rom_rejects").partition(":")
            with self.subTest(case["id"]):
                flash = self.write("case.bin", rebuild.build(case, str(FIXTURES)))
                answer = self.run_json(0 if offset else 1, "boot", flash)
                self.assertEqual(answer["outcome"], outcome)
                self.assertEqual(answer["app_offset"], int(offset, 16) if offset else None)


class Inspect(ToolTest):
    def test_whole_flash(self):
        answer = self.run_json(0, "inspect", self.flash)
        self.assertEqual((answer["kind"], answer["chip"], answer["size"]), ("flash", "esp32", FLASH_SIZE))
        self.assertEqual(answer["bootloader"]["kind"], "ESP-IDF")
        self.assertEqual(answer["bootloader"]["flash_size"], "4MB")
        self.assertTrue(answer["partition_table"]["valid"])
        self.assertEqual(answer["boot"]["app_offset"], 0x210000)
        app, = [app for app in answer["apps"] if app["offset"] == 0x210000]
        self.assertEqual((app["name"], app["checksum"], app["digest"]), ("boot_swap_download_example", "good", "good"))

    def test_single_images(self):
        self.assertEqual(self.run_json(0, "inspect", self.mcuboot)["kind"], "bootloader")
        self.assertEqual(self.run_json(0, "inspect", self.mcuboot)["bootloader"]["kind"], "MCUboot")
        slot = self.run_json(0, "inspect", self.app)
        self.assertEqual(slot["kind"], "mcuboot_slot")
        self.assertEqual(slot["mcuboot_images"][0]["slot_size"], 1 << 20)
        self.assertTrue(slot["mcuboot_images"][0]["intact"])
        flash = self.flash.read_bytes()
        app = self.run_json(0, "inspect", self.write("app.bin", flash[0x210000:0x300000]))
        self.assertEqual((app["kind"], app["apps"][0]["name"]), ("app", "boot_swap_download_example"))
        table = self.run_json(0, "inspect", self.write("table.bin", flash[0x8000:0x8C00]))
        self.assertEqual((table["kind"], table["partition_table"]["valid"]), ("partition_table", True))

    def test_merged_image(self):
        answer = self.run_json(0, "inspect", self.merged)
        self.assertEqual((answer["kind"], answer["offset"]), ("part", 0x1000))
        self.assertEqual([image["offset"] for image in answer["mcuboot_images"]], [0x10000])
        old = self.write("old-merged.bin", self.flash.read_bytes()[0x1000:0x300000])
        answer = self.run_json(0, "inspect", old)
        self.assertEqual((answer["kind"], answer["offset"]), ("part", 0x1000))
        self.assertEqual(answer["partition_table"]["offset"], 0x8000)
        moved = self.write("moved.bin", self.flash.read_bytes()[0x8000:0x300000])
        answer = self.run_json(0, "inspect", "--offset", "0x8000", moved)
        self.assertIsNone(answer["bootloader"])
        self.assertTrue(answer["partition_table"]["valid"])

    def test_damage_is_shown(self):
        flash = bytearray(self.flash.read_bytes())
        flash[0x210000 + 0x4000] ^= 0xFF
        flash[0x8001 + 12] ^= 1
        answer = self.run_json(0, "inspect", self.write("damaged.bin", flash))
        self.assertFalse(answer["partition_table"]["valid"])
        flash = bytearray(self.flash.read_bytes())
        flash[0x210000 + 0x4000] ^= 0xFF
        answer = self.run_json(0, "inspect", self.write("damaged.bin", flash))
        app, = [app for app in answer["apps"] if app["offset"] == 0x210000]
        self.assertEqual((app["intact"], app["checksum"], app["digest"]), (False, "wrong", "wrong"))
        self.assertIn("checksum wrong", run("inspect", self.dir / "damaged.bin").stdout)

    def test_random_files_are_survived(self):
        flash = self.flash.read_bytes()
        for cut in (1, 2, 23, 24, 31, 32, 0x1001, 0x7FFF, 0x8001, 0x8020, 0x8BFF, 0xD001, 0x210001, 0x210021):
            for start in (0, 0x1000, 0x8000, 0x210000):
                with self.subTest(cut=cut, start=start):
                    path = self.write("cut.bin", flash[start:start + cut])
                    self.assertIn(run("inspect", path).returncode, (0, 3))
        for start in (0, 0x10, 0x20, 0x40, 0x100):
            self.assertIn(run("inspect", self.write("cut.bin", self.app.read_bytes()[:0x24960 + start])).returncode,
                          (0, 3))

    def test_real_firmware(self):
        if not FIXTURES.exists():
            self.skipTest("no fixtures")
        answer = self.run_json(0, "inspect", FIXTURES / "idf/bootloader_esp32_v5_2.bin")
        self.assertEqual(answer["bootloader"]["version"], "v5.2-dev-254-g1950b15")
        self.assertEqual(answer["bootloader"]["flash_size"], "2MB")
        answer = self.run_json(0, "inspect", FIXTURES / "esphome/esp32.bin")
        self.assertEqual([entry["name"] for entry in answer["partition_table"]["entries"]],
                         ["nvs", "otadata", "app0", "app1", "eeprom", "spiffs"])
        self.assertEqual(answer["otadata"]["active"], 0)
        answer = self.run_json(0, "inspect", FIXTURES / "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin")
        self.assertEqual((answer["kind"], answer["apps"][0]["length"]), ("app", 1325744))
        answer = self.run_json(0, "inspect", FIXTURES / "mcuboot-nuttx/app_upd.merged.bin")
        self.assertEqual((answer["offset"], answer["bootloader"]["kind"]), (0x1000, "MCUboot"))


class Output(ToolTest):
    def lines(self, *arguments, environment=None):
        return run(*arguments, environment=environment).stdout.splitlines()

    def all_lines(self, environment=None):
        lines = []
        for arguments in (("boot", "old-flash.bin"), ("inspect", "old-flash.bin"), ("inspect", "embedded-flash.bin"),
                          ("inspect", "app_upd.merged.bin"), ("inspect", "app_upd.bin"),
                          ("simulate", "-f", "old-flash.bin", "0x110000+1M", "app_upd.bin", "0x1000", "mcuboot.bin"),
                          ("simulate", "-f", "old-flash.bin", "0x1001", "mcuboot.bin")):
            lines += self.lines(*arguments, environment=environment)
        return lines

    def setUp(self):
        self.before = os.getcwd()
        os.chdir(self.dir)

    def tearDown(self):
        os.chdir(self.before)

    def test_fits_80_columns_and_leaves_no_trailing_blanks(self):
        for line in self.all_lines():
            width = sum(0 if unicodedata.combining(c) else 1 for c in line)
            self.assertLessEqual(width, 80, line)
            self.assertEqual(line, line.rstrip())

    def test_unicode_only_where_the_locale_has_it(self):
        self.assertIn("\u2588", "".join(self.all_lines()))
        "".join(self.all_lines({"LC_ALL": "C"})).encode("ascii")

    def test_colour_only_on_a_terminal(self):
        self.assertNotIn("\x1b", "".join(self.all_lines()))
        _, output = run_on_terminal("inspect", self.flash)
        self.assertIn("\x1b[", output)

    def test_progress_bar_only_on_a_terminal(self):
        arguments = ("simulate", "-f", self.flash, "0x110000+1M", self.app)
        status, output = run_on_terminal(*arguments)
        self.assertEqual(status, 0)
        self.assertGreater(output.count("\r       download"), 5)
        plain = run(*arguments).stdout
        self.assertNotIn("\r", plain)
        self.assertEqual(plain.count("       download "), 1)


class Simulate(ToolTest):
    def simulate(self, status, flash, *arguments):
        out = self.dir / "out.bin"
        out.unlink(missing_ok=True)
        before = flash.read_bytes()
        answer = self.run_json(status, "simulate", "--flash", flash, "--out", out, *arguments)
        self.assertLessEqual(SIMULATE_MEMBERS, answer.keys())
        self.assertEqual(flash.read_bytes(), before)
        return answer, out.read_bytes()

    def assert_refused(self, name, *arguments, flash=None):
        answer, after = self.simulate(1, flash or self.flash, *arguments)
        self.assertEqual(answer["result"], name)
        self.assertEqual((answer["erases"], answer["programs"], answer["window_ms"]), (0, 0, 0))
        self.assertEqual(after, (flash or self.flash).read_bytes())
        self.assertTrue(answer["message"])
        return answer

    def test_download_of_a_whole_system(self):
        steps = ("0x110000+1M", self.app, "0x1000+0xF000", self.mcuboot)
        answer, after = self.simulate(0, self.flash, *steps)
        expected = bytearray(self.flash.read_bytes())
        expected[0x110000:0x210000] = self.app.read_bytes()
        expected[0x1000:0x10000] = self.mcuboot.read_bytes().ljust(0xF000, b"\xff")
        staged = slice(0x10000, 0x110000)  # the slot in which images were staged
        expected[staged] = after[staged]
        self.assertEqual(after, expected)
        self.assertEqual(answer["result"], "ESP_OK")
        self.assertEqual(answer["boot"]["outcome"], "swaps_then_boots")
        self.assertEqual(answer["boot"]["app_offset"], 0x10000)
        self.assertEqual(answer["boot"]["loader"], "MCUboot")
        self.assertEqual(answer["bytes_downloaded"], self.app.stat().st_size + self.mcuboot.stat().st_size)
        self.assertGreater(answer["peak_heap"], 0)
        # at least the bootloader's sectors, each erased once and its pages programmed
        sectors = -(-self.mcuboot.stat().st_size // 4096)
        self.assertGreaterEqual(answer["window_ms"], min(sectors * 45, 150))
        self.assertLess(answer["window_ms"], answer["flash_ms"])
        self.assertGreater(answer["window_ms_maximum"], answer["window_ms"])
        self.assertEqual(self.run_json(0, "boot", self.dir / "out.bin"), answer["boot"])

    def test_embedded_image_over_the_running_app(self):
        before = self.embedded.read_bytes()
        image = self.merged.read_bytes()
        source = before.index(image)
        app_size = source + len(image) - 0x10000
        answer, after = self.simulate(0, self.embedded, f"0x1000+{len(image):#x}", f"flash:{source:#x}+{len(image)}")
        self.assertEqual(answer["boot"]["outcome"], "boots")
        self.assertEqual(after[0x1000:0x1000 + len(image)], image)
        self.assertEqual(after[0x1000 + len(image):0x210000], before[0x1000 + len(image):0x210000])
        # The app has moved to its second slot first, so that a cut matters only while the boot path is written.
        self.assertEqual(after[0x210000:0x210000 + app_size], before[0x10000:0x10000 + app_size])
        self.assertLess(answer["window_ms"], 500)
        self.assertEqual((answer["bytes_downloaded"], answer["http_requests"]), (0, 0))

    def test_steps_go_on_after_the_app_has_moved(self):
        steps = ("0x3f0000", "flash:0x1000+4096", "0x10000+0x10000", "flash:0x9000+4096", "0x3ff000", "flash:0x8000+4096")
        answer, after = self.simulate(0, self.embedded, *steps)
        before = self.embedded.read_bytes()
        self.assertEqual(answer["boot"]["app_offset"], 0x210000)
        for to, source in ((0x3F0000, 0x1000), (0x10000, 0x9000), (0x3FF000, 0x8000)):
            self.assertEqual(after[to:to + 4096], before[source:source + 4096])
        result = run("simulate", "--flash", self.embedded, *steps)
        self.assertEqual(result.stdout.count("the app has been relocated"), 1)

    def test_app_that_cannot_move_is_overwritten_by_the_last_step_only(self):
        # The second slot is where the image is: nothing goes on after the first step.
        steps = ("0x10000", "flash:0x210000+0x1f0000", "0x9000", "flash:0x8000+4096")
        answer, _ = self.simulate(1, self.embedded, *steps)
        self.assertEqual((answer["result"], answer["failed_step"]), ("ESP_ERR_NOT_FINISHED", 1))

    def test_what_is_right_already_is_left_alone(self):
        answer, after = self.simulate(0, self.flash, "0x8000", "flash:0x8000+4K")
        self.assertEqual((answer["erases"], answer["programs"], answer["sectors_written"], answer["window_ms"]),
                         (0, 0, 0, 0))
        self.assertEqual(after, self.flash.read_bytes())

    def test_app_elsewhere_has_no_window(self):
        answer, after = self.simulate(0, self.flash, "0x110000+1M", self.app)
        self.assertEqual(answer["window_ms"], 0)
        self.assertGreater(answer["flash_ms"], 0)
        self.assertEqual(after[0x110000:0x210000], self.app.read_bytes())

    def test_url(self):
        handler = functools.partial(QuietHandler, directory=str(self.dir))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            answer, after = self.simulate(0, self.flash, "0x110000", url + "app_upd.bin")
            self.assertEqual(after[0x110000:0x210000], self.app.read_bytes())
            self.assertEqual(answer["http_requests"], 1)
            self.assert_refused("ESP_ERR_SELF_REFLASHER_HTTP_STATUS", "0x110000+1M", url + "missing")
        finally:
            server.shutdown()
            server.server_close()

    def test_refusals(self):
        answer = self.assert_refused("ESP_ERR_SELF_REFLASHER_UNALIGNED", "0x1001+0x1000", self.mcuboot)
        self.assertIn("0x1001", answer["message"])
        self.assert_refused("ESP_ERR_SELF_REFLASHER_PAST_END", "0x400000", self.mcuboot)
        self.assert_refused("ESP_ERR_SELF_REFLASHER_RUNNING_APP", "0x210000", self.mcuboot)
        self.assert_refused("ESP_ERR_SELF_REFLASHER_TOO_LARGE", "0x110000+4K", self.mcuboot)
        self.assert_refused("ESP_ERR_SELF_REFLASHER_PAST_END", "0x110000", "flash:0x3ff000+8K")
        result = run("simulate", "-f", self.flash, "0x1001+0x1000", self.mcuboot)
        self.assertEqual(result.returncode, 1)
        self.assertIn("ESP_ERR_SELF_REFLASHER_UNALIGNED in step 1", result.stdout)

    def test_a_later_step_that_fails_is_named(self):
        answer, _ = self.simulate(1, self.flash, "0x110000+1M", self.app, "0x1001", self.mcuboot)
        self.assertEqual((answer["result"], answer["failed_step"]), ("ESP_ERR_SELF_REFLASHER_UNALIGNED", 2))

    def test_bad_bootloader(self):
        image = bytearray(self.mcuboot.read_bytes())
        image[0x100] ^= 1
        bad = self.write("bad.bin", image)
        answer, after = self.simulate(1, self.flash, "0x1000", bad)
        self.assertEqual(answer["result"], "ESP_ERR_SELF_REFLASHER_CHECKSUM")
        self.assertEqual(after[0x1000:0x10000], self.flash.read_bytes()[0x1000:0x10000])
        self.assertEqual(answer["boot"]["outcome"], "boots")
        answer, _ = self.simulate(1, self.flash, "--skip-image-check", "0x1000", bad)
        self.assertEqual((answer["result"], answer["boot"]["outcome"]), ("ESP_OK", "rom_rejects"))

    def test_digests_are_handed_over(self):
        answer, _ = self.simulate(0, self.flash, "--sha", "0x110000", self.app)
        self.assertEqual(answer["result"], "ESP_OK")

    def test_times_are_those_of_the_datasheet(self):
        answer, _ = self.simulate(0, self.flash, "--flash-chip", "W25Q32JV", "0x110000+1M", self.app)
        writing = 45 * answer["sector_erases"] + 150 * answer["block_erases"] + 0.4 * answer["programs"]
        self.assertGreaterEqual(answer["flash_ms"], writing)
        longest = 400 * answer["sector_erases"] + 2000 * answer["block_erases"] + 3 * answer["programs"]
        self.assertAlmostEqual(answer["flash_ms_maximum"] - answer["flash_ms"], longest - writing)

    def test_running_app(self):
        flash = bytearray(self.flash.read_bytes())
        flash[0x10000:0x110000] = flash[0x210000:0x310000]
        path = self.write("two-apps.bin", flash)
        destination = ("0x10000+0x10000", self.mcuboot)
        self.assert_refused("ESP_ERR_SELF_REFLASHER_NO_STAGING", *destination, flash=path)
        self.assert_refused("ESP_ERR_SELF_REFLASHER_RUNNING_APP", "--running", "0x10000", *destination, flash=path)
        answer, _ = self.simulate(0, path, "--running", "0x10000", "0x210000+0x10000", "flash:0x8000+0x1000")
        self.assertEqual((answer["boot_before"]["app_offset"], answer["boot"]["app_offset"]), (0x210000, 0x10000))

    def test_an_app_that_nothing_selects_is_no_success(self):
        """The old app goes on for ever; nothing is refused, as images know no otadata."""
        content = bytearray(self.flash.read_bytes())
        content[0x3F0000:0x3F2000] = flash_dumps.otadata(2)
        flash = self.write("select.bin", content)
        app = ("0x10000+1M", "flash:0x210000+0xd0000")
        answer, after = self.simulate(1, flash, *app)
        self.assertEqual((answer["result"], answer["new_app_missed"]), ("ESP_OK", True))
        self.assertIn("otadata", answer["way_out"])
        self.assertEqual(after[0x10000:0xE0000], content[0x210000:0x2E0000])
        result = run("simulate", "--flash", flash, *app)
        self.assertEqual(result.returncode, 1)
        self.assertIn("written, but the new app does not start", result.stdout)
        explored = run("explore", "--flash", flash, "--sample", 1, "--torn", 1, *app)
        self.assertEqual(explored.returncode, 1)
        self.assertIn("starts in the end", explored.stderr)
        answer, _ = self.simulate(0, flash, *app, "0xd000", "flash:0x3f0000+0x2000")
        self.assertEqual((answer["new_app_missed"], answer["boot"]["app_offset"]), (False, 0x10000))

    def test_real_firmware(self):
        if not FIXTURES.exists():
            self.skipTest("no fixtures")
        wled = (FIXTURES / "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin").read_bytes()
        old = bytearray(self.flash.read_bytes())
        old[0x210000:0x400000] = wled.ljust(0x1F0000, b"\xff")
        old[0x1000:0x8000] = (FIXTURES / "wled/binaries/esp32_bootloader_v4.bin").read_bytes()[0x1000:0x8000]
        path = self.write("wled.bin", old)
        slot = FIXTURES / "mcuboot-nuttx/app_upd.bin"
        bootloader = FIXTURES / "mcuboot-nuttx/mcuboot-esp32.bin"
        answer, after = self.simulate(0, path, "0x110000+1M", slot, "0x1000+0xF000", bootloader)
        self.assertEqual(answer["boot_before"]["app_offset"], 0x210000)
        self.assertEqual((answer["boot"]["outcome"], answer["boot"]["app_offset"]), ("swaps_then_boots", 0x10000))
        self.assertEqual(after[:0x10000], b"\xff" * 0x1000 + bootloader.read_bytes().ljust(0xF000, b"\xff"))
        self.assertEqual(after[0x110000:0x210000], slot.read_bytes())
        self.assertEqual(after[0x210000:], old[0x210000:])

    def test_a_flash_that_boots_nothing(self):
        self.assert_fails(3, ["blank.bin", "--running"], "simulate", "--json", "-f",
                          self.write("blank.bin", b"\xff" * FLASH_SIZE), "0x1000", self.mcuboot)

    def test_out_that_cannot_be_written(self):
        result = run("simulate", "--json", "-f", self.flash, "-o", self.dir / "no" / "out.bin", "0x110000", self.app)
        self.assertEqual(result.returncode, 3)
        self.assertIn("out.bin", result.stderr)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


if __name__ == "__main__":
    runner.main(sys.argv[5:])
