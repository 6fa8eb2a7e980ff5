#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Secure Boot V1 of the ESP32: digests by espsecure, signatures by espsecure, eFuses by espefuse's virtual chips; what boot, pack
and explore make of them, with the key and without.

usage: test_secure_boot_v1.py PROGRAM DUMMY_IMAGES
DUMMY_IMAGES is the folder in which test_image_writer left one flash for each chip.
"""
import json
import pathlib
import struct
import sys
import tempfile
import unittest

import cases
import encrypted_dumps
import espressif
import flash_dumps
import runner

DUMMY_IMAGES = pathlib.Path()
ESP32 = encrypted_dumps.CHIPS[0]
LOADER = ESP32.bootloader
KEYS = {32: bytes(range(7, 39)), 24: bytes(range(90, 114))}
IV = bytes((i * 37 + 5) % 256 for i in range(128))
NOT_KNOWN = "without its key nobody can tell whether the ROM takes the bootloader"
WRONG = "Secure Boot V1: the digest at 0x0 is not that of the bootloader at 0x1000"


def espsecure(*arguments):
    espressif.run("espsecure", *arguments)


def longer(loader, count):
    """The same bootloader with more data: its last segment grows by this many bytes."""
    at = 24
    for _ in range(loader[1]):
        start = at
        length, = struct.unpack_from("<I", loader, start + 4)
        at += 8 + length
    grown = bytearray(loader[:at] + bytes(count))
    struct.pack_into("<I", grown, start + 4, length + count)
    return flash_dumps.reseal(grown + bytes(16 - len(grown) % 16))


def without_hash(loader):
    image = bytearray(loader[:-32])
    image[23] = 0
    return bytes(image)


class Device(cases.ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        espressif.need()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.dir = pathlib.Path(folder.name)
        cls.old, cls.new = encrypted_dumps.bootloaders(ESP32, DUMMY_IMAGES)
        for size, key in KEYS.items():
            (cls.dir / f"key{size}").write_bytes(key)
        coding = ("burn-efuse", "CODING_SCHEME", "1")
        for name, burn in (("efuses", (("burn-key", "secure_boot_v1", cls.dir / "key32", "burn-efuse", "ABS_DONE_0", "1"),)),
                           ("efuses24", (coding, ("burn-key", "secure_boot_v1", cls.dir / "key24", "burn-efuse", "ABS_DONE_0", "1"))),
                           ("off", ()),
                           ("open", (("burn-key", "secure_boot_v1", cls.dir / "key32", "--no-protect-key", "burn-efuse",
                                      "ABS_DONE_0", "1"),))):
            (cls.dir / f"{name}.json").write_text(encrypted_dumps.summary("esp32", burn, cls.dir), "utf-8")
        cls.efuses = ("--efuses", cls.dir / "efuses.json")
        cls.key = ("--secure-boot-key", cls.dir / "key32")

    def digest(self, loader, key="key32", name="digest.bin", iv=IV):
        """What espsecure makes: the digest, and at 0x1000 the bootloader."""
        self.write("bare.bin", loader)
        self.write("iv", iv)
        espsecure("digest-secure-bootloader", "--keyfile", self.dir / key, "--iv", self.dir / "iv", "--output", self.dir / name,
                  self.dir / "bare.bin")
        return (self.dir / name).read_bytes()

    def flash(self, *parts, name="dump.bin"):
        plain = bytearray(encrypted_dumps.plain(ESP32, DUMMY_IMAGES))
        plain[:0x8000] = b"\xff" * 0x8000
        for at, data in parts:
            plain[at:at + len(data)] = data
        return self.write(name, plain)

    def boot(self, dump, *arguments):
        found = json.loads(cases.run("boot", "--json", dump, *arguments).stdout)
        return found["outcome"], found["reason"]


class Boot(Device):
    def test_digests_as_espsecure_makes_them(self):
        for more in range(0, 144, 16):
            for hashed in (True, False):
                for size in KEYS if more % 64 == 0 else (32,):  # a shorter key is another key, and nothing else
                    with self.subTest(more=more, hashed=hashed, size=size):
                        loader = longer(self.old, more)
                        loader = loader if hashed else without_hash(loader)
                        dump = self.flash((LOADER, loader), (0, self.digest(loader, f"key{size}")[:192]))
                        efuses = self.dir / ("efuses.json" if size == 32 else "efuses24.json")
                        outcome, reason = self.boot(dump, "--efuses", efuses, "--secure-boot-key", self.dir / f"key{size}")
                        self.assertEqual(outcome, "boots", reason)

    def test_what_is_not_right(self):
        good = self.digest(self.old)[:192]
        for name, parts in (("iv", ((LOADER, self.old), (0, bytes([good[0] ^ 1]) + good[1:]))),
                            ("digest", ((LOADER, self.old), (0, good[:-1] + bytes([good[-1] ^ 0x80])))),
                            ("missing", ((LOADER, self.old),)),
                            ("bootloader", ((LOADER, self.new), (0, good)))):
            with self.subTest(name):
                self.assertEqual(self.boot(self.flash(*parts), *self.efuses, *self.key), ("rom_rejects", WRONG))
        other = self.write("other", bytes(32))
        dump = self.flash((LOADER, self.old), (0, good))
        self.assertEqual(self.boot(dump, *self.efuses, "--secure-boot-key", other), ("rom_rejects", WRONG))

    def test_without_the_key(self):
        dump = self.flash((LOADER, self.old), (0, self.digest(self.old)[:192]))
        outcome, reason = self.boot(dump, *self.efuses)
        self.assertEqual(outcome, "not_known")
        self.assertIn(NOT_KNOWN, reason)
        self.assertEqual(self.boot(dump, "--efuses", self.dir / "open.json")[0], "boots")  # the eFuses show it
        none = self.flash((LOADER, self.old))
        self.assertEqual(self.boot(none, *self.efuses), ("rom_rejects", WRONG))  # erased: no digest is that
        self.assertEqual(self.boot(none, "--efuses", self.dir / "off.json")[0], "boots")

    def test_keys_that_are_none(self):
        dump = self.flash((LOADER, self.old), (0, self.digest(self.old)[:192]))
        self.assert_fails(2, "goes with --efuses", "boot", dump, *self.key)
        self.assert_fails(2, "Secure Boot V1 is off", "boot", dump, "--efuses", self.dir / "off.json", *self.key)
        self.assert_fails(3, "24 bytes, where a key of Secure Boot V1 has 32", "boot", dump, *self.efuses, "--secure-boot-key",
                          self.dir / "key24")
        self.assert_fails(3, "not the key that is burnt", "boot", dump, "--efuses", self.dir / "open.json", "--secure-boot-key",
                          self.write("other", bytes(32)))

    def test_app_by_the_key_in_the_bootloader(self):
        pem, other = self.dir / "sign.pem", self.dir / "other.pem"
        for path in (pem, other):
            path.unlink(missing_ok=True)
            espsecure("generate-signing-key", "--version", 1, path)
        espsecure("extract-public-key", "--version", 1, "--keyfile", pem, self.dir / "public.bin")
        public = (self.dir / "public.bin").read_bytes()
        self.assertEqual(len(public), 64)
        loader = bytearray(longer(self.old, 128))
        at = len(loader) - 32 - 16 - 128 + 3  # at any offset
        loader[at:at + 64] = public
        loader = flash_dumps.reseal(loader)
        digest = self.digest(loader)[:192]
        self.write("app.bin", encrypted_dumps.app(ESP32, "1.0"))
        for keyfile, outcome, words in ((pem, "boots", "verified"), (None, "bootloader_rejects", "no signature of Secure Boot V1"),
                                        (other, "bootloader_rejects", "not by the key in the bootloader")):
            with self.subTest(words):
                app = self.dir / "app.bin"
                if keyfile is not None:
                    app = self.dir / "signed.bin"
                    espsecure("sign-data", "--version", 1, "--keyfile", keyfile, "--output", app, self.dir / "app.bin")
                dump = self.flash((LOADER, loader), (0, digest), (encrypted_dumps.SLOTS[0], app.read_bytes()))
                found, reason = self.boot(dump, *self.efuses, *self.key)
                self.assertEqual(found, outcome, reason)
                self.assertIn(words, reason)


class Migrate(Device):
    """A device whose key somebody has: its bootloader can be replaced, with the digest."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls()
        case.flash((LOADER, cls.old), (0, case.digest(cls.old)[:192]), name="device.bin")
        case.write("otadata.bin", flash_dumps.otadata(2))
        case.write("loader.bin", cls.new)
        case.digest(cls.new, name="both.bin")
        case.write("wrong.bin", bytes([IV[0] ^ 1]) + (cls.dir / "both.bin").read_bytes()[1:])
        case.write("unsigned.bin", encrypted_dumps.app(ESP32, "2.0"))
        espsecure("generate-signing-key", "--version", 1, cls.dir / "app.pem")
        espsecure("sign-data", "--version", 1, "--keyfile", cls.dir / "app.pem", "--output", cls.dir / "app.bin",
                  cls.dir / "unsigned.bin")

    def pack(self, *arguments, status=0):
        out = self.dir / "out.srb"
        out.unlink(missing_ok=True)
        done = cases.run("pack", "-o", out, "--chip", "esp32", "0xd000", self.dir / "otadata.bin", "0x30000", self.dir / "app.bin",
                         *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return out, done.stderr

    def explore(self, bundle, *arguments):
        return cases.run("explore", "--flash", self.dir / "device.bin", "--bundle", bundle, "--allow-unsigned", "--json",
                         *self.efuses, *arguments)

    def test_every_power_loss_with_the_key(self):
        bundle, _ = self.pack("0x0", self.dir / "both.bin")
        done = self.explore(bundle, *self.key)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual(found["failures"], [])

    def test_a_digest_that_is_wrong(self):
        bundle, _ = self.pack("0x0", self.dir / "wrong.bin")
        done = self.explore(bundle, *self.key)
        self.assertEqual(done.returncode, 1)
        self.assertIn(WRONG, done.stdout + done.stderr)
        _, said = self.pack("0x0", self.dir / "wrong.bin", "0x8000", self.write("table.bin", flash_dumps.table(encrypted_dumps.ROWS)[:0xC00]),
                            *self.efuses, *self.key, status=1)
        self.assertIn(WRONG, said)

    def test_what_component_and_rom_say(self):
        """Where the ROM would not start it, the component refuses it; but whether a digest is right it cannot know."""
        old, both = (self.dir / "device.bin").read_bytes()[:0x1000], (self.dir / "both.bin").read_bytes()
        again = self.digest(self.old, iv=IV[::-1])[:192]
        without, erased, alone = ("the bootloader would change without its digest at 0x0",
                                  "the bootloader's digest at 0x0 would be erased",
                                  "the digest at 0x0 would change, and the bootloader it is right for would not")
        for what, front, refusal, rom in (
                ("both as they are", old + self.old, None, "boots"),
                ("both new", both, None, "boots"),
                ("the bootloader alone", old + self.new, without, WRONG),
                ("a new bootloader, and an erased digest", b"\xff" * 0x1000 + self.new, erased, WRONG),
                ("an erased digest", b"\xff" * 0x1000 + self.old, erased, WRONG),
                ("the digest alone, by another IV", again.ljust(0x1000, b"\xff") + self.old, alone, "boots"),
                ("the digest alone, of the other bootloader", both[:0x1000] + self.old, alone, WRONG),
                ("a digest that is wrong", (self.dir / "wrong.bin").read_bytes(), None, WRONG)):
            with self.subTest(what):
                bundle, _ = self.pack("0x0", self.write("front.bin", front), "--skip-check", "place")
                done = cases.run("simulate", "--flash", self.dir / "device.bin", "--bundle", bundle, "--allow-unsigned",
                                 *self.efuses, *self.key)
                said = " ".join(done.stdout.split())
                if refusal is None:
                    self.assertNotIn("refused", said)
                else:
                    self.assertIn(f"refused: Secure Boot V1 is on: {refusal}", said)
                    self.assertIn("programs 0 pages", said)
                flash = self.write("after.bin", front + (self.dir / "device.bin").read_bytes()[len(front):])
                outcome, reason = self.boot(flash, *self.efuses, *self.key)
                self.assertEqual(rom, outcome if rom == "boots" else reason, reason)

    def test_pack_tells_what_only_a_chip_knows(self):
        for arguments, words in ((("0x1000", self.dir / "loader.bin"), "bring its digest for 0x0, too"),
                                 (("0x0", self.dir / "both.bin"), "only its key tells: --secure-boot-key")):
            _, said = self.pack(*arguments, *self.efuses)
            self.assertIn(words, said)
        _, said = self.pack("0x0", self.dir / "both.bin", *self.efuses, *self.key)
        self.assertNotIn("Secure Boot", said)
        _, said = self.pack("0x0", self.write("gap.bin", b"\xff" * 0x1000 + self.new), *self.efuses, status=1)
        self.assertIn("would be erased", said)

    def test_without_the_key_the_bootloader_stays(self):
        bundle, _ = self.pack()
        done = self.explore(bundle)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        bundle, _ = self.pack("0x0", self.dir / "both.bin")
        done = self.explore(bundle)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(NOT_KNOWN, done.stdout + done.stderr)


if __name__ == "__main__":
    DUMMY_IMAGES = pathlib.Path(sys.argv[2])
    runner.main(sys.argv[3:])
