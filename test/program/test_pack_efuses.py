#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pack --efuses: what the chips of a summary would refuse is refused when it is packed, in the words of the component. eFuses are
those of espefuse's virtual chips, signatures are by espsecure.

usage: test_pack_efuses.py PROGRAM DUMMY_IMAGES
DUMMY_IMAGES is the folder in which test_image_writer left one flash for each chip.
"""
import json
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
SECTOR = 0x1000
C3 = encrypted_dumps.CHIPS[2]
ESP32 = encrypted_dumps.CHIPS[0]
SECURE_BOOT = ("burn-efuse", "SECURE_BOOT_EN", "1")
SIGNATURE, CRC = 812, 1196  # in a block


def espsecure(*arguments):
    espressif.run("espsecure", *arguments)


def changed(image, at, form, *values):
    """An image with other values in its header or its descriptor."""
    image = bytearray(image)
    struct.pack_into(form, image, at, *values)
    return flash_dumps.reseal(image)


def secure_version(image, number):
    return changed(image, 36, "<I", number)


def chip_revisions(image, least, most):
    return changed(image, 15, "<HH", least, most)


def block_revisions(image, least, most):
    return changed(image, 208, "<HH", least, most)


class Fleet(cases.ProgramTest):
    """Four keys of which an ESP32-C3 has three, images by each of them, and the summary of such a chip."""

    digests = {}  # as messages show them; made by the first class, like all that is in the folder

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        espressif.need()
        if not Fleet.digests:
            folder = tempfile.TemporaryDirectory()
            unittest.addModuleCleanup(folder.cleanup)
            Fleet.dir = pathlib.Path(folder.name)
            Fleet.make()

    @classmethod
    def make(cls):
        cls.app = encrypted_dumps.app(C3, "2.0")
        for name, data in (("table", flash_dumps.table(encrypted_dumps.ROWS)[:0xC00]), ("otadata", flash_dumps.otadata(2)),
                           ("loader", encrypted_dumps.bootloaders(C3, DUMMY_IMAGES)[1]), ("app", cls.app)):
            (cls.dir / f"{name}.bin").write_bytes(data)
        for number in (1, 2, 3, 4):
            key, digest = cls.dir / f"{number}.pem", cls.dir / f"{number}.digest"
            espsecure("generate-signing-key", "--version", 2, "--scheme", "rsa3072", key)
            espsecure("digest-sbv2-public-key", "--keyfile", key, "--output", digest)
            cls.digests[number] = digest.read_bytes().hex()[:16]
            cls.sign("loader", number)
            cls.sign("app", number)
        keys = [word for i in (1, 2, 3) for word in (f"BLOCK_KEY{i - 1}", cls.dir / f"{i}.digest", f"SECURE_BOOT_DIGEST{i - 1}")]
        cls.keys = ("burn-key", *keys)
        cls.signed = cls.summary("signed.json", C3.name, (*cls.keys, *SECURE_BOOT))

    @classmethod
    def sign(cls, name, number):
        """NAME.bin becomes NAME-NUMBER.bin."""
        espsecure("sign-data", "--version", 2, "--keyfile", cls.dir / f"{number}.pem", "--output", cls.dir / f"{name}-{number}.bin",
                  cls.dir / f"{name}.bin")

    @classmethod
    def summary(cls, name, chip, *burn):
        path = cls.dir / name
        path.write_text(encrypted_dumps.summary(chip, burn, cls.dir), "utf-8")
        return path

    def with_fields(self, path, **values):
        """The same summary, with other values in it."""
        text = path.read_text("utf-8")
        fields = json.loads(text[text.index("{\n"):])
        for name, value in values.items():
            fields[name].update(value=value, raw_value=value)
        return self.write("fields.json", json.dumps(fields, indent=4).encode())

    def run_pack(self, *arguments, chip="esp32c3"):
        """@return The bundle, if there is one, and what has been said."""
        out = self.dir / "out.srb"
        out.unlink(missing_ok=True)
        return out, cases.run("pack", "-o", out, "--chip", chip, *arguments)

    def images(self, loader, app, chip=C3):
        return (hex(chip.bootloader), self.dir / f"{loader}.bin", "0x8000", self.dir / "table.bin", "0xd000",
                self.dir / "otadata.bin", "0x30000", self.dir / f"{app}.bin")

    def assert_refused(self, words, *arguments, status=1, **how):
        out, done = self.run_pack(*arguments, **how)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(out.exists())

    def assert_packed(self, *arguments, warnings=0, **how):
        out, done = self.run_pack(*arguments, **how)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stderr.count("warning"), warnings, done.stderr)
        self.assertTrue(out.exists())
        return done.stderr


class SecureBoot(Fleet):
    def test_every_key_that_is_burnt(self):
        for loader, app in ((1, 1), (2, 2), (3, 3), (1, 2), (3, 1)):
            self.assert_packed("--efuses", self.signed, *self.images(f"loader-{loader}", f"app-{app}"))

    def test_without_efuses_only_a_chip_knows(self):
        self.assert_packed(*self.images("loader-4", "app-4"))
        self.assert_packed(*self.images("loader", "app"))

    def test_what_is_not_signed_or_with_another_key(self):
        on, start, refused = "Secure Boot V2 is on, and the ", f"at {C3.bootloader:#x} ", f"eFuses of {self.signed} refuses this: "
        other = f"is signed with a key that is not in the eFuses: {self.digests[4]}; burnt are " + \
            ", ".join(self.digests[number] for number in (1, 2, 3))
        for loader, app, words in (("loader", "app-1", f"{on}bootloader {start}carries no signature block"),
                                   ("loader-1", "app", f"{on}app at 0x30000 carries no signature block"),
                                   ("loader", "app", f"{on}bootloader {start}carries no signature block"),
                                   ("loader-4", "app-1", f"{on}bootloader {start}{other}"),
                                   ("loader-1", "app-4", f"{on}app at 0x30000 {other}")):
            with self.subTest(loader=loader, app=app):
                self.assert_refused([refused + words], "--efuses", self.signed, *self.images(loader, app))

    def test_a_key_that_is_revoked(self):
        revoked = self.summary("revoked.json", C3.name, (*self.keys, *SECURE_BOOT, "SECURE_BOOT_KEY_REVOKE0", "1"))
        words = f"is signed with a key that is revoked: {self.digests[1]}"
        self.assert_refused([f"the bootloader at 0x0 {words}"], "--efuses", revoked, *self.images("loader-1", "app-2"))
        self.assert_refused([f"the app at 0x30000 {words}"], "--efuses", revoked, *self.images("loader-2", "app-1"))
        self.assert_refused([f"{self.digests[1]} (revoked), {self.digests[2]}"], "--efuses", revoked,
                            *self.images("loader-4", "app-1"))
        self.assert_packed("--efuses", revoked, *self.images("loader-2", "app-3"))

    def test_a_block_of_another_image_and_a_forged_one(self):
        app = (self.dir / "app-1.bin").read_bytes()
        start = len(app) - SECTOR
        self.write("other.bin", flash_dumps.reseal(encrypted_dumps.app(C3, "3.0")).ljust(start, b"\xff") + app[start:])
        self.assert_refused(["the app at 0x30000 carries the signature block of another image"], "--efuses", self.signed,
                            *self.images("loader-1", "other"))
        loader = bytearray((self.dir / "loader-1.bin").read_bytes())
        start = len(loader) - SECTOR
        loader[start + SIGNATURE] ^= 1
        struct.pack_into("<I", loader, start + CRC, zlib.crc32(loader[start:start + CRC]))
        self.write("forged.bin", loader)
        self.assert_refused(["would not boot", "a signature that is wrong"], "--efuses", self.signed, *self.images("forged", "app-1"))

    def test_secure_boot_is_off(self):
        off = self.summary("off.json", C3.name, self.keys)
        self.assert_packed("--efuses", off, *self.images("loader", "app"))

    def test_an_app_for_a_table_that_stays(self):
        """Which app starts depends on the device, but it will be one of those that are brought."""
        def only(app):
            return "--efuses", self.signed, "--skip-check", "place", "0x30000", self.dir / f"{app}.bin"
        self.assert_refused(["the app at 0x30000 carries no signature block"], *only("app"))
        self.assert_refused([f"not in the eFuses: {self.digests[4]}"], *only("app-4"))
        self.assert_packed(*only("app-2"), warnings=1)
        warned = self.assert_packed(*only("app-2"), "0x10000", self.dir / "app.bin", warnings=2)
        self.assertIn("signature of the app", warned)

    def test_a_bootloader_that_stays(self):
        without = self.images("loader", "app-2")[2:]
        self.assertNotIn("signature", self.assert_packed("--efuses", self.signed, *without, warnings=1))
        self.assert_refused(["the app at 0x30000 carries no signature block"], "--efuses", self.signed,
                            *self.images("loader", "app")[2:])

    def test_version_1(self):
        chip = ESP32
        self.write("old-loader.bin", encrypted_dumps.bootloaders(chip, DUMMY_IMAGES)[1])
        self.write("old-app.bin", encrypted_dumps.app(chip, "2.0"))
        espsecure("generate-signing-key", "--version", 1, self.dir / "v1.pem")
        espsecure("sign-data", "--version", 1, "--keyfile", self.dir / "v1.pem", "--output", self.dir / "old-app-v1.bin",
                  self.dir / "old-app.bin")
        efuses = self.with_fields(self.summary("esp32.json", "esp32"), ABS_DONE_0=True)
        self.assert_refused(["Secure Boot V1 is on, and the app at 0x30000 carries no signature block"], "--efuses", efuses,
                            *self.images("old-loader", "old-app", chip), chip="esp32")
        warned = self.assert_packed("--efuses", efuses, *self.images("old-loader", "old-app-v1", chip), chip="esp32", warnings=2)
        self.assertIn("unless it has this very bootloader", warned)
        warned = self.assert_packed("--efuses", efuses, *self.images("old-loader", "old-app-v1", chip)[2:], chip="esp32", warnings=1)
        self.assertNotIn("very bootloader", warned)


class Demands(Fleet):
    """Versions and revisions, on both sides of each limit."""

    def with_app(self, image):
        self.write("this.bin", image)
        return self.images("loader", "this")

    def test_secure_version(self):
        three = self.summary("version.json", C3.name, ("burn-efuse", "SECURE_VERSION", "7"))
        words = "check 'secure-version' failed: App has the secure version 2, the chip's eFuse demands 3"
        self.assert_refused([words], "--efuses", three, *self.with_app(secure_version(self.app, 2)))
        self.assert_packed("--efuses", three, *self.with_app(secure_version(self.app, 3)))
        self.assert_packed("--efuses", three, "--skip-check", "secure-version", *self.with_app(secure_version(self.app, 2)))

    def test_revision_of_the_chip(self):
        none = self.summary("none.json", C3.name)
        four = self.with_fields(none, WAFER_VERSION_MAJOR=0, WAFER_VERSION_MINOR=4)
        self.assert_packed("--efuses", four, *self.with_app(chip_revisions(self.app, 4, 4)))
        self.assert_refused(["App needs at least revision v0.5 of the chip, this one is v0.4"], "--efuses", four,
                            *self.with_app(chip_revisions(self.app, 5, 99)))
        self.assert_refused(["App runs up to revision v0.3 of the chip, this one is v0.4"], "--efuses", four,
                            *self.with_app(chip_revisions(self.app, 0, 3)))
        ignored = self.with_fields(four, DISABLE_WAFER_VERSION_MAJOR=True)
        self.assert_packed("--efuses", ignored, *self.with_app(chip_revisions(self.app, 0, 3)))

    def test_revision_of_an_app_that_does_not_start(self):
        four = self.with_fields(self.summary("none.json", C3.name), WAFER_VERSION_MAJOR=0, WAFER_VERSION_MINOR=4)
        self.write("idle.bin", chip_revisions(self.app, 5, 99))
        self.assert_refused([f"eFuses of {four} refuses this: bundle is for chip revision v0.5 or later, this one is v0.4"],
                            "--efuses", four, *self.images("loader", "app"), "0x10000", self.dir / "idle.bin")

    def test_revision_of_the_efuse_block(self):
        one = self.with_fields(self.summary("none.json", C3.name), BLK_VERSION_MAJOR=1, BLK_VERSION_MINOR=1)
        self.assert_packed("--efuses", one, *self.with_app(block_revisions(self.app, 101, 101)))
        self.assert_refused(["App needs at least revision v1.2 of the eFuse block, this one is v1.1"], "--efuses", one,
                            *self.with_app(block_revisions(self.app, 102, 199)))
        self.assert_refused(["App runs up to revision v1.0 of the eFuse block, this one is v1.1"], "--efuses", one,
                            *self.with_app(block_revisions(self.app, 0, 100)))


class Encryption(Fleet):
    def test_a_system_without_a_table(self):
        self.write("key", C3.key)
        on = self.summary("on.json", C3.name, [self.dir / "key" if word == "KEY" else word for word in C3.burn[0]])
        self.assert_packed("--efuses", on, *self.images("loader", "app"))
        self.assert_refused(["flash encryption is on, and the bundle's system has no partition table"], "--efuses", on,
                            "--partition-table", "none", "0x0", self.dir / "loader.bin")


class Files(Fleet):
    def test_of_another_chip(self):
        for name in ("esp32", "esp32s3"):
            path = self.summary("other.json", name)
            self.assert_refused([f"{path}: eFuses of an ESP32", "and the bundle is for an ESP32-C3"], "--efuses", path,
                                *self.images("loader", "app"), status=3)

    def test_of_version_4(self):
        path = self.write("4.json", encrypted_dumps.as_of_version_4(self.signed.read_text("utf-8")).encode())
        self.assert_packed("--efuses", path, *self.images("loader-2", "app-2"))
        self.assert_refused(["the app at 0x30000 carries no signature block"], "--efuses", path, *self.images("loader-2", "app"))

    def test_garbage(self):
        for content, word in ((b"", ""), (b"nothing", "not valid JSON"), (b"{}", "no eFuses of a chip that is known"),
                              (b"\x00\xff" * 99, "")):
            path = self.write("garbage.json", content)
            self.assert_refused([str(path), word], "--efuses", path, *self.images("loader", "app"), status=3)
        self.assert_refused(["missing.json"], "--efuses", self.dir / "missing.json", *self.images("loader", "app"), status=3)

    def test_is_not_overwritten(self):
        before = self.signed.read_bytes()
        done = cases.run("pack", "--chip", "esp32c3", "-o", self.signed, "--efuses", self.signed, *self.images("loader-1", "app-1"))
        self.assertEqual(done.returncode, 3)
        self.assertIn("same file", done.stderr)
        self.assertEqual(self.signed.read_bytes(), before)


if __name__ == "__main__":
    DUMMY_IMAGES = pathlib.Path(sys.argv[2])
    runner.main(sys.argv[3:])
