# SPDX-License-Identifier: Apache-2.0
"""A bootloader that was built with Flash Encryption, brought to a chip that does not encrypt yet: what its first start leaves,
what a power loss in it does, and what is refused beforehand. What is in the cells is compared with espsecure.

usage: test_first_encryption.py PROGRAM DUMMY_IMAGES
DUMMY_IMAGES is the folder in which test_image_writer left one flash for each chip.
"""
import hashlib
import pathlib
import struct
import sys

import cases
import encrypted_dumps
import flash_dumps
import runner

DUMMY_IMAGES = pathlib.Path()
SECTOR = 0x1000
BLANK = b"\xff" * SECTOR
ENCRYPTS = b"esp_flash_encrypt_region bad src_addr 0x%x"
ONLY_ENCRYPTED = b"flash encryption is not enabled, and SECURE_FLASH_REQUIRE_ALREADY_ENABLED is set, refusing to boot."
C3 = encrypted_dumps.CHIPS[2]
S3 = encrypted_dumps.CHIPS[4]
C5 = encrypted_dumps.Chip("esp32c5", 23, 0x42000020, 0x40810000, 0x2000, 32, "XTS-AES-128")


def table(more=()):
    """That of encrypted_dumps, with further partitions: label, type, subtype, address, size, flags."""
    rows = (*((*row, 0) for row in encrypted_dumps.ROWS), *more)
    entries = b"".join(struct.pack("<HBBII16sI", 0x50AA, kind, subtype, address, size, label, flags)
                       for label, kind, subtype, address, size, flags in rows)
    return (entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()).ljust(SECTOR, b"\xff")


class FirstEncryption(cases.InOneFolder):
    """A device that runs version 1.0, and a bundle with a bootloader."""

    def device(self, chip, *parts):
        return self.write("plain.bin", flash_dumps.flash((0, encrypted_dumps.plain(chip, DUMMY_IMAGES)), *parts, size=encrypted_dumps.FLASH_SIZE))

    def loader(self, chip, says=b"", version=None):
        image = bytearray(encrypted_dumps.bootloaders(chip, DUMMY_IMAGES)[1])
        image[-200:-200 + len(says)] = says
        if version is not None:
            at = image.index(b"v5.5.1\0")
            image[at:at + len(version)] = version
        return self.write("loader.bin", flash_dumps.reseal(image))

    def bundle(self, chip, loader, *more):
        out = self.dir / "new.srb"
        result = cases.run("pack", "-o", out, "--chip", chip.name, hex(chip.bootloader), loader, *more)
        self.assertEqual(result.returncode, 0, result.stderr)
        return "--bundle", out, "--allow-unsigned"

    def with_app(self, chip, loader, state=b"\xff" * 4):
        """A bundle that brings the second slot's app, too, and selects it."""
        entry = bytearray(flash_dumps.otadata(2))
        entry[24:28] = state
        return self.bundle(chip, loader, "0xd000", self.write("otadata.bin", bytes(entry)), "0x30000",
                           self.write("app.bin", encrypted_dumps.app(chip, "2.0")))

    def key(self, chip):
        return "--first-encryption", self.write("key", chip.key)

    def efuses(self, chip, *burn):
        """--efuses with what a virtual chip has burnt."""
        return "--efuses", self.write("efuses.json", encrypted_dumps.summary(chip.name, burn, self.dir).encode())


class Rehearsed(FirstEncryption):
    def test_the_flash_is_as_espsecure_makes_it(self):
        for chip in encrypted_dumps.CHIPS:
            with self.subTest(chip=chip.name, key=len(chip.key)):
                broken = bytearray(encrypted_dumps.app(chip, "0.9"))
                broken[0x200] ^= 1
                dump = self.device(chip, (0x30000, broken))
                bundle = self.bundle(chip, self.loader(chip))
                plain, cells = self.dir / "after.bin", self.dir / "cells.bin"
                self.run_json(0, "simulate", "-f", dump, *bundle, "--out", plain)
                answer = self.run_json(0, "simulate", "-f", dump, *bundle, "--out", cells, *self.key(chip))
                first = answer["first_encryption"]
                self.assertTrue(first["app_starts"])
                self.assertIsNone(first["fault"])
                self.assertEqual([(part["name"], part["offset"], part["size"], part["encrypted"]) for part in first["parts"]],
                                 [("bootloader", chip.bootloader, 6 * SECTOR, True), ("table", 0x8000, SECTOR, True),
                                  ("otadata", 0xD000, 2 * SECTOR, True), ("ota_0", 0x10000, 3 * SECTOR, True),
                                  ("ota_1", 0x30000, 0x20000, False)])
                row = 64 if chip.name == "esp32s3" else 32
                self.assertEqual(first["operations"], 12 * (1 + SECTOR // row))
                self.assert_cells(chip, plain.read_bytes(), cells.read_bytes(), first["parts"])
                self.assertEqual(self.run_json(0, "boot", cells, "--flash-key", self.dir / "key")["app"]["name"], "tiny 1.0")
                again = self.run_json(0, "simulate", "-f", cells, *bundle, "--flash-key", self.dir / "key")
                self.assertEqual((again["plan"]["sectors_to_write"], again["erases"]), (0, 0))

    def assert_cells(self, chip, plain, cells, parts):
        """Of what is blank, espsecure is not asked: the chip reads it as blank, and so it is not erased."""
        encrypted_dumps.encrypt(chip, self.write("asked.bin", plain), self.dir / "key", self.dir / "told.bin")
        told = (self.dir / "told.bin").read_bytes()
        inside = {at for part in parts if part["encrypted"] for at in range(part["offset"], part["offset"] + part["size"], SECTOR)}
        for at in range(0, len(plain), SECTOR):
            now = cells[at:at + SECTOR]
            if at not in inside:
                self.assertEqual(now, plain[at:at + SECTOR], hex(at))
            elif plain[at:at + SECTOR] == BLANK:
                self.assertNotIn(b"\xff" * 16, now)
            else:
                self.assertEqual(now, told[at:at + SECTOR], hex(at))

    def test_whole_partitions_before_v5_3(self):
        dump = self.device(C3, (0x30000, encrypted_dumps.app(C3, "0.9")))
        for version, size in ((b"v5.2.3", 0x20000), (b"v5.3.1", 3 * SECTOR), (b"v6.0.2", 3 * SECTOR)):
            bundle = self.bundle(C3, self.loader(C3, version=version))
            first = self.run_json(0, "simulate", "-f", dump, *bundle, *self.key(C3))["first_encryption"]
            self.assertEqual([(part["size"], part["encrypted"]) for part in first["parts"][3:]], [(size, True), (size, True)])
            self.assertEqual(first["images_only"], size == 3 * SECTOR)

    def test_it_is_told_in_words(self):
        bundle = self.bundle(C3, self.loader(C3))
        text = cases.run("explore", "-f", self.device(C3), *bundle, *self.key(C3), "--sample", 20, "--torn", 1).stdout
        for words in ("First encryption\n", "not by the migration", "encrypts     bootloader at 0x000000, 24 KiB\n",
                      "passes over  ota_1 at 0x030000, 128 KiB: no intact image\n", "window       1.161 s, at most 9.414 s\n",
                      "1: the bootloader starts over\n", "then the app starts\n"):
            self.assertIn(words, text)

    def test_a_power_loss_in_it_is_not_survived(self):
        bundle = self.bundle(C3, self.loader(C3))
        found = self.run_json(0, "explore", "-f", self.device(C3), *bundle, *self.key(C3), "--full")
        first = found["first_encryption"]
        self.assertEqual(found["failures"], [])
        # Before the first operation, inside each in four ways, and after each.
        self.assertEqual(first["states"], {"starts_over": 1, "recovers": 0, "does_not_boot": 5 * first["operations"]})
        self.assertEqual(first["window_ms"]["typical"], 1160.64)

    def test_a_recovery_bootloader_starts_the_app_until_the_table_is_encrypted(self):
        dump = self.device(C5, (0xF0000, encrypted_dumps.bootloaders(C5, DUMMY_IMAGES)[0]))
        bundle = self.bundle(C5, self.loader(C5))
        found = self.run_json(0, "explore", "-f", dump, "--recovery-bootloader", "0xf0000", *bundle, *self.key(C5), "--sample", 20)
        states = found["first_encryption"]["states"]
        rows = 6 * (1 + SECTOR // 64)
        self.assertEqual(states["starts_over"], 1)
        self.assertIn(states["recovers"], range(5 * rows, 5 * rows + 5))
        self.assertGreater(states["does_not_boot"], 0)

    def test_a_record_that_is_left_harms_nobody(self):
        """The power goes after the commit, and what starts next encrypts the flash: with the rest of the slot, or without."""
        dump, bundle = self.device(C3), self.bundle(C3, self.loader(C3))
        key = self.write("key", C3.key)
        operations = self.run_json(0, "explore", "-f", dump, *bundle, "--sample", 1)["operations"]
        left = self.dir / "left.bin"
        self.run_json(0, "simulate", "-f", dump, *bundle, "--cut", operations - 4, "--out", left)
        plain = left.read_bytes()
        whole = encrypted_dumps.encrypt(C3, left, key, self.dir / "whole.bin")
        image = bytearray(whole.read_bytes())
        image[0x13000:0x30000] = plain[0x13000:0x30000]
        self.assertNotEqual(plain[0x13000:0x17000], BLANK * 4)
        for cells, erases in ((whole, 4), (self.write("image.bin", bytes(image)), 0)):
            answer = self.run_json(0, "simulate", "-f", cells, *bundle, "--flash-key", key)
            self.assertEqual((answer["plan"]["sectors_to_write"], answer["erases"], answer["programs"]), (0, erases, 0))
            self.assertEqual(answer["boot"]["app"]["name"], "tiny 1.0")

    def test_an_app_on_probation_is_aborted(self):
        """The start after the encryption is its second one."""
        bundle = self.with_app(C3, self.loader(C3), state=b"\0" * 4)
        for option, status in (((), 0), (("--rollback",), 1)):
            answer = self.run_json(status, "simulate", "-f", self.device(C3), *bundle, *self.key(C3), *option)
            self.assertEqual(answer["boot"]["app"]["name"], "tiny 2.0")
            self.assertEqual(answer["first_encryption"]["app_starts"], status == 0)

    def test_a_rest_of_the_migration_is_a_failure(self):
        """Nothing tells that such a bootloader encrypts, so that the component does not refuse."""
        bundle = self.with_app(C3, self.loader(C3))
        found = self.run_json(1, "explore", "-f", self.device(C3), *bundle, *self.key(C3), "--sample", 5)
        self.assertGreater(len(found["failures"]), 0)
        for failure in found["failures"]:
            self.assertIn("the new bootloader starts and encrypts the flash, and the sector at 0xd000 is not right", failure["reason"])
        self.assertEqual(self.run_json(0, "explore", "-f", self.device(C3), *bundle, "--sample", 5)["failures"], [])


class Refused(FirstEncryption):
    def assert_fault(self, words, dump, bundle, chip, *options):
        before = dump.read_bytes()
        for command in ("simulate", "explore"):
            answer = self.run_json(1, command, "-f", dump, *bundle, *self.key(chip), *options)
            self.assertIn(words, answer["first_encryption"]["fault"])
            self.assertEqual(answer["first_encryption"]["operations"], 0)
            text = cases.run(command, "-f", dump, *bundle, *self.key(chip), *options).stdout
            self.assertIn("First encryption\nwould fail\n", text)
        self.assertEqual(dump.read_bytes(), before)

    def test_partitions_that_are_no_whole_sectors(self):
        for address, size, words in ((0x50800, 0x1000, "starts at 0x50800, which is no multiple of 0x1000"),
                                     (0x50000, 0x800, "is encrypted in whole sectors, and with it the start of 'next' at 0x50800")):
            more = ((b"secret", 1, 0x40, address, size, 1), (b"next", 1, 0x41, address + size, 0x1000, 0))
            dump = self.device(C3, (0x8000, table(more)[:0xC00]))
            # Without the check, it is the model that tells.
            self.assert_fault(words, dump, self.bundle(C3, self.loader(C3)), C3, "--skip-check", "table")

    def test_past_16_mib(self):
        """A partition that is flagged, on a chip that boots from such a flash."""
        def larger(image):
            return flash_dumps.reseal(image[:3] + bytes((0x50 | image[3] & 0xF,)) + image[4:])
        old, new = map(larger, encrypted_dumps.bootloaders(S3, DUMMY_IMAGES))
        rows = table(((b"secret", 1, 0x40, 0x1000000, SECTOR, 1),))[:0xC00]
        dump = self.write("plain.bin", flash_dumps.flash((0, encrypted_dumps.plain(S3, DUMMY_IMAGES)), (0, old), (0x8000, rows),
                                                         size=32 << 20))
        answer = self.run_json(1, "simulate", "-f", dump, *self.bundle(S3, self.write("loader.bin", new)), *self.key(S3))
        self.assertIn("'secret' at 0x1000000 ends past 16 MB", answer["first_encryption"]["fault"])

    def test_the_component_tells_before_anything_is_erased(self):
        dump = self.device(C3, (0x8000, table(((b"secret", 1, 0x40, 0x50000, 0x1800, 1),))[:0xC00]))
        bundle = self.bundle(C3, self.loader(C3, ENCRYPTS))
        answer = self.run_json(1, "simulate", "-f", dump, *bundle)
        self.assertEqual((answer["plan"]["refusal"], answer["erases"], answer["programs"]), ("table", 0, 0))
        self.assertIn("has 0x1800 bytes, no multiple of 0x1000: the bootloader encrypts it", answer["plan"]["refusal_text"])
        self.run_json(0, "simulate", "-f", dump, *self.bundle(C3, self.loader(C3)))  # one that says nothing

    def test_the_bootloader_comes_last(self):
        for more, words in ((self.with_app, "before 0xd000 is written: bring this bootloader later, in a bundle of its own"),
                            (self.with_table, "before 0x8000 is written: bring this bootloader later"),
                            (self.over_the_app, "the running app is in the way of the bundle")):
            bundle = more(C3, self.loader(C3, ENCRYPTS))
            answer = self.run_json(1, "simulate", "-f", self.device(C3), *bundle)
            self.assertEqual((answer["plan"]["refusal"], answer["erases"], answer["programs"]), ("security", 0, 0))
            self.assertIn(words, answer["plan"]["refusal_text"])
            self.run_json(0, "simulate", "-f", self.device(C3), *more(C3, self.loader(C3)))
        answer = self.run_json(0, "simulate", "-f", self.device(C3), *self.bundle(C3, self.loader(C3, ENCRYPTS)), *self.key(C3))
        self.assertTrue(answer["first_encryption"]["app_starts"])

    def with_table(self, chip, loader):
        return self.bundle(chip, loader, "0x8000", self.write("table.bin", table(((b"more", 1, 0x40, 0x50000, SECTOR, 0),))[:0xC00]))

    def over_the_app(self, chip, loader):
        return self.bundle(chip, loader, "0x10000", self.write("app.bin", encrypted_dumps.app(chip, "2.0")), "0xd000",
                           self.write("otadata.bin", flash_dumps.otadata(1)))

    def test_a_bootloader_for_encrypted_chips_only(self):
        words = "starts apps only on a chip that encrypts its flash already"
        bundle = self.bundle(C3, self.loader(C3, ONLY_ENCRYPTED))
        answer = self.run_json(1, "simulate", "-f", self.device(C3), *bundle)
        self.assertEqual((answer["plan"]["refusal"], answer["erases"], answer["programs"]), ("bootloader", 0, 0))
        self.assertIn(words, answer["plan"]["refusal_text"])
        dump = self.device(C3, (0, self.loader(C3, ONLY_ENCRYPTED).read_bytes()))
        self.assertIn("was built to start apps only on a chip that encrypts", self.run_json(1, "boot", dump)["reason"])
        pack = ("pack", "-o", self.dir / "other.srb", "--chip", C3.name, "0x0", self.dir / "loader.bin")
        self.assert_fails(1, [words], *pack, *self.efuses(C3))
        key = self.write("key", C3.key)
        cells = encrypted_dumps.encrypt(C3, self.device(C3), key, self.dir / "cells.bin")
        self.run_json(0, "simulate", "-f", cells, *bundle, "--flash-key", key)
        burn = [[key if word == "KEY" else word for word in words] for words in C3.burn]
        self.assertEqual(cases.run(*pack, *self.efuses(C3, *burn)).returncode, 0)

    def test_what_the_efuses_say(self):
        key = self.write("key", C3.key)
        dump, bundle = self.device(C3), self.bundle(C3, self.loader(C3))
        for burn, words in (
                (("write-protect-efuse", "SPI_BOOT_CRYPT_CNT"), "the eFuse that counts is write-protected"),
                (("burn-key", "BLOCK_KEY0", key, "XTS_AES_128_KEY", "--no-read-protect"), "that is burnt can be read")):
            answer = self.run_json(1, "simulate", "-f", dump, *bundle, *self.key(C3), *self.efuses(C3, burn))
            self.assertIn(words, answer["first_encryption"]["fault"])

    def test_options(self):
        key = self.key(C3)
        bundle = self.bundle(C3, self.loader(C3))
        dump = self.device(C3)
        self.assert_fails(3, ["short: 16 bytes: no key of an ESP32-C3"], "simulate", "-f", dump, *bundle, "--first-encryption",
                          self.write("short", bytes(16)))
        self.assert_fails(3, ["odd: 31 bytes: no key of Flash Encryption"], "explore", "-f", dump, *bundle, "--first-encryption",
                          self.write("odd", bytes(31)))
        cells = encrypted_dumps.encrypt(C3, dump, self.dir / "key", self.dir / "cells.bin")
        self.assert_fails(2, ["this chip encrypts its flash already"], "simulate", "-f", cells, *bundle, "--flash-key", key[1], *key)
        app = self.bundle(C3, self.write("old.bin", encrypted_dumps.bootloaders(C3, DUMMY_IMAGES)[0]))
        self.assert_fault("the bootloader that starts is today's", dump, app, C3)

    def test_who_is_warned(self):
        loader = self.loader(C3, ENCRYPTS)
        pack = ("pack", "-o", self.dir / "new.srb", "--chip", C3.name, "0x0", loader)
        self.assertIn("warning: the bootloader was built with Flash Encryption", cases.run(*pack).stderr)
        bundle = ("--bundle", self.dir / "new.srb", "--allow-unsigned")
        for command in ("simulate", "explore"):
            words = "--first-encryption rehearses that, too"
            self.assertIn(words, cases.run(command, "-f", self.device(C3), *bundle).stderr)
            self.assertNotIn(words, cases.run(command, "-f", self.device(C3), *bundle, *self.key(C3)).stderr)


if __name__ == "__main__":
    DUMMY_IMAGES = pathlib.Path(sys.argv[2])
    runner.main(sys.argv[3:])
