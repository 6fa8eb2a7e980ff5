#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One upload that brings the whole new system: an app with a cargo, as the program makes it and as the simulated device runs it.

What the program writes is compared with esptool, and byte for byte with what docs/cargo-format.md says, written down a second
time in flash_dumps.py. The stories go from published firmware to published firmware.

usage: test_courier.py PROGRAM COURIER COURIER_WIFI DEMO_IMAGES FIXTURES
"""
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import unittest

import cases
import espressif
import flash_dumps
import runner
import servers

COURIER, COURIER_WIFI, DEMO_IMAGES = sys.argv[2:5]
run, sampled = cases.run, cases.sampled
FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[5])
SECTOR = flash_dumps.SECTOR
WLED_0_14_4 = flash_dumps.WLED_0_14_4
TASMOTA = "tasmota/tasmota32.factory.bin"
WLED_0_14_4_SYSTEM = "wled-0.14.4/esp32_bootloader_v4.bin"
WLED_8_MB_TABLE = "wled-0.14.4/partitions_s3_8m.bin"  # of another chip, but a table does not say for which it is
IDF_BOOTLOADER = "idf/bootloader_esp32_v5_2.bin"
SLOTS = (0x10000, 0x190000)  # WLED's
SLOT_SIZE = 0x180000
ESPHOME_SLOTS = (0x10000, 0x1D0000)
URL = "http://192.168.1.2:8070/system.srb"
WITH_WIFI = flash_dumps.SETTINGS + b"url\0wifi_password\0wifi_ssid\0"
WITH_PAGE = WITH_WIFI + b"ap_password\0min_sequence\0when\0"
VENV = os.environ.get("SELF_REFLASHER_VENV")
ESPTOOL = shutil.which("esptool", path=f"{VENV}/bin" if VENV else None)
ESPSECURE = pathlib.Path(ESPTOOL).parent / "espsecure" if ESPTOOL else None
if ESPSECURE and not ESPSECURE.exists():
    ESPSECURE = None  # esptool 4 has other words


# A device runs from one of them. In a sample from the second: the courier is in the new app's way then.
BOTH_SLOTS = sampled((0, 1), slice(1, None))


class CourierTest(cases.InOwnFolder):
    def setUp(self):
        super().setUp()
        self.upload = self.dir / "upload.bin"

    def keys(self):
        key, public = self.dir / "key.pem", self.dir / "public.pem"
        if not key.exists():
            self.assertEqual(run("keygen", "-o", key, "--public", public).returncode, 0)
        return key, public

    def small_bundle(self, *arguments, chip="esp32"):
        """Of one sector that is nobody's: enough for what looks at its outside only."""
        path = self.dir / f"small-{chip}.srb"
        self.run_json(0, "pack", "-o", path, "--chip", chip, "--partition-table", "none", "--skip-check", "place", "--skip-check",
                      "bootloader", "0x200000", self.write("content", flash_dumps.in_use(5)[:SECTOR]), *arguments)
        return path

    def courier(self, status, app, bundle, *arguments):
        return self.run_json(status, "courier", "-o", self.upload, "--app", app, "--bundle", bundle, *arguments)

    def assert_refused(self, status, words, app, bundle, *arguments):
        result = run("courier", "-o", self.upload, "--app", app, "--bundle", bundle, *arguments)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertFalse(self.upload.exists())


class Program(CourierTest):
    def setUp(self):
        super().setUp()
        self.app = self.write("app.bin", flash_dumps.carrier())

    def test_same_bytes_as_the_format_says(self):
        key, public = self.keys()
        bundle = self.small_bundle("--sign", key)
        settings = self.write("settings.json", b'{"allow_temporary_table": true, "allow_in_place": true}')
        told = self.courier(0, self.app, bundle, "--public-key", public, "--settings", settings)
        expected = flash_dumps.with_cargo(self.app.read_bytes(), (("allow_in_place", "1"), ("allow_temporary_table", "1"),
                                                                 ("public_key", public.read_text())), bundle.read_bytes())
        self.assertEqual(self.upload.read_bytes(), expected)
        self.assertEqual(told, {"file": str(self.upload), "chip": "esp32", "size": len(expected),
                                "app_size": self.app.stat().st_size, "bundle_size": bundle.stat().st_size,
                                "key_id": self.run_json(0, "key", public)["key_id"], "key_made": False, "was_signed": False, "is_signed": False,
                                "slot_size": None, "slot_offset": None, "ap_password": None})

    def test_settings_that_are_false_are_left_out(self):
        key, public = self.keys()
        bundle = self.small_bundle("--sign", key)
        settings = self.write("settings.json", b'{"allow_temporary_table": false}')
        self.courier(0, self.app, bundle, "--public-key", public, "--settings", settings)
        self.assertEqual(self.upload.read_bytes(), flash_dumps.with_cargo(
            self.app.read_bytes(), (("public_key", public.read_text()),), bundle.read_bytes()))

    def test_key_is_made_if_none_is_given(self):
        key, public = self.keys()
        for arguments in ((), ("--sign", key)):
            bundle = self.small_bundle(*arguments)
            before = bundle.read_bytes()
            told = self.courier(0, self.app, bundle)
            self.assertTrue(told["key_made"])
            self.assertNotEqual(told["key_id"], self.run_json(0, "key", public)["key_id"])
            self.assertEqual(bundle.read_bytes(), before)
            cargo = self.run_json(0, "inspect", self.upload)["apps"][0]["cargo"]
            self.assertEqual(cargo["settings"], {"public_key": told["key_id"]})
            self.assertTrue(cargo["bundle"]["verified"])

    @unittest.skipIf(ESPTOOL is None, "no esptool")
    def test_esptool_accepts_it(self):
        self.courier(0, self.app, self.small_bundle())

        def told(path):
            text = espressif.run("esptool", "image-info", path)
            self.assertRegex(text, r"Checksum: 0x\w+ \(valid\)")
            self.assertRegex(text, r"(?i)validation hash: \w+ \(valid\)")
            rows = re.findall(r"(?m)^ +\d+  (0x\w+)  (0x\w+)  (0x\w+)  (.*)$", text)
            return rows, text[text.index("Application Information"):]
        (before, about), (after, about_after) = told(self.app), told(self.upload)
        self.assertEqual((len(before), len(after)), (3, 4))
        self.assertEqual((after[:3], about_after), (before, about))
        self.assertEqual((after[3][1], after[3][3].strip()), ("0x00000000", "PADDING"))

    def test_inspect_shows_it(self):
        bundle = self.small_bundle()
        told = self.courier(0, self.app, bundle)
        text = run("inspect", self.upload).stdout
        for words in ("signed with the key in it", f"public_key: {told['key_id']}", "in its cargo: bundle for ESP32", "0x200000"):
            self.assertIn(words, text)
        self.assertNotIn("BEGIN PUBLIC KEY", text)
        self.assertIsNone(self.run_json(0, "inspect", self.app)["apps"][0]["cargo"])

    def test_inspect_shows_no_password(self):
        content = flash_dumps.with_cargo(self.app.read_bytes(), (("wifi_password", "secret!"), ("wifi_ssid", "home")), b"")
        path = self.write("carrier.bin", content)
        cargo = self.run_json(0, "inspect", path)["apps"][0]["cargo"]
        self.assertEqual(cargo["settings"], {"wifi_password": "(not shown)", "wifi_ssid": "home"})
        self.assertIsNone(cargo["bundle"])
        text = run("inspect", path).stdout
        self.assertIn("wifi_ssid: home", text)
        self.assertNotIn("secret!", text)

    def test_inspect_shows_no_secret(self):
        shown = (("keep", "1"), ("name", "a:b@c"), ("server", "http://h:80/x@y"), ("url", "https://h/x"), ("user", "http://me@h"))
        hidden = [(name, "secret!") for name in ("api_token", "cert_key", "my_password_2", "public_key_2", "secret_of", "wifi_psk")]
        content = flash_dumps.with_cargo(self.app.read_bytes(), sorted([*shown, *hidden]), b"")
        path = self.write("carrier.bin", content)
        settings = self.run_json(0, "inspect", path)["apps"][0]["cargo"]["settings"]
        self.assertEqual(settings, {**dict(shown), **{name: "(not shown)" for name, _ in hidden}})
        self.assertNotIn("secret!", run("inspect", path).stdout)

    def test_inspect_shows_no_password_of_a_url(self):
        for value, shown in (("http://me:se:c@ret@h:80/x?y=@", "http://me:***@h:80/x?y=@"),
                             ("https://:secret@h", "https://:***@h"), ("http://me:@h/", "http://me:@h/")):
            path = self.write("carrier.bin", flash_dumps.with_cargo(self.app.read_bytes(), (("url", value),), b""))
            self.assertEqual(self.run_json(0, "inspect", path)["apps"][0]["cargo"]["settings"], {"url": shown})
            self.assertIn(f"url: {shown}\n", run("inspect", path).stdout)

    def test_text_does_not_steer_the_terminal(self):
        value = "http://h/x\x1b[31m\nfake: line"
        path = self.write("carrier.bin", flash_dumps.with_cargo(self.app.read_bytes(), (("url", value),), b""))
        text = run("inspect", path).stdout
        self.assertIn("url: http://h/x?[31m?fake: line\n", text)
        self.assertEqual(self.run_json(0, "inspect", path)["apps"][0]["cargo"]["settings"], {"url": value})
        app = bytearray(flash_dumps.carrier(settings=WITH_WIFI))
        app[48:55], app[80:87] = b"v\x1b[31m\n", b"n\x1b[32m\n"  # version and name, in the descriptor
        settings = self.write("settings.json", br'{"wifi_ssid": "\u001b[33m\nfake"}')
        result = run(*self.by_url(self.write("online.bin", flash_dumps.reseal(app)), "--settings", settings))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("n?[32m? v?[31m?, ", result.stdout)
        self.assertIn("wifi_ssid: ?[33m?fake\n", result.stdout)

    def test_inspect_tells_what_is_wrong(self):
        bundle = bytearray(self.small_bundle().read_bytes())
        unsigned = self.write("unsigned.bin", flash_dumps.with_cargo(self.app.read_bytes(), (), bundle))
        cargo = self.run_json(0, "inspect", unsigned)["apps"][0]["cargo"]
        self.assertFalse(cargo["bundle"]["verified"])
        bad = self.write("bad.bin", flash_dumps.with_cargo(self.app.read_bytes(), (("NAME", ""),), bundle))
        self.assertEqual(self.run_json(0, "inspect", bad)["apps"][0]["cargo"],
                         {"status": "cargo with bad settings", "settings": {}, "bundle": None})
        self.assertIn("cargo with bad settings", run("inspect", bad).stdout)

    def test_signature_is_told_to_be_gone(self):
        app = self.app.read_bytes()
        padded = app.ljust(-(-len(app) // SECTOR) * SECTOR, b"\xff")
        block = b"\xe7\x02" + flash_dumps.in_use(4)[:1214]
        signed = self.write("signed.bin", padded + block.ljust(SECTOR, b"\xff"))
        bundle = self.small_bundle()
        result = run("courier", "-o", self.upload, "--app", signed, "--bundle", bundle)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("sign", result.stderr)
        self.assertEqual(self.upload.stat().st_size, flash_dumps.image_at(self.upload.read_bytes(), 0).__len__())
        self.upload.unlink()
        self.assertTrue(self.courier(0, signed, bundle)["was_signed"])

    @unittest.skipIf(ESPSECURE is None, "no espsecure")
    def test_upload_is_signed(self):
        """By espsecure, which verifies it, too; the slot has to hold the signature as well."""
        bundle, key, public = self.small_bundle(), self.dir / "boot.pem", self.dir / "boot.pub"
        in_path = {"PATH": f"{ESPSECURE.parent}:{os.environ['PATH']}"}
        for arguments in (("generate-signing-key", "--version", "2", "--scheme", "ecdsa256", key),
                          ("extract-public-key", "--version", "2", "--keyfile", key, public)):
            espressif.run("espsecure", *arguments)
        arguments = ("courier", "-o", self.upload, "--app", self.app, "--bundle", bundle, "--sign-image", key)
        result = run(*arguments, "--json", environment=in_path)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        told = json.loads(result.stdout)
        self.assertEqual((told["is_signed"], told["size"]), (True, self.upload.stat().st_size))
        plain = flash_dumps.image_at(self.upload.read_bytes(), 0)
        self.assertEqual(told["size"], -(-len(plain) // SECTOR) * SECTOR + SECTOR)
        espressif.run("espsecure", "verify-signature", "--version", "2", "--keyfile", public, self.upload)
        self.assertTrue(self.run_json(0, "inspect", self.upload)["apps"][0]["cargo"]["bundle"]["verified"])
        self.upload.unlink()
        text = run(*arguments, environment=in_path).stdout
        self.assertIn("by espsecure", text)
        self.upload.unlink()
        for more, status, word, environment in (((), 3, "not in PATH", {"PATH": "/nowhere"}),
                                                (("--slot-size", told["size"] - 1), 1, "1 too many", in_path),
                                                (("--sign-image", self.app), 3, "espsecure does not sign", in_path),
                                                (("--sign-image", self.dir / "none.pem"), 3, "none.pem", in_path),
                                                (("-o", key), 3, "boot.pem", in_path)):
            before = key.read_bytes()
            result = run(*arguments, *more, environment=environment)
            self.assertEqual(result.returncode, status, result.stdout + result.stderr)
            self.assertIn(word, result.stderr)
            self.assertFalse(self.upload.exists())
            self.assertEqual(key.read_bytes(), before)

    def test_nothing_but_signatures_is_left_out(self):
        bundle = self.small_bundle()
        app = self.app.read_bytes()
        padded = app.ljust(-(-len(app) // SECTOR) * SECTOR, b"\xff")
        block = b"\xe7\x02" + flash_dumps.in_use(4)[:1214]
        v1 = app + bytes(4) + flash_dumps.in_use(4)[:64]
        sector = (padded + block).ljust(len(padded) + SECTOR, b"\xff")
        for content in (v1, v1 + b"\xff" * 50, padded + block, padded + 3 * block, padded + 2 * block + b"\xff" * 9999, sector):
            self.assertTrue(self.courier(0, self.write("signed.bin", content), bundle)["was_signed"])
            self.upload.unlink()
        for content in (v1 + b"more", v1 + b"\xff" * 50 + b"\0", padded + block + b"more", padded + block + block[:-1],
                        padded + 4 * block, padded[:-1] + b"\0" + block, sector + b"more", sector + block):
            self.assert_refused(3, ("something follows that is no signature",), self.write("signed.bin", content), bundle)

    def test_apps_that_cannot_carry(self):
        bundle = self.small_bundle()
        app = self.app.read_bytes()
        damaged = bytearray(app)
        damaged[0x200] ^= 1
        subprocess.run([DEMO_IMAGES, self.dir], check=True, stdout=subprocess.DEVNULL)
        loader = flash_dumps.image_at((self.dir / "old-flash.bin").read_bytes(), 0x1000)
        for status, words, content in (
                (3, ("not an image",), bytes(4096)),
                (3, ("is an ELF file", "an app is needed"), b"\x7fELF" + bytes(4096)),
                (3, ("checksum",), damaged),
                (3, ("longer than its room",), app[:-1]),
                (3, ("no app",), loader),
                (3, ("something follows",), app + b"\0" * 16),
                (3, ("carries a cargo already",), flash_dumps.with_cargo(app, (), b"")),
                (1, ("16 segments",), flash_dumps.carrier(empty_segments=13)),
                (1, ("find_cargo", "examples/courier"), flash_dumps.carrier(magic=b""))):
            with self.subTest(words=words):
                self.assert_refused(status, words, self.write("other.bin", content), bundle)
        self.courier(0, self.write("other.bin", flash_dumps.carrier(empty_segments=12)), bundle)
        self.upload.unlink()
        self.courier(0, self.write("other.bin", app + b"\xff" * 100), bundle)

    def test_bundles_that_cannot_be_carried(self):
        key, public = self.keys()
        signed = self.small_bundle("--sign", key).read_bytes()
        other = self.dir / "other.pem"
        self.assertEqual(run("keygen", "-o", other, "--public", self.dir / "other-public.pem").returncode, 0)
        manifest = bytearray(signed)
        manifest[70] ^= 1
        chunk = bytearray(signed)
        chunk[-1] ^= 1
        for status, content, arguments in ((3, manifest, ()), (3, chunk, ()), (3, signed[:-1], ()), (3, b"nothing", ()),
                                           (1, signed, ("--public-key", self.dir / "other-public.pem")),
                                           (3, signed, ("--public-key", key)), (3, signed, ("--public-key", self.app))):
            with self.subTest(arguments=arguments, size=len(content)):
                self.assert_refused(status, (), self.app, self.write("other.srb", content), *arguments)
        self.assert_refused(1, ("sign --key",), self.app, self.small_bundle(), "--public-key", public)
        self.assert_refused(1, ("ESP32-C3", "ESP32"), self.app, self.small_bundle(chip="esp32c3"))

    def test_settings_that_are_none(self):
        bundle = self.small_bundle()
        for text, word in ((b"{", "not valid JSON"), (b"[]", "an object"), (b'{"allow_all": true}', "allow_all"),
                           (b'{"allow_in_place": 1}', "true or false"), (b'{"public_key": "x"}', "--public-key"),
                           (b'{"url": "http://x/"}', "--url"), (b'{"wifi_ssid": 1}', "a text"), (b'{"wifi_ssid": ""}', "1 to 32"),
                           (b'{"wifi_password": "short"}', "8 to 64"), (b'{"wifi_ssid": "' + b"x" * 33 + b'"}', "1 to 32"),
                           (b'{"ap_password": "seven77"}', "8 to 63"), (b'{"wifi_ssid": "caf\xe9"}', "not UTF-8"),
                           (b'{"when": "later"}', '"now" or "button"'), (b'{"when": true}', '"now" or "button"'),
                           (b'{"min_sequence": -1}', "whole number"), (b'{"min_sequence": 4294967296}', "whole number"),
                           (b'{"min_sequence": 1.5}', "whole number"), (b'{"min_sequence": "1"}', "whole number"),
                           (br'{"wifi_ssid": "home\u0000rest"}', r"\u0000"), (b'{}\n\n"more"', "line 3: not valid JSON"),
                           (br'{"wifi_password": "12345678\u0000rest"}', r"\u0000"), (b'{"wifi_ssid": "a\0b"}', "a zero byte"),
                           (br'{"allow_in_place\u0000": true}', r"line 1: \u0000"), (b'{}\0', "a zero byte"),
                           (b'{"allow_in_place": true, "allow_in_place": false}', "twice")):
            self.assert_refused(3, (word,), self.app, bundle, "--settings", self.write("settings.json", text))
        self.assert_refused(3, (), self.app, bundle, "--settings", self.dir / "missing.json")

    def test_backslashes_that_escape_no_zero(self):
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_WIFI))
        settings = self.write("settings.json", b'\xef\xbb\xbf{"wifi_ssid": "caf\xc3\xa9 \\\\u0000"}\r\n')
        self.run_json(0, *self.by_url(app, "--settings", settings))
        self.assertEqual(self.run_json(0, "inspect", self.upload)["apps"][0]["cargo"]["settings"]["wifi_ssid"], r"café \u0000")

    def by_url(self, app, *arguments, url=URL):
        _, public = self.keys()
        return ("courier", "-o", self.upload, "--app", app, "--url", url, "--public-key", public, *arguments)

    def test_by_url(self):
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_WIFI))
        settings = self.write("settings.json", b'{"wifi_password": "secret12", "wifi_ssid": "home"}')
        told = self.run_json(0, *self.by_url(app, "--settings", settings))
        _, public = self.keys()
        self.assertEqual(self.upload.read_bytes(), flash_dumps.with_cargo(
            app.read_bytes(), (("public_key", public.read_text()), ("url", URL), ("wifi_password", "secret12"), ("wifi_ssid", "home")),
            b""))
        self.assertEqual((told["bundle_size"], told["key_made"]), (None, False))
        self.assertEqual(self.run_json(0, "inspect", self.upload)["apps"][0]["cargo"]["settings"], {
            "public_key": told["key_id"], "url": URL, "wifi_password": "(not shown)", "wifi_ssid": "home"})
        text = run(*self.by_url(app, "--settings", settings)).stdout
        self.assertIn(URL, text)
        self.assertNotIn("secret12", text)

    def test_by_url_refusals(self):
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_WIFI))
        settings = self.write("settings.json", b'{"wifi_ssid": "home"}')
        _, public = self.keys()
        for status, words, arguments in (
                (1, ("does not know the setting url",), self.by_url(self.app, "--settings", settings)),
                (3, ("wifi_password without",), self.by_url(app, "--settings", self.write("s.json", b'{"wifi_password": "12345678"}'))),
                (2, ("--public-key",), ("courier", "-o", self.upload, "--app", app, "--url", URL)),
                (2, ("--bundle",), ("courier", "-o", self.upload, "--app", app, "--url", "system.srb", "--public-key", public)),
                (2, ("512",), ("courier", "-o", self.upload, "--app", app, "--url", URL + "x" * 500, "--public-key", public)),
                (2, ("either",), self.by_url(app, "--bundle", self.small_bundle()))):
            result = run(*arguments)
            self.assertEqual(result.returncode, status, result.stdout + result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)
            self.assertFalse(self.upload.exists())

    def test_urls(self):
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_WIFI))
        settings = self.write("settings.json", b'{"wifi_ssid": "home"}')
        for url, word in (("http://", "host"), ("http:///x", "host"), ("https://?x", "host"), ("http://:80/x", "host"),
                          ("http://me:secret@/x", "host"), ("http://h:99999/", "--url: "), ("http://h/a b", "%20"),
                          ("http://h/x\n", "ASCII"), ("http://h/\x1b[31m", "ASCII"), ("http://caf\u00e9/", "ASCII"), ("http://h/\x7f", "ASCII"),
                          ("ftp://h/x", "neither http"), ("http:/h/x", "--bundle"), ("", "--bundle")):
            result = run(*self.by_url(app, "--settings", settings, url=url))
            self.assertEqual(result.returncode, 2, (url, result.stdout, result.stderr))
            self.assertIn(word, result.stderr)
            self.assertNotIn("secret", result.stderr)
            self.assertFalse(self.upload.exists())
        for url in ("http://h", "https://h:8443/a%20b?x=1", "http://[fe80::1]:80/x"):
            self.assertIn(url, run(*self.by_url(app, "--settings", settings, url=url)).stdout)
            self.upload.unlink()
        with_password = "http://me:secret@h/system.srb"
        result = run(*self.by_url(app, "--settings", settings, url=with_password))
        self.assertIn("fetched from http://me:***@h/system.srb\n", result.stdout)
        self.assertNotIn("secret", result.stdout + result.stderr)
        self.assertIn(with_password.encode() + b"\0", self.upload.read_bytes())

    def test_settings_of_every_kind(self):
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_PAGE))
        _, public = self.keys()
        start = (("public_key", public.read_text()), ("url", URL))
        for text, before, after in ((b'{"when": "now", "min_sequence": 0, "ap_password": "12345678"}', (), ()),
                                    (b'{"when": "button", "min_sequence": 4294967295, "ap_password": "12345678"}',
                                     (("min_sequence", "4294967295"),), (("when", "button"),))):
            told = self.run_json(0, *self.by_url(app, "--settings", self.write("settings.json", text)))
            self.assertEqual(self.upload.read_bytes(), flash_dumps.with_cargo(
                app.read_bytes(), (("ap_password", "12345678"), *before, *start, *after), b""))
            self.assertIsNone(told["ap_password"])
            shown = self.run_json(0, "inspect", self.upload)["apps"][0]["cargo"]["settings"]
            self.assertEqual(shown, {"ap_password": "(not shown)", "public_key": told["key_id"], "url": URL, **dict(before + after)})
            self.upload.unlink()

    def test_password_of_an_access_point_is_made(self):
        """For an app that may open one, and shown where it is made only."""
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_PAGE))
        made = set()
        for _ in range(3):
            told = self.run_json(0, *self.by_url(app))
            self.assertRegex(told["ap_password"], "^[a-z2-9]{12}$")
            self.assertIn(b"ap_password\0" + told["ap_password"].encode() + b"\0", self.upload.read_bytes())
            self.assertNotIn(told["ap_password"], run("inspect", self.upload).stdout)
            made.add(told["ap_password"])
        self.assertEqual(len(made), 3)
        text = run(*self.by_url(app)).stdout
        password, = re.findall(r"password ([a-z2-9]{12}),", text)
        self.assertIn(password.encode(), self.upload.read_bytes())
        text = run(*self.by_url(app, "--settings", self.write("settings.json", b'{"ap_password": "mysecret"}'))).stdout
        self.assertNotIn("mysecret", text)
        self.assertIn("ap_password: (not shown)", text)
        self.courier(0, self.app, self.small_bundle())
        self.assertNotIn(b"ap_password", self.upload.read_bytes())

    def test_settings_that_the_app_does_not_know(self):
        bundle = self.small_bundle()
        app = self.write("other.bin", flash_dumps.carrier(settings=b"\0allow_temporary_table\0public_key\0"))
        settings = self.write("settings.json", b'{"allow_temporary_table": true, "allow_in_place": true}')
        self.assert_refused(1, ("does not know the setting allow_in_place",), app, bundle, "--settings", settings)
        self.courier(0, app, bundle)
        self.upload.unlink()
        self.assert_refused(1, ("public_key",), self.write("other.bin", flash_dumps.carrier(settings=b"")), bundle)

    def test_what_does_not_fit_is_refused_with_numbers(self):
        bundle = self.small_bundle()
        told = self.courier(0, self.app, bundle, "--slot-size", "0x100000")
        self.assertEqual(told["slot_size"], 0x100000)
        self.upload.unlink()
        self.courier(0, self.app, bundle, "--slot-size", told["size"])
        self.upload.unlink()
        self.assert_refused(1, (f"{told['size']:,} bytes", f"{told['app_size']:,}", f"{told['bundle_size']:,}",
                                f"{told['size'] - 1:,}", ": 1 too many", "--url"),
                            self.app, bundle, "--slot-size", told["size"] - 1)

    def test_cargo_of_3_mb_and_no_more(self):
        noise = random.Random(1).randbytes(0x310000)
        for size, status in ((0x300000, 0), (0x310000, 1)):
            bundle = self.dir / "large.srb"
            self.run_json(0, "pack", "-o", bundle, "--chip", "esp32", "--partition-table", "none", "--skip-check", "place",
                          "--skip-check", "bootloader", "0x400000", self.write("noise", noise[:size]))
            if status == 0:
                self.assertGreater(self.courier(0, self.app, bundle)["bundle_size"], 3 << 20)
                self.upload.unlink()
            else:
                self.assert_refused(1, ("no more than 3,211,264",), self.app, bundle)

    def test_usage(self):
        bundle = self.small_bundle()
        for arguments in (("--app", self.app), ("--app", self.app, "--bundle", bundle), ("-o", self.upload, "--bundle", bundle),
                          ("-o", self.upload, "--app", self.app, "--bundle", bundle, "--slot-size", "none"),
                          ("-o", self.upload, "--app", self.app, "--bundle", bundle, "--running", "0x10000"),
                          ("-o", self.upload, "--app", self.app, "--bundle", bundle, "more")):
            self.assertEqual(run("courier", *arguments).returncode, 2, arguments)


def wled(number):
    """A device with WLED 0.14.4 in one of its two slots, and nothing in the other one."""
    app = (FIXTURES / WLED_0_14_4).read_bytes()
    return flash_dumps.flash((0, (FIXTURES / WLED_0_14_4_SYSTEM).read_bytes()), (0x9000, flash_dumps.in_use(1)),
                             (0xE000, flash_dumps.otadata(1 + number)), (SLOTS[number], app))


def esphome(number):
    """A device with ESPHome in one of its two slots, and nothing in the other one."""
    image = (FIXTURES / flash_dumps.ESPHOME).read_bytes()
    return flash_dumps.flash((0, image[:0x10000]), (0x9000, flash_dumps.in_use(2)), (0xE000, flash_dumps.otadata(1 + number)),
                             (ESPHOME_SLOTS[number], image[0x10000:]))


def merge_bin(folder, *parts):
    """What esptool makes of these parts, to the end of its last sector."""
    out = folder / "merged.bin"
    espressif.run("esptool", "--chip", "esp32", "merge-bin", "-o", out, *parts)
    content = out.read_bytes()
    return content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\xff")


class Devices(CourierTest):
    """Devices as they are found: none of these is a special case for who uploads."""

    def setUp(self):
        super().setUp()
        subprocess.run([DEMO_IMAGES, self.dir], check=True, stdout=subprocess.DEVNULL)
        content = (self.dir / "old-flash.bin").read_bytes()
        self.loader, self.old_app = content[0x1000:0x8000].rstrip(b"\xff"), flash_dumps.image_at(content, 0x210000)
        self.app = self.write("app.bin", flash_dumps.carrier())

    def test_otadata_of_every_kind_and_the_table_elsewhere(self):
        """Blank, broken, half written; on the chip that the layout is for, and on a larger one."""
        noise = random.Random(3).randbytes(2 * SECTOR)
        good = flash_dumps.otadata(2)
        kinds = {"blank": b"\xff" * 2 * SECTOR, "noise": noise, "zero": bytes(2 * SECTOR), "one entry": good,
                 "half": good[:SECTOR] + noise[:SECTOR]}
        new = flash_dumps.tiny_app("2.0")
        for table in (0x8000, 0xA000):
            rows = ((b"nvs", 1, 2, table + 0x1000, 0x4000), (b"otadata", 1, 0, table + 0x5000, 0x2000),
                    (b"app0", 0, 0x10, 0x20000, 0x100000), (b"app1", 0, 0x11, 0x120000, 0x100000))
            inputs = ((0x1000, self.loader), (table, flash_dumps.table(rows)), (table + 0x5000, flash_dumps.otadata(1)), (0x20000, new))
            bundle = self.dir / "system.srb"
            self.run_json(0, "pack", "-o", bundle, "--chip", "esp32", "--partition-table", hex(table),
                          *(word for at, part in inputs for word in (hex(at), self.write(f"{at:x}.bin", part))))
            for (kind, otadata), size in sampled(itertools.product(kinds.items(), (4 << 20, 8 << 20))):
                with self.subTest(table=hex(table), otadata=kind, size=size):
                    parts = (*inputs[:2], (table + 0x1000, flash_dumps.in_use(1)), (table + 0x5000, otadata), (0x20000, self.old_app),
                             (0x120000, self.old_app))
                    flash = self.write("dump.bin", flash_dumps.flash(*parts, size=size))
                    running = self.run_json(0, "boot", flash)["app_offset"]
                    told = self.courier(0, self.app, bundle, "--flash", flash)
                    self.assertEqual({running, told["slot_offset"]}, {0x20000, 0x120000})
                    out = self.dir / "after.bin"
                    answer = self.run_json(0, "simulate", "--flash", flash, "--upload", self.upload, "--out", out)
                    self.assertEqual((answer["result"], answer["boot"]["app_offset"]), ("ESP_OK", 0x20000))
                    after = out.read_bytes()
                    self.assertEqual(after[0x20000:0x20000 + len(new)], new)
                    self.assertEqual(after[table:table + 0x5000], flash.read_bytes()[table:table + 0x5000])


@unittest.skipUnless(FIXTURES.exists(), "no fixtures")
@unittest.skipIf(ESPTOOL is None, "no esptool")
class Stories(CourierTest):
    def setUp(self):
        super().setUp()
        self.app = self.write("app.bin", flash_dumps.carrier())

    def pack(self, *arguments):
        bundle = self.dir / "system.srb"
        self.run_json(0, "pack", "-o", bundle, "--chip", "esp32", *arguments)
        return bundle

    def run_device(self, flash, courier=COURIER):
        """The courier itself, on the simulated chip, from power-on until another system starts. @return flash and log"""
        out = self.dir / "device.bin"
        result = subprocess.run([courier, "--flash", flash, "--out", out], capture_output=True, text=True, timeout=300,
                                check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return out.read_bytes(), result.stderr

    def assert_same(self, flash, expected):
        for at in range(0, len(expected), SECTOR):
            self.assertEqual(flash[at:at + SECTOR], expected[at:at + SECTOR], f"sector at {at:#x}")

    def simulate(self, status, flash, *arguments):
        out = self.dir / "after.bin"
        out.unlink(missing_ok=True)
        return self.run_json(status, "simulate", "--flash", flash, "--upload", self.upload, "--out", out, *arguments), out

    def test_wled_to_esphome(self):
        """One upload, from either slot: once the courier is in the way of the new app, and once not."""
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs")
        image = (FIXTURES / flash_dumps.ESPHOME).read_bytes()
        parts = {0x1000: image[0x1000:0x8000], 0x8000: image[0x8000:0x9000], 0xE000: image[0xE000:0x10000], 0x10000: image[0x10000:]}
        merged = merge_bin(self.dir, *(item for offset, part in parts.items()
                                       for item in (hex(offset), self.write(f"part-{offset:x}", part))))
        for number in BOTH_SLOTS:
            before = wled(number)
            flash = self.write("dump.bin", before)
            told = self.courier(0, self.app, bundle, "--flash", flash)
            self.assertEqual((told["slot_offset"], told["slot_size"]), (SLOTS[1 - number], SLOT_SIZE))
            stored = flash_dumps.uploaded(before, self.upload.read_bytes(), SLOTS[1 - number], 2 + number)
            expected = merged[:0x9000] + before[0x9000:0xE000] + merged[0xE000:]
            after, log = self.run_device(self.write("stored.bin", stored))
            self.assert_same(after, expected)
            self.assertIn("DO NOT CUT THE POWER NOW", log)
            self.assertEqual("moving the running app" in log, number == 1)
            answer, rehearsed = self.simulate(0, flash)
            self.assertEqual(rehearsed.read_bytes(), after)
            self.assertEqual(answer["boot_before"]["app_offset"], SLOTS[1 - number])
            self.assertEqual((answer["result"], answer["boot"]["app_offset"]), ("ESP_OK", 0x10000))
            self.assertEqual((answer["bytes_downloaded"], answer["http_requests"]), (0, 0))

    def to_the_end(self, before, bundle, slot, sequence, *chip):
        """An upload to this slot, on the device and rehearsed. @return flash and answer of the rehearsal"""
        flash = self.write("dump.bin", before)
        told = self.courier(0, self.app, bundle, "--flash", flash)
        self.assertEqual(told["slot_offset"], slot)
        stored = flash_dumps.uploaded(before, self.upload.read_bytes(), slot, sequence)
        after, log = self.run_device(self.write("stored.bin", stored))
        answer, rehearsed = self.simulate(0, flash, *chip)
        self.assertEqual(rehearsed.read_bytes(), after)
        self.assertEqual((answer["boot_before"]["app_offset"], answer["result"]), (slot, "ESP_OK"))
        self.assertEqual(answer["boot"]["app_offset"], self.run_json(0, "boot", self.dir / "device.bin")["app_offset"])
        self.assertEqual("moving the running app" in log, answer["boot"]["app_offset"] == slot)
        return after, answer

    def explore(self, *arguments):
        """Of what to_the_end() has left. No power loss is told whose end is not that of the run without one."""
        if cases.SAMPLE:
            return  # test_power_is_lost() explores there, too, and C tests the same engine in more ways
        answer = self.run_json(0, "explore", "--flash", self.dir / "dump.bin", "--upload", self.upload, "--sample", "8", "--torn",
                               "1", "--cuts", "2", *arguments)
        self.assertEqual(answer["failures"], [])
        self.assertGreater(answer["states"], 16)

    def pack_small_to_large(self, app, *arguments):
        """WLED's published table with slots of 1.5 MB, and another bootloader. @return bundle, and what esptool makes of them"""
        table = self.write("table.bin", (FIXTURES / WLED_0_14_4_SYSTEM).read_bytes()[0x8000:0x9000])
        parts = ("--flash-size", "4MB", "0x1000", FIXTURES / IDF_BOOTLOADER, "0x8000", table, "0x10000", FIXTURES / app)
        return self.pack(*parts, "--keep", "nvs", *arguments), merge_bin(self.dir, *parts)

    def test_small_slots_to_large_ones(self):
        """Another bootloader and table; NVS stays, and the file system moves, over a part of itself."""
        presets = b"".join(flash_dumps.in_use(seed) for seed in range(3, 11))
        bundle, merged = self.pack_small_to_large(WLED_0_14_4, "--move", "spiffs", "--give-up", "0x150000+0x140000")
        for number in BOTH_SLOTS:
            before = flash_dumps.wled_in_small_slots(FIXTURES, number, 0xF0000, presets)
            after, _ = self.to_the_end(before, bundle, flash_dumps.SMALL_SLOTS[1 - number], 2 + number)
            self.assert_same(after, merged[:0x9000] + before[0x9000:0xE000] + merged[0xE000:])
            self.assert_same(after[0x310000:], before[0x290000:0x380000])
        self.explore()

    def test_larger_than_an_old_slot(self):
        """The new app ends in the second of the old slots: from there nothing can get out of its way."""
        bundle, merged = self.pack_small_to_large(flash_dumps.WLED_APP, "--erase", "spiffs")
        settings = self.write("settings.json", b'{"allow_temporary_table": true}')
        for number in BOTH_SLOTS:
            before = flash_dumps.wled_in_small_slots(FIXTURES, number, 0x170000, flash_dumps.in_use(3))
            flash = self.write("dump.bin", before)
            self.courier(0, self.app, bundle, "--flash", flash, "--settings", settings)
            answer, rehearsed = self.simulate(1 - number, flash)
            stored = flash_dumps.uploaded(before, self.upload.read_bytes(), flash_dumps.SMALL_SLOTS[1 - number], 2 + number)
            after, _ = self.run_device(self.write("stored.bin", stored))
            if number == 0:
                self.assertEqual((answer["plan"]["refusal"], answer["erases"]), ("running_app", 0))
                self.assert_same(after, stored[:0xE000] + after[0xE000:0x10000] + stored[0x10000:])
                self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], flash_dumps.SMALL_SLOTS[0])
            else:
                self.assertEqual(after, rehearsed.read_bytes())
                self.assert_same(after, merged[:0x9000] + before[0x9000:0xE000] + merged[0xE000:])
                self.assertEqual(after[0x310000:], b"\xff" * 0xF0000)

    def test_file_system_that_does_not_fit(self):
        """Arduino's default one is larger than what slots of 1.5 MB leave: told when it is packed, and by the device."""
        before = flash_dumps.wled_in_small_slots(FIXTURES, 0, 0x170000, flash_dumps.in_use(3))
        bundle, _ = self.pack_small_to_large(WLED_0_14_4, "--move", "spiffs")
        flash = self.write("dump.bin", before)
        result = run("pack", "-o", self.dir / "other.srb", "--chip", "esp32", "--flash-size", "4MB", "0x1000",
                     FIXTURES / IDF_BOOTLOADER, "0x8000", self.dir / "table.bin", "0x10000", FIXTURES / WLED_0_14_4, "--move",
                     "spiffs", "--old-layout", flash)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("spiffs: 1.4 MiB do not fit the 960 KiB", result.stderr)
        self.courier(0, self.app, bundle, "--flash", flash)
        answer, _ = self.simulate(1, flash)
        self.assertEqual((answer["plan"]["refusal"], answer["erases"], answer["programs"]), ("move", 0, 0))

    def test_sixteen_segments(self):
        """An app that has fifteen gets its sixteenth, and is found wherever it goes."""
        self.app = self.write("app.bin", flash_dumps.carrier(empty_segments=12))
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs")
        self.to_the_end(wled(1), bundle, SLOTS[0], 3)
        self.assertEqual(self.upload.read_bytes()[1], 16)

    def test_layout_for_all_of_the_chip(self):
        """An older WLED in its layout for 4 MB on a chip of 8 MB; the new table has slots of 2 MB."""
        table = FIXTURES / WLED_8_MB_TABLE
        bootloader = self.write("bootloader.bin", (FIXTURES / WLED_0_14_4_SYSTEM).read_bytes()[0x1000:0x8000])
        parts = ("--flash-size", "8MB", "0x1000", bootloader, "0x8000", table, "0x10000", FIXTURES / WLED_0_14_4)
        bundle = self.pack(*parts, "--keep", "nvs")
        merged = merge_bin(self.dir, *parts)
        old = (FIXTURES / flash_dumps.WLED_APP).read_bytes()
        for number in BOTH_SLOTS:
            before = flash_dumps.flash((0, (FIXTURES / WLED_0_14_4_SYSTEM).read_bytes()), (0x9000, flash_dumps.in_use(1)),
                                       (0xE000, flash_dumps.otadata(1 + number)), (SLOTS[number], old), size=8 << 20)
            after, _ = self.to_the_end(before, bundle, SLOTS[1 - number], 2 + number)
            self.assert_same(after, merged[:0x9000] + before[0x9000:0xE000] + merged[0xE000:])
        self.explore()
        # A dump of the part that the old system knows, and a chip that has no more than that.
        short = self.write("short.bin", before[:flash_dumps.FLASH_SIZE])
        answer, rehearsed = self.simulate(0, short, "--chip-size", "8M")
        self.assertEqual(rehearsed.read_bytes(), after)
        answer, _ = self.simulate(1, short)
        self.assertEqual((answer["plan"]["refusal"], answer["erases"], answer["programs"]), ("flash_size", 0, 0))

    def test_esphome_to_wled(self):
        """Back again, by WLED's own manifest."""
        manifest = FIXTURES / "wled-0.14.4/manifest.json"
        bundle = self.pack("--manifest", manifest, "--keep", "nvs")
        merged = merge_bin(self.dir, "0x0", FIXTURES / WLED_0_14_4_SYSTEM, "0x10000", FIXTURES / WLED_0_14_4)
        for number in BOTH_SLOTS:
            before = esphome(number)
            after, _ = self.to_the_end(before, bundle, ESPHOME_SLOTS[1 - number], 2 + number)
            self.assert_same(after, merged[:0x9000] + before[0x9000:0xE000] + merged[0xE000:])
        self.explore()

    def test_power_is_lost(self):
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs")
        flash = self.write("dump.bin", wled(1))
        self.courier(0, self.app, bundle, "--flash", flash)
        deep = ("--sample", "1") if cases.SAMPLE else ("--sample", "12", "--cuts", "2")
        answer = self.run_json(0, "explore", "--flash", flash, "--upload", self.upload, "--torn", "1", *deep)
        self.assertEqual(answer["failures"], [])
        self.assertGreater(answer["states"], 20)

    def test_power_is_lost_with_a_bootloader_that_goes_back(self):
        """Until the courier has confirmed itself the old app may start again, which is whole; nothing else is different. How large the
        new app is does not matter here."""
        system = (FIXTURES / flash_dumps.ESPHOME).read_bytes()[:0x10000]
        bundle = self.pack("--merged", self.write("merged.bin", system + flash_dumps.tiny_app("2.0")), "--keep", "nvs")
        for number in BOTH_SLOTS:
            flash = self.write("dump.bin", wled(number))
            self.courier(0, self.app, bundle, "--flash", flash)
            arguments = ("explore", "--flash", flash, "--upload", self.upload, "--sample", "6", "--torn", "1")
            plain, answer = self.run_json(0, *arguments), self.run_json(0, *arguments, "--rollback")
            self.assertEqual(answer["failures"], [])
            self.assertEqual(plain["outcomes"]["went_back"], 1, "while its entry of otadata is erased")
            self.assertGreater(answer["outcomes"]["went_back"], 1)
            self.assertEqual(answer["window_ms"], plain["window_ms"])
            self.assertLess(answer["states"], plain["states"] + 20)

    def test_no_slot_takes_the_courier(self):
        """The new system has an app in each of the old slots: one way or the other, but only if the settings allow it."""
        rows = ((b"nvs", 1, 2, 0x9000, 0x5000), (b"otadata", 1, 0, 0xE000, 0x2000), (b"ota_0", 0, 0x10, 0x10000, 0x10000),
                (b"ota_1", 0, 0x11, 0x190000, 0x10000))
        apps = [flash_dumps.tiny_app(version).ljust(3 * SECTOR, b"\xff") for version in ("2.0", "3.0")]
        bundle = self.pack("0x8000", self.write("table.bin", flash_dumps.table(rows)), "0xe000",
                           self.write("otadata.bin", flash_dumps.otadata(1)), "0x10000", self.write("2.bin", apps[0]), "0x190000",
                           self.write("3.bin", apps[1]))
        before = wled(0)
        flash = self.write("dump.bin", before)
        self.courier(0, self.app, bundle, "--flash", flash)
        answer, _ = self.simulate(1, flash)
        self.assertEqual((answer["plan"]["refusal"], answer["erases"], answer["programs"]), ("running_app", 0, 0))
        for way in ("temporary_table", "in_place"):
            settings = self.write("settings.json", json.dumps({f"allow_{way}": True}).encode())
            self.courier(0, self.app, bundle, "--flash", flash, "--settings", settings)
            answer, rehearsed = self.simulate(0, flash)
            self.assertEqual((answer["result"], answer["plan"]["relocation"]), ("ESP_OK", way))
            stored = flash_dumps.uploaded(before, self.upload.read_bytes(), SLOTS[1], 2)
            after, _ = self.run_device(self.write("stored.bin", stored))
            self.assertEqual(after, rehearsed.read_bytes())
            for place, app in zip(SLOTS, apps):
                self.assertEqual(after[place:place + len(app)], app)
            self.assertEqual(after[0x8000:0x9000], flash_dumps.table(rows))
            self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], 0x10000)

    def test_wled_to_tasmota_by_url(self):
        """What does not fit into a slot is fetched, and the courier is in its way wherever it is stored."""
        key, public = self.keys()
        (self.dir / "served").mkdir()
        bundle = self.pack("--merged", FIXTURES / TASMOTA, "--keep", "nvs", "--sign", key)
        shutil.copy(bundle, self.dir / "served")
        app = self.write("online.bin", flash_dumps.carrier(code_size=700 << 10, settings=WITH_WIFI))
        settings = self.write("settings.json", b'{"wifi_ssid": "home", "allow_temporary_table": true}')
        before = wled(1)
        flash = self.write("dump.bin", before)
        self.assert_refused(1, ("--url",), self.app, bundle, "--flash", flash)
        image = merge_bin(self.dir, "0x0", FIXTURES / TASMOTA)
        with servers.Plain(self.dir / "served") as server:
            self.run_json(0, "courier", "-o", self.upload, "--app", app, "--url", server.url(bundle.name), "--public-key", public,
                          "--settings", settings, "--flash", flash)
            stored = self.write("stored.bin", flash_dumps.uploaded(before, self.upload.read_bytes(), SLOTS[0], 3))
            after, log = self.run_device(stored, COURIER_WIFI)
            answer, rehearsed = self.simulate(0, flash)
        self.assertIn("connected to 'home'", log)
        self.assert_same(after, image[:0x9000] + before[0x9000:0xE000] + image[0xE000:])
        self.assertEqual(rehearsed.read_bytes(), after)
        self.assertEqual((answer["result"], answer["plan"]["relocation"]), ("ESP_OK", "temporary_table"))
        self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], answer["boot"]["app_offset"])
        # And with nobody there to ask.
        after, log = self.run_device(stored, COURIER_WIFI)
        self.assertIn("starting the app in 'app1'", log)
        self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], SLOTS[1])
        result = run("explore", "--flash", flash, "--upload", self.upload, "--sample", "1")
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("carries no bundle", result.stderr)

    def serve_without_the_key(self, root):
        """All that a server can hand out besides the bundle: by name, what is no bundle of this key."""
        other = self.dir / "other.pem"
        self.assertEqual(run("keygen", "-o", other, "--public", self.dir / "other-public.pem").returncode, 0)
        system = ("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs")
        signed = self.pack(*system, "--sign", self.keys()[0]).read_bytes()
        changed, manifest = bytearray(signed), bytearray(signed)
        changed[len(changed) // 2] ^= 1
        manifest[0x58] ^= 1  # of a region
        root.mkdir()
        for name, content in (("good.srb", signed), ("changed.srb", changed), ("manifest.srb", manifest), ("app.srb", self.app.read_bytes()),
                              ("unsigned.srb", self.pack(*system).read_bytes()), ("short.srb", signed[:len(signed) // 2]),
                              ("others.srb", self.pack(*system, "--sign", other, "--sequence", "9").read_bytes())):
            (root / name).write_bytes(content)

    def test_server_without_the_key(self):
        """Whatever a server or a redirect hands out, nothing is written but what selects the old app. Behind a manifest that is signed,
        sectors may come that it describes, and nothing else."""
        _, public = self.keys()
        self.serve_without_the_key(self.dir / "served")
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_WIFI))
        settings = self.write("settings.json", b'{"wifi_ssid": "home"}')
        image = (FIXTURES / flash_dumps.ESPHOME).read_bytes()
        image = image.ljust(-(-len(image) // SECTOR) * SECTOR, b"\xff")
        known = {image[at:at + SECTOR] for at in range(0, len(image), SECTOR)} | {b"\xff" * SECTOR}
        with servers.Moody(self.dir / "served") as server:
            for path, boots in sampled((("unsigned.srb", SLOTS[0]), ("others.srb", SLOTS[0]), ("manifest.srb", SLOTS[0]),
                                        ("app.srb", SLOTS[0]), ("redirect?to=/others.srb", SLOTS[0]),
                                        ("redirect?to=/unsigned.srb", SLOTS[0]), ("redirect-loop", SLOTS[0]), ("gone.srb", SLOTS[0]),
                                        ("short.srb", SLOTS[1]), ("changed.srb", SLOTS[1]), ("redirect?to=/good.srb", 0x10000))):
                with self.subTest(path=path):
                    self.run_json(0, "courier", "-o", self.upload, "--app", app, "--url", server.url(path), "--public-key", public,
                                  "--settings", settings)
                    stored = flash_dumps.uploaded(wled(0), self.upload.read_bytes(), SLOTS[1], 2)
                    after, _ = self.run_device(self.write("stored.bin", stored), COURIER_WIFI)
                    self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], boots)
                    if path.endswith("good.srb"):
                        self.assert_same(after[0x10000:], image[0x10000:])
                    elif boots == SLOTS[0]:
                        self.assertEqual(after[:0xE000] + after[0x10000:], stored[:0xE000] + stored[0x10000:])
                    else:  # it keeps trying, from where it is
                        self.assert_same(after[:0xE000], stored[:0xE000])
                        self.assert_same(after[SLOTS[1]:SLOTS[1] + app.stat().st_size], self.upload.read_bytes()[:app.stat().st_size])
                        strange = [after[at:at + SECTOR] for at in range(0x10000, len(after), SECTOR)
                                   if after[at:at + SECTOR] not in known | {stored[at:at + SECTOR]}]
                        self.assertEqual(len(strange), 1)  # the mark of an installation: docs/bundle-format.md
                        self.assertEqual((strange[0][:8], strange[0][24:]), (b"SRTODO\r\n", b"\xff" * (SECTOR - 24)))

    def test_new_app_is_not_taken_for_the_old_one(self):
        """The server fails in the middle, and is gone later, when the new app is whole where the old one was, and its system is not
        there. What was confirmed may have come so far, and stays."""
        key, public = self.keys()
        (self.dir / "served").mkdir()
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs", "--sign", key)
        shutil.copy(bundle, self.dir / "served")
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_WIFI))
        settings = self.write("settings.json", b'{"wifi_ssid": "home"}')
        before = wled(0)
        with servers.Moody(self.dir / "served") as server:
            self.run_json(0, "courier", "-o", self.upload, "--app", app, "--url", server.url("drop/system.srb?after=400000"),
                          "--public-key", public, "--settings", settings)
            stored = flash_dumps.uploaded(before, self.upload.read_bytes(), SLOTS[1], 2)
            after, log = self.run_device(self.write("stored.bin", stored), COURIER_WIFI)
        self.assertIn("writing what the old system does not need", log)
        self.assertNotEqual(after[SLOTS[0]:SLOTS[1]], before[SLOTS[0]:SLOTS[1]])
        new = (FIXTURES / flash_dumps.ESPHOME).read_bytes()[0x10000:]
        half = after[:SLOTS[0]] + new + after[SLOTS[0] + len(new):]
        after, log = self.run_device(self.write("half.bin", half), COURIER_WIFI)
        self.assertIn("may be the new one", log)
        self.assertEqual(after, half)
        self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], SLOTS[1])

    def test_bundle_inside_needs_no_network(self):
        """The courier that can fetch takes what it carries, and one that cannot does not take a URL."""
        app = self.write("online.bin", flash_dumps.carrier(settings=WITH_WIFI))
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs")
        before = wled(0)
        self.courier(0, app, bundle)
        stored = flash_dumps.uploaded(before, self.upload.read_bytes(), SLOTS[1], 2)
        _, log = self.run_device(self.write("stored.bin", stored), COURIER_WIFI)
        self.assertNotIn("connected", log)
        self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], SLOTS[0])
        content = flash_dumps.with_cargo(self.app.read_bytes(), (("public_key", ""), ("url", URL)), b"")
        stored = flash_dumps.uploaded(before, content, SLOTS[1], 2)
        _, log = self.run_device(self.write("stored.bin", stored))
        self.assertIn("carries no bundle", log)
        self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], SLOTS[0])

    def test_cargo_of_3_mb_that_has_to_move(self):
        """Slots of 6 MiB; the new app is 2.9 MiB of noise, where the courier is stored."""
        bootloader = (FIXTURES / flash_dumps.WLED_SYSTEM).read_bytes()[0x1000:0x8000]
        layout = flash_dumps.big_table(6 << 20, 0xC10000)
        old = flash_dumps.tiny_app("1.0")
        before = flash_dumps.flash((0x1000, flash_dumps.big_bootloader(bootloader, 0)), (0x8000, layout),
                                   (0x9000, flash_dumps.in_use(1)), (0xD000, flash_dumps.otadata(2)), (0x610000, old),
                                   size=flash_dumps.BIG_FLASH_SIZE)
        app = bytearray(flash_dumps.carrier(code_size=0x2E0000, magic=random.Random(2).randbytes(8)))
        new_app, table = self.write("new.bin", bytes(app)), self.write("table.bin", layout)
        bundle = self.pack("0x8000", table, "0xd000", self.write("otadata.bin", flash_dumps.otadata(1)), "0x10000", new_app)
        flash = self.write("dump.bin", before)
        self.assertGreater(self.courier(0, self.app, bundle, "--flash", flash)["bundle_size"], 2.8 * (1 << 20))
        answer, rehearsed = self.simulate(0, flash)
        self.assertEqual((answer["boot_before"]["app_offset"], answer["plan"]["relocate_to"]), (0x10000, 0x610000))
        content = new_app.read_bytes()
        content = content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\xff")
        self.assert_same(rehearsed.read_bytes(), before[:0xD000] + flash_dumps.otadata(1) + before[0xF000:0x10000] + content)
        self.assertEqual(answer["boot"]["app_offset"], 0x10000)

    def test_old_app_comes_back_if_it_is_refused(self):
        """A system for a larger flash than the device has. Nothing is written but what selects the old app."""
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--flash-size", "16MB")
        for number in BOTH_SLOTS:
            before = wled(number)
            self.courier(0, self.app, bundle, "--slot-size", hex(SLOT_SIZE))
            stored = flash_dumps.uploaded(before, self.upload.read_bytes(), SLOTS[1 - number], 2 + number)
            after, log = self.run_device(self.write("stored.bin", stored))
            self.assertIn("refused: ", log)
            self.assertIn("starting the app in", log)
            self.assertEqual(after[:0xE000] + after[0x10000:], stored[:0xE000] + stored[0x10000:])
            booted = self.run_json(0, "boot", self.dir / "device.bin")
            self.assertEqual(booted["app_offset"], SLOTS[number])

    def test_old_app_comes_back_if_there_is_no_cargo(self):
        before = wled(0)
        damaged = bytearray(flash_dumps.with_cargo(self.app.read_bytes(), (("NAME", ""),), b"bundle"))
        for app in (self.app.read_bytes(), bytes(damaged), flash_dumps.with_cargo(self.app.read_bytes(), (), b"")):
            stored = flash_dumps.uploaded(before, app, SLOTS[1], 2)
            after, log = self.run_device(self.write("stored.bin", stored))
            self.assertIn("carries no bundle", log)
            self.assertEqual(after[:0xE000] + after[0x10000:], stored[:0xE000] + stored[0x10000:])
            self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], SLOTS[0])

    def test_it_stays_where_no_other_app_is_whole(self):
        before = bytearray(wled(0))
        before[SLOTS[0] + 0x1000] ^= 1
        stored = flash_dumps.uploaded(bytes(before), self.app.read_bytes(), SLOTS[1], 2)
        after, log = self.run_device(self.write("stored.bin", stored))
        self.assertEqual(after, stored)
        self.assertEqual(log.count("no other app is whole"), 10)  # the simulated chip's last start
        self.assertEqual(self.run_json(0, "boot", self.dir / "device.bin")["app_offset"], SLOTS[1])

    def test_bootloader_with_rollback(self):
        """The app that was uploaded is on probation, and confirms itself once the bundle is known to be good."""
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs")
        flash = self.write("dump.bin", wled(1))
        self.courier(0, self.app, bundle, "--flash", flash)
        answer, _ = self.simulate(0, flash, "--rollback")
        self.assertEqual((answer["result"], answer["boot"]["app_offset"]), ("ESP_OK", 0x10000))

    def test_uploads_that_would_not_start(self):
        bundle = self.pack("--merged", FIXTURES / flash_dumps.ESPHOME, "--keep", "nvs")
        flash = self.write("dump.bin", wled(0))
        self.courier(0, self.app, bundle, "--flash", flash)
        content = bytearray(self.upload.read_bytes())
        for change in (len(content) // 2, len(content) - 1):
            changed = content[:]
            changed[change] ^= 1
            result = run("simulate", "--flash", flash, "--upload", self.write("changed.bin", changed))
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn("would not start from slot app1", result.stderr)
        result = run("simulate", "--flash", flash, "--upload", self.write("cut.bin", content[:-1000]))
        self.assertEqual(result.returncode, 1, result.stderr)
        result = run("simulate", "--flash", flash, "--upload", bundle)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn(f"{bundle} is a bundle", result.stderr)
        self.assertIn("what the courier command makes is needed", result.stderr)

    def test_slots_that_are_not_there(self):
        bundle = self.small_bundle()
        single = flash_dumps.table(((b"nvs", 1, 2, 0x9000, 0x6000), (b"factory", 0, 0, 0x10000, 0x180000)))
        content = wled(0)
        flash = self.write("single.bin", content[:0x8000] + single + content[0x9000:])
        self.assert_refused(3, ("no other slot",), self.app, bundle, "--flash", flash)
        self.courier(0, self.app, bundle)
        result = run("simulate", "--flash", flash, "--upload", self.upload)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("no other slot", result.stderr)
        small = self.write("small.bin", content)
        large = self.write("large.bin", flash_dumps.with_cargo(self.app.read_bytes(), (), bytes(SLOT_SIZE)))
        result = run("simulate", "--flash", small, "--upload", large)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("1,572,864", result.stderr)

    def test_rehearsal_tells_an_app_without_cargo(self):
        flash = self.write("dump.bin", wled(0))
        shutil.copy(self.app, self.upload)
        answer, out = self.simulate(1, flash)
        self.assertEqual((answer["result"], answer["erases"], answer["programs"]), ("ESP_ERR_NOT_FOUND", 0, 0))

    def test_upload_excludes_other_sources(self):
        flash = self.write("dump.bin", wled(0))
        for arguments in (("--bundle", "x.srb"), ("--public-key", "x.pem"), ("--allow-unsigned",), ("--allow-in-place",),
                          ("--allow-temporary-table",), ("--min-sequence", "1"), ("--skip-check", "app"),
                          ("0x10000", "x.bin")):
            self.assertEqual(run("simulate", "--flash", flash, "--upload", self.app, *arguments).returncode, 2, arguments)


if __name__ == "__main__":
    runner.main(sys.argv[6:])
