#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images that are signed for Secure Boot V2, by esptool's espsecure: what inspect and pack make of them.

usage: test_signatures.py PROGRAM DEMO_IMAGES
"""
import functools
import json
import pathlib
import shutil
import sys
import tempfile

import cases
import espressif
import runner

run = cases.run
SECTOR = 0x1000
BLOCK = 1216
SCHEMES = {"rsa3072": "RSA-3072", "ecdsa192": "ECDSA P-192", "ecdsa256": "ECDSA P-256", "ecdsa384": "ECDSA P-384"}


def espsecure(*arguments):
    return espressif.attempt("espsecure", *arguments)


@functools.cache
def key_made(scheme, number):
    """The same one for all classes."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "key.pem"
        espressif.run("espsecure", "generate-signing-key", "--version", 2, "--scheme", scheme, path)
        return path.read_bytes()


class SignedTest(cases.InDemoFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        content = (cls.dir / "old-flash.bin").read_bytes()
        for name, start, end in (("bootloader", 0x1000, 0x8000), ("table", 0x8000, 0x8C00), ("otadata", 0xD000, 0xF000),
                                 ("app", 0x210000, None)):
            (cls.dir / f"{name}.bin").write_bytes(content[start:end].rstrip(b"\xff"))

    def key(self, scheme, number=1):
        path = self.dir / f"{scheme}-{number}.pem"
        if not path.exists():
            path.write_bytes(key_made(scheme, number))
        return path

    def sign(self, image, out, *keys):
        names = [word for key in keys for word in ("--keyfile", key)]
        done = espsecure("sign-data", "--version", 2, *names, "--output", self.dir / out, image)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return self.dir / out

    def digest(self, key):
        done = espsecure("digest-sbv2-public-key", "--keyfile", key, "--output", self.dir / "digest.bin")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        digest = (self.dir / "digest.bin").read_bytes()
        (self.dir / "digest.bin").unlink()
        return digest.hex()

    def verifies(self, image, key):
        return espsecure("verify-signature", "--version", 2, "--keyfile", key, image).returncode == 0

    def signatures(self, image):
        return self.run_json(0, "inspect", image)["apps"][0]["signatures"]


class Inspect(SignedTest):
    def test_each_scheme_as_espsecure_has_it(self):
        for scheme, name in SCHEMES.items():
            with self.subTest(scheme=scheme):
                key = self.key(scheme)
                signed = self.sign(self.dir / "app.bin", "signed.bin", key)
                self.assertTrue(self.verifies(signed, key))
                self.assertEqual(self.signatures(signed), [
                    {"secure_boot": 2, "block": 0, "intact": True, "scheme": name, "key_digest": self.digest(key),
                     "of_this_image": True}])
                text = run("inspect", signed).stdout
                self.assertIn(f"{name}, key digest {self.digest(key)}\n", text)

    def test_three_keys_and_none(self):
        keys = [self.key("rsa3072"), self.key("rsa3072", 2), self.key("rsa3072", 3)]
        signed = self.sign(self.dir / "app.bin", "three.bin", *keys)
        found = self.signatures(signed)
        self.assertEqual([row["key_digest"] for row in found], [self.digest(key) for key in keys])
        self.assertTrue(all(self.verifies(signed, key) and row["of_this_image"] for key, row in zip(keys, found)))
        self.assertEqual(self.signatures(self.dir / "app.bin"), [])
        self.assertNotIn("signature", run("inspect", self.dir / "app.bin").stdout)

    def test_what_espsecure_does_not_verify_is_told(self):
        key = self.key("rsa3072")
        signed = self.sign(self.dir / "app.bin", "signed.bin", key)
        good = signed.read_bytes()
        start = len(good) - SECTOR
        for at, expected, words in ((start - 1, {"intact": True, "of_this_image": False}, ", of another image\n"),
                                    (start + 100, {"intact": False}, "Secure Boot V2 that is damaged\n"),
                                    (start + 1196, {"intact": False}, "Secure Boot V2 that is damaged\n")):
            bad = self.write("bad.bin", good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
            self.assertFalse(self.verifies(bad, key))
            found, = self.signatures(bad)
            self.assertEqual({name: found[name] for name in expected}, expected)
            self.assertIn(words, run("inspect", bad).stdout)

    def test_version_1(self):
        key = self.dir / "v1.pem"
        espsecure("generate-signing-key", "--version", 1, key)
        done = espsecure("sign-data", "--version", 1, "--keyfile", key, "--output", self.dir / "v1.bin", self.dir / "app.bin")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.signatures(self.dir / "v1.bin"), [{"secure_boot": 1}])
        self.assertIn("of Secure Boot V1", run("inspect", self.dir / "v1.bin").stdout)


class SignedSystem(SignedTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls()
        cls.pem = case.key("rsa3072")
        for name in ("bootloader", "app"):
            case.sign(cls.dir / f"{name}.bin", f"{name}-signed.bin", cls.pem)


class Pack(SignedSystem):
    def pack(self, bootloader, app):
        out = self.dir / "out.srb"
        done = run("pack", "-o", out, "--chip", "esp32", "0x1000", bootloader, "0x8000", self.dir / "table.bin",
                   "0xd000", self.dir / "otadata.bin", "0x210000", app)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out, done

    def test_warns_where_one_is_signed_and_another_is_not(self):
        for bootloader in ("", "-signed"):
            for app in ("", "-signed"):
                _, done = self.pack(self.dir / f"bootloader{bootloader}.bin", self.dir / f"app{app}.bin")
                lines = [line for line in done.stderr.splitlines() if "Secure Boot" in line]
                if bootloader == app:
                    self.assertEqual(lines, [])
                    continue
                line, = lines
                self.assertIn("the bootloader, at 0x1000" if app else "the app in ota_0, at 0x210000", line)
                self.assertIn("carries no signature block, and others of the bundle do", line)

    def test_warns_of_a_block_that_is_torn_or_of_another_image(self):
        good = (self.dir / "app-signed.bin").read_bytes()
        start = len(good) - SECTOR
        for at, words in ((start + 40, "a signature block that is damaged"), (start - 1, "the signature block of another image")):
            bad = self.write("bad.bin", good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
            _, done = self.pack(self.dir / "bootloader-signed.bin", bad)
            self.assertIn(words, done.stderr)

    def test_bundle_tells_the_keys(self):
        out, done = self.pack(self.dir / "bootloader-signed.bin", self.dir / "app-signed.bin")
        digest = self.digest(self.pem)
        self.assertEqual(done.stdout.count(f"RSA-3072, key digest {digest}\n"), 2)
        inside = self.run_json(0, "inspect", out)["contents"]
        self.assertEqual([inside["bootloader"]["signatures"][0]["key_digest"], inside["apps"][0]["signatures"][0]["key_digest"]],
                         [digest, digest])


class BuildDirs(SignedSystem):
    """With Secure Boot, flasher_args.json has no bootloader: ESP-IDF's components/bootloader/CMakeLists.txt."""

    def build(self, **settings):
        folder = self.dir / "build"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "bootloader").mkdir(parents=True)
        for name, source in (("bootloader/bootloader.bin", "bootloader-signed.bin"), ("app.bin", "app-signed.bin"),
                             ("table.bin", "table.bin"), ("otadata.bin", "otadata.bin")):
            shutil.copy(self.dir / source, folder / name)
        settings = {"flash_mode": "dio", "flash_size": "4MB", "flash_freq": "40m", **settings}
        (folder / "flasher_args.json").write_text(json.dumps({
            "flash_settings": settings,
            "flash_files": {"0x8000": "table.bin", "0x210000": "app.bin", "0xd000": "otadata.bin"},
            "extra_esptool_args": {"chip": "esp32"}}))
        return folder

    def pack_build(self, *arguments):
        out = self.dir / "out.srb"
        out.unlink(missing_ok=True)
        return out, run("pack", "-o", out, "--build-dir", *arguments)

    def test_bootloader_is_taken_from_where_the_build_has_it(self):
        out, done = self.pack_build(self.build())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("build/bootloader/bootloader.bin is packed", done.stderr)
        self.assertNotIn("warning", done.stderr)
        flash = self.dir / "flash.bin"
        self.assertEqual(run("extract", out, "-o", flash).returncode, 0)
        signed = (self.dir / "bootloader-signed.bin").read_bytes()
        self.assertEqual(flash.read_bytes()[0x1000:0x1000 + len(signed)], signed)
        self.assertTrue(self.verifies(self.write("cut.bin", flash.read_bytes()[0x1000:0x1000 + len(signed)]), self.pem))

    def test_bootloader_can_be_left_out(self):
        out, done = self.pack_build(self.build(), "--keep-bootloader")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("bootloader.bin is packed", done.stderr)
        self.assertTrue(all(region["offset"] >= 0x8000 for region in self.run_json(0, "inspect", out)["regions"]))

    def test_build_without_any_bootloader(self):
        folder = self.build()
        shutil.rmtree(folder / "bootloader")
        _, done = self.pack_build(folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("bootloader", done.stderr)  # only the chip can check it
        self.assertNotIn("is packed", done.stderr)
        _, done = self.pack_build(folder, "--flash-mode", "dio")
        self.assertIn("no input has a bootloader", done.stderr)
        self.assertEqual(done.returncode, 3)

    def test_settings_that_would_break_the_signature(self):
        out, done = self.pack_build(self.build(flash_mode="qio"))
        self.assertEqual(done.returncode, 3)
        self.assertIn("would break the bootloader's Secure Boot signature", done.stderr)
        self.assertFalse(out.exists())


if __name__ == "__main__":
    runner.main(sys.argv[3:])
