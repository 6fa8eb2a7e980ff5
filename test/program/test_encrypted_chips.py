# SPDX-License-Identifier: Apache-2.0
"""Dumps of chips that encrypt their flash: opened with their key, rehearsed and explored like others, and told as what they are
without it. Dumps are encrypted by espsecure, eFuses are those of espefuse's virtual chips.

usage: test_encrypted_chips.py PROGRAM DUMMY_IMAGES
DUMMY_IMAGES is the folder in which test_image_writer left one flash for each chip.
"""
import json
import os
import pathlib
import struct
import sys
import tempfile
import unittest
import zlib

import cases
import encrypted_dumps
import espressif
import flash_dumps
import runner

DUMMY_IMAGES = pathlib.Path()


class Encrypted(cases.InOneFolder):
    """For each chip a folder with the plain dump, the encrypted one, the key, and a bundle with a new bootloader and app."""

    made = None  # by the first class, for all of them

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        espressif.need()
        if Encrypted.made is None:
            folder = tempfile.TemporaryDirectory()
            unittest.addModuleCleanup(folder.cleanup)
            Encrypted.made = pathlib.Path(folder.name)
            for chip in encrypted_dumps.CHIPS:
                encrypted_dumps.make_system(chip, cls.folder(chip), DUMMY_IMAGES, cls.pack)

    @classmethod
    def folder(cls, chip):
        return cls.made / f"{chip.name}-{len(chip.key)}"

    @staticmethod
    def pack(*arguments):
        result = cases.run(*arguments)
        if result.returncode != 0:
            raise AssertionError(result.stderr)

    def each(self):
        for chip in encrypted_dumps.CHIPS:
            with self.subTest(chip=chip.name, key=len(chip.key)):
                yield chip, self.folder(chip)

    def summary(self, name, burn, key=None):
        """A file with the eFuses of a virtual chip."""
        words = [[key if word == "KEY" else word for word in words] for words in burn]
        return self.write("efuses.json", encrypted_dumps.summary(name, words, self.dir).encode())


class Opened(Encrypted):
    """With the key, a dump is one like any other."""

    def test_it_boots_as_the_plain_one(self):
        for chip, folder in self.each():
            with_key = self.run_json(0, "boot", folder / "cells.bin", "--flash-key", folder / "key")
            self.assertEqual(with_key, self.run_json(0, "boot", folder / "plain.bin"))
            self.assertEqual(with_key["chip"], chip.name)

    def test_inspect_shows_what_the_chip_reads(self):
        for chip, folder in self.each():
            shown = self.run_json(0, "inspect", folder / "cells.bin", "--flash-key", folder / "key")
            expected = self.run_json(0, "inspect", folder / "plain.bin")
            self.assertEqual(shown.pop("encryption"), {"opened": True, "scheme": chip.scheme, "mode": None})
            self.assertIsNone(expected.pop("encryption"))
            self.assertEqual({**shown, "file": ""}, {**expected, "file": ""})
            text = cases.run("inspect", folder / "cells.bin", "--flash-key", folder / "key").stdout
            self.assertIn(f"  encryption   {chip.scheme}, shown as the chip reads it\n", text)

    def test_a_rehearsal_leaves_what_the_chip_would_hold(self):
        for chip, folder in self.each():
            after = folder / "after.bin"
            options = ("--flash-key", folder / "key")
            answer = self.run_json(0, "simulate", "-f", folder / "cells.bin", "--bundle", folder / "new.srb", "--allow-unsigned",
                                   "--out", after, *options)
            self.assertEqual(answer["boot"]["app"]["name"], "tiny 2.0")
            plan, window = answer["plan"], answer["window_ms"]
            self.assertLessEqual(window, plan["window_ms_typical"], "each row is programmed by itself")
            self.assertGreater(window, plan["window_ms_typical"] / 3)
            # espsecure says the same of each sector of the bundle; blank sectors after the app's image are erased.
            wanted = bytearray(encrypted_dumps.plain(chip, DUMMY_IMAGES))
            for offset, name in ((chip.bootloader, "loader.bin"), (0x8000, "table.bin"), (0xD000, "otadata.bin"), (0x30000, "app.bin")):
                data = (folder / name).read_bytes()
                wanted[offset:offset + len(data)] = data
            self.write("wanted.bin", bytes(wanted))
            encrypted_dumps.encrypt(chip, self.dir / "wanted.bin", folder / "key", self.dir / "expected.bin")
            cells, expected = after.read_bytes(), (self.dir / "expected.bin").read_bytes()
            for at in (chip.bootloader, 0x8000, 0xD000, 0x30000, 0x31000, 0x32000):
                self.assertEqual(cells[at:at + 0x1000], expected[at:at + 0x1000], hex(at))
            self.assertEqual(cells[0x9000:0xD000], wanted[0x9000:0xD000], "NVS is not encrypted")
            # extract says without a rehearsal what it is.
            result = cases.run("extract", "-o", folder / "extracted.bin", "--base", folder / "cells.bin", folder / "new.srb", *options)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual((folder / "extracted.bin").read_bytes(), cells)
            diff = self.run_json(0, "diff", folder / "new.srb", folder / "cells.bin", *options)
            self.assertEqual(diff["sectors_wrong"], answer["plan"]["sectors_to_write"])
            self.assertEqual(self.run_json(0, "diff", folder / "new.srb", after, *options)["sectors_wrong"], 0)

    def test_a_bootloader_that_a_power_loss_took(self):
        """The dump is that of this device all the same, and the answer is that it does not boot."""
        for chip, folder in self.each():
            cells = bytearray((folder / "cells.bin").read_bytes())
            cells[chip.bootloader:chip.bootloader + flash_dumps.SECTOR] = b"\xff" * flash_dumps.SECTOR
            path = self.write("window.bin", bytes(cells))
            efuses = self.summary(chip.name, chip.burn, folder / "key")
            told = self.run_json(1, "boot", path, "--flash-key", folder / "key", "--efuses", efuses)
            self.assertEqual((told["chip"], told["outcome"]), (chip.name, "rom_rejects"))

    def test_mcuboot_is_not_known(self):
        chip = encrypted_dumps.CHIPS[0]
        folder = self.folder(chip)
        loader = bytearray((folder / "loader.bin").read_bytes())
        loader[-100:-84] = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")  # the magic of its trailers
        dump = bytearray((folder / "plain.bin").read_bytes())
        dump[chip.bootloader:chip.bootloader + len(loader)] = flash_dumps.reseal(loader)
        encrypted_dumps.encrypt(chip, self.write("mcuboot.bin", bytes(dump)), folder / "key", self.dir / "cells.bin")
        boot = self.run_json(3, "boot", self.dir / "cells.bin", "--flash-key", folder / "key")
        self.assertEqual(boot["outcome"], "not_known")
        self.assertIn("MCUboot on a chip that encrypts its flash", boot["reason"])

    def test_an_upload_is_stored_encrypted(self):
        chip = encrypted_dumps.CHIPS[2]
        folder = self.folder(chip)
        bundle = (folder / "new.srb").read_bytes()
        app = flash_dumps.with_cargo(encrypted_dumps.app(chip, "1.5"), (("bundle", "here"),), bundle)
        upload = self.write("upload.bin", app)
        result = cases.run("simulate", "-f", folder / "cells.bin", "--flash-key", folder / "key", "--upload", upload)
        self.assertIn("boots: tiny 1.5 at 0x30000\n  otadata selects slot 1", result.stdout)
        self.assertIn("refused: neither a public key nor", result.stdout, "it finds what it carries")

    @unittest.skipIf(os.environ.get("SELF_REFLASHER_EXPLORE") == "sample", "explored in the other build: see docs/testing.md")
    def test_windows_beside_those_of_plain_chips(self):
        """Power losses in a sample of the operations, and in all of the commit."""
        options = ("--sample", 12, "--torn", 2, "--json", "--allow-unsigned")
        for chip, folder in self.each():
            if len(chip.key) == 24:
                continue
            found = []
            for dump, key in (("plain.bin", ()), ("cells.bin", ("--flash-key", folder / "key"))):
                result = cases.run("explore", "-f", folder / dump, "--bundle", folder / "new.srb", *key, *options)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                found.append(json.loads(result.stdout))
            plain, encrypted = found
            print(f"explored: {encrypted['states']} states; window {encrypted['window_ms']['typical']} ms, "
                  f"of the plain chip {plain['window_ms']['typical']} ms")
            self.assertEqual(encrypted["failures"], [])
            self.assertGreater(encrypted["outcomes"]["does_not_boot"], 0)
            # Two sectors of the bootloader are erased as before, and programmed in rows of 32 or 64 bytes.
            self.assertGreater(encrypted["window_ms"]["typical"], plain["window_ms"]["typical"])
            self.assertLess(encrypted["window_ms"]["typical"], plain["window_ms"]["typical"] + 2 * 128 * 0.4)


class Efuses(Encrypted):
    """What espefuse prints says which chip it is, how it encrypts, and what it demands."""

    def test_each_chip_is_known_by_its_fields(self):
        for name in ("esp32", "esp32s2", "esp32s3", "esp32c2", "esp32c3", "esp32c5", "esp32c6", "esp32c61", "esp32h2", "esp32p4"):
            with self.subTest(chip=name):
                text = encrypted_dumps.summary(name, (), self.dir)
                dump = self.write("dump.bin", (DUMMY_IMAGES / f"{name}.bin").read_bytes().ljust(4 << 20, b"\xff"))
                other = "esp32" if name != "esp32" else "esp32c3"
                for version, summary in ((5, text), (4, encrypted_dumps.as_of_version_4(text))):
                    path = self.write(f"{version}.json", summary.encode())
                    self.assertEqual(self.run_json(0, "boot", dump, "--efuses", path)["chip"], name)
                    self.assert_fails(3, ["eFuses of an ESP32", "and --chip says ESP32"], "boot", dump, "--efuses", path, "-c", other)
                    self.assert_fails(3, ["eFuses of an ESP32", "has the bootloader of an ESP32"], "boot", "--efuses", path,
                                      self.write("other.bin", (DUMMY_IMAGES / f"{other}.bin").read_bytes().ljust(4 << 20, b"\xff")))

    def test_they_say_how_the_chip_encrypts(self):
        for chip, folder in self.each():
            path = self.summary(chip.name, chip.burn, folder / "key")
            shown = self.run_json(0, "inspect", folder / "cells.bin", "--efuses", path)
            self.assertEqual(shown["kind"], "encrypted_flash")
            self.assertEqual(shown["chip"], chip.name)
            self.assertEqual(shown["encryption"]["scheme"], f"{chip.scheme}, key of {len(chip.key)} bytes")
            self.assertEqual(shown["encryption"]["mode"], "development")
            text = path.read_text("utf-8")
            for summary in (text, encrypted_dumps.as_of_version_4(text)):
                path.write_text(summary, "utf-8")
                opened = self.run_json(0, "inspect", folder / "cells.bin", "--efuses", path, "--flash-key", folder / "key")
                self.assertEqual(opened["encryption"], {"opened": True, "scheme": chip.scheme, "mode": "development"})
                self.assertEqual(opened["boot"]["outcome"], "boots")

    def test_release_mode_is_told(self):
        chip = encrypted_dumps.CHIPS[2]
        folder = self.folder(chip)
        closed = ("burn-efuse", "DIS_DOWNLOAD_MANUAL_ENCRYPT", "1", "DIS_DOWNLOAD_ICACHE", "1")
        full = ("burn-efuse", "SPI_BOOT_CRYPT_CNT", "7")
        protected = ("write-protect-efuse", "SPI_BOOT_CRYPT_CNT")
        for more, mode in ((closed, "development"), (full, "development"), (protected, "development"),
                           ((*closed, *full), "release"), ((*closed, *protected), "release")):
            burn = ((*chip.burn[0], *more),)
            path = self.summary(chip.name, burn, folder / "key")
            self.assertEqual(self.run_json(0, "inspect", folder / "cells.bin", "--efuses", path)["encryption"]["mode"], mode)
            self.assertIn(f"\n  mode         {mode}\n", cases.run("inspect", folder / "cells.bin", "--efuses", path).stdout)

    def test_they_count_like_the_options_that_say_the_same(self):
        chip = encrypted_dumps.CHIPS[2]
        folder = self.folder(chip)
        path = self.summary(chip.name, (("burn-efuse", "SECURE_VERSION", "7"),))
        refused = self.run_json(1, "boot", folder / "plain.bin", "--efuses", path)
        self.assertEqual(refused, self.run_json(1, "boot", folder / "plain.bin", "--efuse", "secure-version=3"))
        for option in (("--efuse", "secure-version=3"), ("--revision", "0.4"), ("--recovery-bootloader", "0x3f0000")):
            self.assert_fails(2, ["--efuses tells what is burnt: leave out"], "boot", folder / "plain.bin", "--efuses", path, *option)

    def test_what_is_no_summary(self):
        plain = self.folder(encrypted_dumps.CHIPS[0]) / "plain.bin"
        whole = json.loads(encrypted_dumps.summary("esp32", (), self.dir).split("command ===\n")[1])
        few = {name: whole[name] for name in ("SECURE_VERSION", "FLASH_CRYPT_CNT")}
        odd = {**whole, "FLASH_CRYPT_CNT": {**whole["FLASH_CRYPT_CNT"], "raw_value": "?", "value": "perhaps"}}
        for content, words in (("{}", ["no eFuses of a chip that is known"]), ("[1]", ["no eFuses of a chip that is known"]),
                               ("nothing", ["not valid JSON"]), (json.dumps(few), ["an ESP32, whose field", "is missing"]),
                               (json.dumps(odd), ["field FLASH_CRYPT_CNT is missing or has an unknown value"])):
            path = self.write("efuses.json", content.encode())
            self.assert_fails(3, [str(path), *words], "boot", plain, "--efuses", path)


class Refused(Encrypted):
    """Before anything is rehearsed."""

    def commands(self, folder, dump, *options):
        bundle = folder / "new.srb"
        dump = folder / dump
        yield "boot", dump, *options
        yield "simulate", "-f", dump, "--bundle", bundle, "--allow-unsigned", *options
        yield "explore", "-f", dump, "--bundle", bundle, "--allow-unsigned", *options
        yield "diff", bundle, dump, *options
        yield "extract", bundle, "--base", dump, "-o", self.dir / "out.bin", *options

    def assert_all_fail(self, status, words, folder, dump, *options):
        for command in self.commands(folder, dump, *options):
            with self.subTest(command=command[0]):
                self.assert_fails(status, words, *command)
                self.assertFalse((self.dir / "out.bin").exists())

    def test_without_the_key(self):
        for chip, folder in self.each():
            offset = hex(chip.bootloader)
            self.assert_all_fail(3, ["cells.bin: looks encrypted: noise at " + offset, "--flash-key FILE opens it"], folder, "cells.bin")
            path = self.summary(chip.name, chip.burn, folder / "key")
            self.assert_all_fail(3, [f"cells.bin: encrypted, as {path} says", "--flash-key"], folder, "cells.bin", "--efuses", path)

    def test_inspect_tells_what_can_be_known_without_it(self):
        for chip, folder in self.each():
            shown = self.run_json(0, "inspect", folder / "cells.bin")
            self.assertEqual((shown["kind"], shown["chip"], shown["encryption"]["opened"]), ("encrypted_flash", "", False))
            self.assertIn("noise at " + hex(chip.bootloader), shown["encryption"]["text"])
            self.assertEqual(sum(stretch["size"] for stretch in shown["stretches"]), encrypted_dumps.FLASH_SIZE)
            kinds = {stretch["offset"]: stretch["content"] for stretch in shown["stretches"]}
            self.assertEqual((kinds[chip.bootloader], kinds[0x10000], kinds[0x13000]), ("noise", "noise", "erased"))

    def test_nvs_is_not_encrypted_and_told(self):
        chip = encrypted_dumps.CHIPS[0]
        folder = self.folder(chip)
        cells = bytearray((folder / "cells.bin").read_bytes())
        header = struct.pack("<IB19s", 0, 0xFE, b"\xff" * 19)
        page = b"\xfe\xff\xff\xff" + header + struct.pack("<I", zlib.crc32(header, 0xFFFFFFFF))
        cells[0x9000:0xA000] = page.ljust(0x1000, b"\xff")
        shown = self.run_json(0, "inspect", self.write("nvs.bin", bytes(cells)))
        self.assertIn({"offset": 0x9000, "size": 0x1000, "content": "nvs"}, shown["stretches"])

    def test_with_another_key(self):
        for chip, folder in self.each():
            other = self.write("other.key", bytes(len(chip.key)))
            self.assert_all_fail(3, ["other.key: does not open", "no chip's bootloader is where it belongs"], folder, "cells.bin",
                                 "--flash-key", other)
            path = self.summary(chip.name, chip.burn, folder / "key")
            self.assert_all_fail(3, ["other.key: does not open", "when it is decrypted with this key"], folder, "cells.bin",
                                 "--flash-key", other, "--efuses", path)

    def test_with_a_key_of_another_length(self):
        chip = encrypted_dumps.CHIPS[2]
        folder = self.folder(chip)
        self.assert_all_fail(3, ["31 bytes: no key of Flash Encryption"], folder, "cells.bin", "--flash-key",
                             self.write("short.key", bytes(31)))
        path = self.summary(chip.name, chip.burn, folder / "key")
        self.assert_all_fail(3, ["64 bytes, where the eFuses of", "have a key of XTS-AES-128 with 32"], folder, "cells.bin",
                             "--flash-key", self.write("long.key", bytes(64)), "--efuses", path)

    def test_efuses_and_dump_of_two_devices(self):
        chip = encrypted_dumps.CHIPS[2]
        folder = self.folder(chip)
        on = self.summary(chip.name, chip.burn, folder / "key").rename(self.dir / "on.json")
        off = self.summary(chip.name, ()).rename(self.dir / "off.json")
        self.assert_all_fail(3, ["says that the chip encrypts its flash, and the bootloader in"], folder, "plain.bin", "--efuses", on)
        self.assert_all_fail(3, ["says that the chip does not encrypt its flash", "has noise"], folder, "cells.bin", "--efuses", off)
        self.assert_all_fail(2, ["does not encrypt its flash: leave out --flash-key"], folder, "plain.bin", "--efuses", off,
                             "--flash-key", folder / "key")

    def test_options_for_what_is_no_whole_flash(self):
        chip = encrypted_dumps.CHIPS[2]
        folder = self.folder(chip)
        self.assert_fails(3, ["app.bin: not a whole flash"], "inspect", folder / "app.bin", "--flash-key", folder / "key")
        self.assert_fails(2, ["--efuses, --flash-key and --secure-boot-key go with --base"], "extract", folder / "new.srb", "-o", self.dir / "out.bin",
                          "--flash-key", folder / "key")


if __name__ == "__main__":
    DUMMY_IMAGES = pathlib.Path(sys.argv[2])
    runner.main(sys.argv[3:])
