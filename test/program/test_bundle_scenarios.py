#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bundles from end to end: packed from what others publish, signed, served, applied by an app on the simulated chip.

What must be in flash afterwards is compared with what esptool makes of the same files; it is taken from the virtual
environment that SELF_REFLASHER_VENV names, else from PATH.

usage: test_bundle_scenarios.py PROGRAM DEMO_IMAGES FIXTURES
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import unittest

import cases
import flash_dumps
import runner
import servers

DEMO_IMAGES = sys.argv[2]
run = cases.run
FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[3])
SECTOR = flash_dumps.SECTOR
FLASH_SIZE = flash_dumps.FLASH_SIZE
SIGNATURE = 80
MOST_HEAP = 48 << 10
PLAN = {"refusal", "refusal_text", "sectors_total", "sectors_right", "sectors_to_write", "sectors_boot_path",
        "sectors_given_up", "sectors_moved", "bytes_to_download", "flash_ms_typical", "flash_ms_maximum", "window_ms_typical",
        "window_ms_maximum", "must_relocate", "relocate_to", "staging_address", "recovery_address", "relocation",
        "relocation_ms_typical", "relocation_ms_maximum", "sectors_left", "sequence", "installed", "app_address",
        "bytes_missing"}
ROUNDS = 40
VENV = os.environ.get("SELF_REFLASHER_VENV")
ESPTOOL = shutil.which("esptool", path=f"{VENV}/bin" if VENV else None)


def sectors(content):
    return [content[at:at + SECTOR] for at in range(0, len(content), SECTOR)]


class BundleTest(cases.InOneFolder):
    @classmethod
    def setUpClass(cls):
        if not FIXTURES.exists():
            raise unittest.SkipTest("no fixtures")
        super().setUpClass()
        cls.root = cls.dir / "served"
        cls.root.mkdir()
        cls.key, cls.public_key = cls.dir / "key.pem", cls.dir / "public.pem"
        assert run("keygen", "--out", cls.key, "--public", cls.public_key).returncode == 0

    def pack(self, name, *arguments):
        """A signed bundle in the served folder."""
        path = self.root / name
        self.run_json(0, "pack", "-o", path, "--chip", "esp32", "--sign", self.key, *arguments)
        return path

    def simulate(self, status, flash, *arguments):
        """The answer and the flash afterwards."""
        out = self.dir / "after.bin"
        out.unlink(missing_ok=True)
        answer = self.run_json(status, "simulate", "--flash", flash, "--out", out, "--public-key", self.public_key,
                               *arguments)
        self.assertEqual(answer["plan"].keys(), PLAN)
        return answer, out.read_bytes()

    def from_server(self, status, flash, server, path, *arguments):
        trust = ("--ca", server.ca) if server.ca is not None else ()
        return self.simulate(status, flash, "--url", server.url(path), *trust, *arguments)

    def tell(self, what, answer):
        print(f"{what}: peak heap {answer['peak_heap']}, {answer['bytes_downloaded']} bytes in "
              f"{answer['http_requests']} requests, {answer['retries']} retries, window {answer['window_ms']:.0f} ms, "
              f"planned {answer['plan']['bytes_to_download']}, staged in {'RAM' if answer['plan']['staging_address'] is None else 'flash'}", file=sys.stderr)

    def manifest_size(self, bundle):
        return int.from_bytes(bundle.read_bytes()[16:20], "little")

    def assert_same(self, flash, expected):
        for number, (got, wanted) in enumerate(zip(sectors(flash), sectors(expected), strict=True)):
            self.assertEqual(got, wanted, f"sector at {number * SECTOR:#x}")

    def assert_untouched(self, answer, flash, before):
        self.assertEqual((answer["erases"], answer["programs"], answer["window_ms"]), (0, 0, 0))
        self.assertEqual(flash, before)

    def assert_refused(self, answer, flash, before, why, *words):
        self.assertEqual(answer["result"], "ESP_ERR_SELF_REFLASHER_REFUSED")
        self.assertEqual(answer["plan"]["refusal"], why)
        self.assertTrue(answer["plan"]["refusal_text"])
        for word in words:
            self.assertIn(word, answer["plan"]["refusal_text"])
        self.assert_untouched(answer, flash, before)

    def assert_applied(self, answer, flash, expected, most_heap=MOST_HEAP):
        self.assertEqual((answer["result"], answer["plan"]["refusal"]), ("ESP_OK", None))
        self.assert_same(flash, expected)
        self.assertIn(answer["boot"]["outcome"], ("boots", "swaps_then_boots"))
        self.assertEqual(answer["boot"]["app_offset"], 0x10000)
        self.assertEqual(self.run_json(0, "boot", self.dir / "after.bin"), answer["boot"])
        self.assertLessEqual(answer["peak_heap"], most_heap)

    def assert_second_run_reads_only(self, flash, bundle, *source):
        again = self.dir / "again.bin"
        again.write_bytes(flash)
        answer, after = self.simulate(0, again, *source)
        self.assert_untouched(answer, after, flash)
        self.assertEqual(answer["plan"]["sectors_to_write"], 0)
        if "--url" in source:
            self.assertEqual(answer["bytes_downloaded"], self.manifest_size(bundle) + SIGNATURE)
            self.assertEqual(answer["http_requests"], 1)


def merge_bin(folder, base, *parts):
    """What esptool makes of these parts: content from @base on, to the end of its last sector."""
    out = folder / "merged.bin"
    subprocess.run([ESPTOOL, "--chip", "esp32", "merge-bin", "--target-offset", hex(base), "-o", out, *map(str, parts)],
                   check=True, capture_output=True)
    content = out.read_bytes()
    return content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\xff")


@unittest.skipIf(ESPTOOL is None, "no esptool")
class Systems(BundleTest):
    """From one published system to another."""

    def migrate(self, name, before, base, merged, bundle, servers_to_try):
        flash = self.write(f"{name}.bin", before)
        expected = bytearray(before)
        expected[base:base + len(merged)] = merged
        inspected = self.run_json(0, "inspect", bundle)
        self.assertEqual((inspected["regions"][0]["offset"], sum(r["size"] for r in inspected["regions"])),
                         (base, len(merged)))
        for server in servers_to_try:
            with server as running, self.subTest(type(running).__name__):
                answer, after = self.from_server(0, flash, running, bundle.name)
                self.tell(f"{name}, {type(running).__name__}", answer)
                self.assert_applied(answer, after, expected)
                self.assertEqual(answer["retries"], 0)
                # Without ranges, fetching something a second time, which had no room in RAM, also fetches everything in front
                # of it again.
                most = 1.02 if isinstance(running, servers.Nginx) else 1.08
                self.assertLessEqual(answer["bytes_downloaded"], most * answer["plan"]["bytes_to_download"])
                if isinstance(running, servers.Nginx):
                    self.assert_plain_requests(running, answer)
                if answer["boot"]["loader"] == "ESP-IDF":  # MCUboot starts no app that could run the component again
                    trust = ("--ca", running.ca) if running.ca is not None else ()
                    self.assert_second_run_reads_only(after, bundle, "--url", running.url(bundle.name), *trust)
        return flash, expected

    def assert_plain_requests(self, nginx, answer):
        requests = nginx.requests()
        self.assertEqual({(status, method) for _, status, _, method, _ in requests}, {(206, "GET")})
        self.assertEqual(len({connection for connection, *_ in requests}), 1)
        self.assertEqual(len(requests), answer["http_requests"])
        self.assertLess(len(requests), 12)  # adjacent chunks come in one: there are 25

    def both_servers(self):
        yield servers.Plain(self.root)
        if servers.NGINX is not None:
            yield servers.Nginx(self.root, self.dir / f"nginx{len(list(self.dir.glob('nginx*')))}")

    def test_esphome_to_wled(self):
        bundle = self.pack("wled.srb", "--manifest", FIXTURES / "wled/json/manifest.json")
        merged = merge_bin(self.dir, 0, "0x0", FIXTURES / flash_dumps.WLED_SYSTEM, "0x10000",
                           FIXTURES / flash_dumps.WLED_APP)
        self.migrate("ESPHome to WLED", flash_dumps.esphome(FIXTURES), 0, merged, bundle, self.both_servers())

    def test_wled_to_esphome(self):
        bundle = self.pack("esphome.srb", "--manifest", FIXTURES / "esphome/manifest.json")
        merged = merge_bin(self.dir, 0, "0x0", FIXTURES / flash_dumps.ESPHOME)
        self.migrate("WLED to ESPHome", flash_dumps.wled(FIXTURES), 0, merged, bundle, self.both_servers())

    def test_wled_to_esphome_with_a_bolder_flash_mode(self):
        bundle = self.pack("bold.srb", "--manifest", FIXTURES / "esphome/manifest.json", "--flash-mode", "qio")
        before = flash_dumps.wled(FIXTURES)
        flash = self.write("wled.bin", before)
        answer, after = self.simulate(1, flash, "--bundle", bundle)
        self.assert_refused(answer, after, before, "flash_mode", "QIO", "DOUT")
        system = self.write("system.bin", (FIXTURES / flash_dumps.ESPHOME).read_bytes()[0x1000:])
        image = merge_bin(self.dir, 0, "--flash-mode", "qio", "0x1000", system)
        answer, after = self.simulate(0, flash, "--bundle", bundle, "--skip-check", "flash-mode")
        self.assert_applied(answer, after, image + before[len(image):])

    def test_a_flash_without_free_place(self):
        """What would be staged waits in RAM: all else is the same, but it needs more RAM."""
        generator = random.Random(1)
        before = flash_dumps.wled(FIXTURES)
        before = before[:0x10000] + b"".join(
            generator.randbytes(SECTOR) if sector == b"\xff" * SECTOR else sector for sector in sectors(before[0x10000:]))
        bundle = self.pack("esphome.srb", "--manifest", FIXTURES / "esphome/manifest.json")
        answer, after = self.simulate(0, self.write("full.bin", before), "--bundle", bundle)
        self.tell("WLED to ESPHome, full flash", answer)
        self.assertIsNone(answer["plan"]["staging_address"])
        image = (FIXTURES / flash_dumps.ESPHOME).read_bytes()
        image = image.ljust(-(-len(image) // SECTOR) * SECTOR, b"\xff")
        self.assert_applied(answer, after, image + before[len(image):],
                            most_heap=MOST_HEAP + answer["plan"]["sectors_boot_path"] * SECTOR)

    def idf_to_mcuboot(self):
        subprocess.run([DEMO_IMAGES, self.dir], check=True, stdout=subprocess.DEVNULL)
        image = FIXTURES / flash_dumps.MERGED_NUTTX
        bundle = self.pack("nuttx.srb", "--merged", f"{image}@0x1000")
        return (self.dir / "old-flash.bin").read_bytes(), image.read_bytes(), bundle

    def test_idf_to_mcuboot(self):
        before, image, bundle = self.idf_to_mcuboot()
        flash, expected = self.migrate("ESP-IDF to MCUboot", before, 0x1000, image, bundle, self.both_servers())
        answer, after = self.simulate(0, flash, "--bundle", bundle)
        self.assert_applied(answer, after, expected)

    def test_idf_to_mcuboot_embedded(self):
        before, image, bundle = self.idf_to_mcuboot()
        content = bundle.read_bytes()
        self.assertEqual(len(image), 1110016)
        self.assertLess(len(content), 100000)
        print(f"embedded bundle: {len(content)} bytes, merged image {len(image)}", file=sys.stderr)
        before = before[:0x120000] + content + before[0x120000 + len(content):]
        flash = self.write("embedded.bin", before)
        source = ("--bundle", f"flash:0x120000+{len(content)}")
        answer, after = self.simulate(0, flash, *source)
        self.tell("ESP-IDF to MCUboot, embedded", answer)
        self.assert_applied(answer, after, before[:0x1000] + image + before[0x1000 + len(image):])
        self.assertEqual((answer["bytes_downloaded"], answer["http_requests"]), (0, 0))
        self.assertEqual(answer["plan"]["bytes_to_download"], 0)


class Update(BundleTest):
    def test_only_the_chunks_that_differ_travel(self):
        app = bytearray((FIXTURES / flash_dumps.WLED_APP).read_bytes())
        for at in (0x8123, 0x8456, 0x60000, 0x110000):
            app[at:at + 8] = b"new code"
        newer = self.write("newer.bin", flash_dumps.reseal(app))
        if ESPTOOL is not None:
            told = subprocess.run([ESPTOOL, "image-info", newer], check=True, capture_output=True, text=True).stdout
            self.assertRegex(told, r"Checksum: 0x\w+ \(valid\)")
            self.assertRegex(told, r"(?i)validation hash: \w+ \(valid\)")
        bundle = self.pack("newer.srb", "0x10000", newer, "0xe000", self.write("otadata.bin", flash_dumps.otadata(3)))
        before = flash_dumps.wled(FIXTURES)
        flash = self.write("older.bin", before)
        planned = self.run_json(0, "diff", bundle, flash)
        self.assertLessEqual(planned["chunks"], 5)
        with servers.Moody(self.root) as server:
            answer, after = self.from_server(0, flash, server, bundle.name)
            requests = server.requests()
        self.tell("newer over older", answer)
        self.assertEqual(answer["result"], "ESP_OK")
        content = newer.read_bytes()
        self.assert_same(after, before[:0xE000] + flash_dumps.otadata(3) + content + before[0x10000 + len(content):])
        self.assertEqual(answer["bytes_downloaded"], planned["bytes_to_download"])
        self.assertEqual(answer["plan"]["bytes_to_download"], planned["bytes_to_download"])
        self.assertLess(answer["bytes_downloaded"], bundle.stat().st_size / 2)
        # And the record of the last step, which is otadata: mark, list, two sectors of manifest, otadata's.
        self.assertEqual(answer["sectors_written"], planned["sectors_to_program"] + 5)
        self.assertLessEqual(len(requests), planned["chunks"] + 1)
        self.assertEqual(len({connection for connection, *_ in requests}), 1)
        self.assertEqual(answer["window_ms"], 0)


class DataLost(BundleTest):
    """What of the old system's data goes, and with which option it stays, before anybody goes to the device."""

    def lost(self, flash, bundle):
        told = self.run_json(0, "diff", bundle, flash)["data_lost"]
        answer, _ = self.simulate(0, flash, "--bundle", bundle)
        self.assertEqual(answer["data_lost"], told)
        text = run("diff", bundle, flash).stdout
        self.assertEqual(text.count("data lost"), len(told))
        return {partition["label"]: (partition["sectors_used"], partition["sectors_lost"]) for partition in told}

    def test_what_goes_and_what_stays(self):
        content = bytearray(flash_dumps.wled(FIXTURES))
        content[0x310000:0x312000] = flash_dumps.in_use(8)
        flash = self.write("used.bin", bytes(content))
        system = ("--manifest", FIXTURES / "esphome/manifest.json")
        # ESPHome's second slot ends past the start of WLED's file system, which stays: nothing is written there.
        self.assertEqual(self.lost(flash, self.pack("all.srb", *system)), {"nvs": (3, 3)})
        self.assertEqual(self.lost(flash, self.pack("kept.srb", *system, "--keep", "nvs")), {})
        self.assertEqual(self.lost(flash, self.pack("moved.srb", *system, "--move", "nvs", "--old-layout", flash)), {})
        erased = self.pack("erased.srb", *system, "--erase", "0x310000+0x1000", "--keep", "nvs")
        self.assertEqual(self.lost(flash, erased), {"spiffs": (2, 1)})
        self.assertIn("pack --keep spiffs", run("diff", erased, flash).stdout)

    def test_what_is_given_up_may_go(self):
        """Though the new system leaves it alone."""
        content = bytearray(flash_dumps.wled(FIXTURES))
        content[0x310000:0x312000] = flash_dumps.in_use(8)
        flash = self.write("used.bin", bytes(content))
        for place in ("spiffs", "0x310000+0x1000"):
            given = self.pack("given.srb", "--manifest", FIXTURES / "esphome/manifest.json", "--keep", "nvs", "--give-up", place)
            for told in (self.run_json(0, "diff", given, flash), self.simulate(0, flash, "--bundle", given)[0]):
                self.assertEqual([(partition["label"], partition["given_up"]) for partition in told["data_lost"]],
                                 [("spiffs", True)])
            self.assertIn("lost from the first moment on", " ".join(run("diff", given, flash).stdout.split()))

    def test_pack_tells_with_the_dump_at_hand(self):
        flash = self.write("used.bin", flash_dumps.wled(FIXTURES))
        words = ("pack", "-o", self.dir / "told.srb", "--manifest", FIXTURES / "esphome/manifest.json", "--old-layout")
        result = run(*words, flash)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("warning: data is lost: nvs: 3 of 3 sectors", result.stderr)
        self.assertNotIn("data is lost", run(*words, flash, "--keep", "nvs").stderr)
        table = self.write("table.bin", flash_dumps.wled(FIXTURES)[0x8000:0x8C00])
        self.assertNotIn("data is lost", run(*words, table).stderr)
        (self.dir / "told.srb").unlink()
        self.assertEqual(run(*words, self.write("none.bin", b"no table" * 999)).returncode, 3)
        self.assertFalse((self.dir / "told.srb").exists())


class KeepBootloader(BundleTest):
    """Where the old bootloader boots the new system as well, it is told what leaving it alone makes of the window."""

    def advice(self, flash, bundle):
        told = self.run_json(0, "diff", bundle, flash)["keep_bootloader"]
        answer, _ = self.simulate(0, flash, "--bundle", bundle)
        self.assertEqual(answer["keep_bootloader"], told)
        text = " ".join(run("diff", bundle, flash).stdout.split())
        self.assertEqual("pack --keep-bootloader the last step takes" in text, told is not None)
        return told, answer["plan"]

    def test_what_is_advised_is_what_comes(self):
        flash = self.write("old.bin", flash_dumps.wled(FIXTURES))
        system = ("--manifest", FIXTURES / "esphome/manifest.json")
        told, plan = self.advice(flash, self.pack("with.srb", *system))
        self.assertLess(told["window_ms_maximum"], plan["window_ms_maximum"])
        nothing, kept = self.advice(flash, self.pack("without.srb", *system, "--keep-bootloader"))
        self.assertIsNone(nothing)
        self.assertEqual(told, {name: kept[name] for name in ("window_ms_typical", "window_ms_maximum")})

    def test_a_bootloader_that_knows_less_flash_is_not_to_be_kept(self):
        system = (FIXTURES / flash_dumps.WLED_SYSTEM).read_bytes()
        bootloader = flash_dumps.big_bootloader(flash_dumps.image_at(system, 0x1000), 1)
        flash = self.write("old.bin", flash_dumps.wled(FIXTURES).ljust(16 << 20, b"\xff"))
        bundle = self.pack("big.srb", "0x1000", self.write("boot.bin", bootloader), "0x8000",
                           self.write("table.bin", flash_dumps.big_table(6 << 20, 0xC10000)[:0xC00]), "0x10000",
                           self.write("app.bin", flash_dumps.tiny_app("2.0")))
        self.assertIsNone(self.advice(flash, bundle)[0])


class NewAppStarts(BundleTest):
    """If a bundle brings an app, that one starts when all is done, whatever is in otadata; or nothing is touched."""

    def wled_bundle(self, *arguments):
        app = bytearray((FIXTURES / flash_dumps.WLED_APP).read_bytes())
        app[0x30:0x30 + 5] = b"9.9.9"
        system = (FIXTURES / flash_dumps.WLED_SYSTEM).read_bytes()
        return self.pack("wled.srb", "0x1000", self.write("boot.bin", system[0x1000:0x8000]), "0x8000",
                         self.write("table.bin", system[0x8000:0x8C00]), "0x10000",
                         self.write("new.bin", flash_dumps.reseal(app)), *arguments)

    def devices(self):
        """WLED in each slot, each with any otadata; and after a fallback, as the slot that is selected is empty."""
        content = flash_dumps.wled(FIXTURES)
        for sequence in (1, 2, 3, 0x80000002):
            yield content[:0xE000] + flash_dumps.otadata(sequence) + content[0x10000:], 0x10000 + (sequence - 1) % 2 * 0x180000
        yield content[:0x10000] + b"\xff" * 0x180000 + content[0x190000:], 0x190000
        yield content[:0xE000] + flash_dumps.otadata(1) + b"\xff" * 0x180000 + content[0x190000:], 0x190000

    def test_otadata_that_pack_adds(self):
        bundle = self.wled_bundle()
        for content, app in self.devices():
            flash = self.write("device.bin", content)
            answer, after = self.simulate(0, flash, "--bundle", bundle)
            self.assertEqual((answer["boot_before"]["app_offset"], answer["boot"]["app_offset"]), (app, 0x10000))
            self.assertEqual((answer["plan"]["app_address"], answer["new_app_missed"]), (0x10000, False))
            self.assertIn(b"9.9.9", after[0x10000:0x10040])

    def test_otadata_that_is_kept(self):
        bundle = self.wled_bundle("--keep", "otadata")
        for content, app in self.devices():
            # It would have to move, and be selected at its new place; or it is the one that starts today.
            flash = self.write("device.bin", content)
            answer, after = self.simulate(1, flash, "--bundle", bundle)
            self.assertEqual((answer["result"], answer["plan"]["refusal"]), ("ESP_ERR_SELF_REFLASHER_REFUSED", "app"))
            self.assertIn("would not start", answer["message"])
            self.assertEqual(answer["erases"] + answer["programs"], 0)
            self.assertEqual(after, content)


class Damage(BundleTest):
    """ESP-IDF to MCUboot, with a bundle that is not what was signed."""

    def setUp(self):
        subprocess.run([DEMO_IMAGES, self.dir], check=True, stdout=subprocess.DEVNULL)
        self.flash = self.dir / "old-flash.bin"
        self.before = self.flash.read_bytes()
        self.bundle = self.pack("good.srb", "--merged", f"{FIXTURES / flash_dumps.MERGED_NUTTX}@0x1000")
        image = (FIXTURES / flash_dumps.MERGED_NUTTX).read_bytes()
        self.wanted = self.before[:0x1000] + image + self.before[0x1000 + len(image):]
        self.end = 0x1000 + len(image)
        self.signed = self.manifest_size(self.bundle) + SIGNATURE

    def damaged(self, bit):
        content = bytearray(self.bundle.read_bytes())
        content[bit // 8] ^= 1 << bit % 8
        return self.write("damaged.srb", content)

    def assert_no_wrong_sector(self, after):
        """Each sector holds what it held or what it should; the record of the commit may be left in free flash."""
        for number, (got, old, new) in enumerate(zip(sectors(after), sectors(self.before), sectors(self.wanted))):
            if got not in (old, new):
                self.assertGreaterEqual(number * SECTOR, self.end)
                self.assertEqual(old, b"\xff" * SECTOR)

    def test_flips_in_chunks(self):
        generator = random.Random(4)
        seen = set()
        for _ in range(ROUNDS):
            bit = generator.randrange(8 * self.signed, 8 * self.bundle.stat().st_size)
            with self.subTest(bit=bit):
                out = self.dir / "after.bin"
                result = run("simulate", "--flash", self.flash, "--out", out, "--bundle", self.damaged(bit),
                             "--public-key", self.public_key, "--json")
                answer, after = json.loads(result.stdout), out.read_bytes()
                seen.add(answer["result"])
                self.assert_no_wrong_sector(after)
                if result.returncode == 0:  # deflate has bits that mean nothing
                    self.assert_applied(answer, after, self.wanted)
                    continue
                self.assertEqual(answer["boot"]["app_offset"], 0x210000)
                self.assertIn(answer["result"], ("ESP_ERR_SELF_REFLASHER_CHUNK", "ESP_ERR_SELF_REFLASHER_REFUSED"))
                self.assertTrue(answer["message"])
                # with the right bundle it goes on from there
                answer, after = self.simulate(0, self.write("half.bin", after), "--bundle", self.bundle)
                self.assertEqual(answer["boot"]["outcome"], "boots")
                self.assertEqual(after[:self.end], self.wanted[:self.end])
        self.assertIn("ESP_ERR_SELF_REFLASHER_CHUNK", seen)

    def test_flips_in_manifest_and_signature(self):
        generator = random.Random(5)
        for _ in range(ROUNDS):
            bit = generator.randrange(8 * self.signed)
            with self.subTest(bit=bit):
                answer, after = self.simulate(1, self.flash, "--bundle", self.damaged(bit))
                self.assertIn(answer["plan"]["refusal"], ("format", "signature"))
                self.assert_refused(answer, after, self.before, answer["plan"]["refusal"])

    def test_truncations(self):
        generator = random.Random(6)
        for size in [1, 63, 64, self.signed - 1, *(generator.randrange(2, self.signed) for _ in range(8))]:
            with self.subTest(size=size):
                cut = self.write("cut.srb", self.bundle.read_bytes()[:size])
                answer, after = self.simulate(1, self.flash, "--bundle", cut)
                self.assert_refused(answer, after, self.before, "format")

    def test_missing_end(self):
        cut = self.write("cut.srb", self.bundle.read_bytes()[:-100])
        answer, after = self.simulate(1, self.flash, "--bundle", cut)
        self.assertNotEqual(answer["result"], "ESP_OK")
        self.assert_no_wrong_sector(after)
        self.assertEqual(answer["boot"]["app_offset"], 0x210000)

    def test_no_signature_and_another_key(self):
        plain = self.root / "plain.srb"
        self.run_json(0, "pack", "-o", plain, "--chip", "esp32", "--merged",
                      f"{FIXTURES / flash_dumps.MERGED_NUTTX}@0x1000")
        answer, after = self.simulate(1, self.flash, "--bundle", plain)
        self.assert_refused(answer, after, self.before, "signature")
        answer, after = self.simulate(0, self.flash, "--bundle", plain, "--allow-unsigned")
        self.assert_applied(answer, after, self.wanted)
        other, public = self.dir / "other.pem", self.dir / "other-public.pem"
        run("keygen", "--out", other, "--public", public)
        answer = self.run_json(1, "simulate", "--flash", self.flash, "--bundle", self.bundle, "--public-key", public)
        self.assertEqual((answer["plan"]["refusal"], answer["erases"], answer["programs"]), ("signature", 0, 0))


class Servers(Damage):
    """Servers that misbehave."""
    test_flips_in_chunks = test_flips_in_manifest_and_signature = None
    test_truncations = test_missing_end = test_no_signature_and_another_key = None

    def test_those_that_serve_in_the_end(self):
        for path, retries in (("good.srb", 0), ("norange/good.srb", 0), ("nolength/good.srb", 0),
                              ("chunked/good.srb", 0), ("slow/good.srb?ms=1&n=4000", 0), ("close/good.srb", 0),
                              ("keepalive-close/good.srb", 0), ("flaky/good.srb?fail=3", 3),
                              ("cut/good.srb?every=20000", 1), ("busy/good.srb?every=2", 1)):
            with self.subTest(path), servers.Moody(self.root) as server:
                answer, after = self.from_server(0, self.flash, server, path)
                self.tell(path, answer)
                self.assert_applied(answer, after, self.wanted)
                self.assertGreaterEqual(answer["retries"], retries)
                self.assertEqual(answer["retries"] == 0, retries == 0)

    def test_those_that_do_not(self):
        for path, error in (("missing.srb", "ESP_ERR_SELF_REFLASHER_HTTP_STATUS"),
                            ("status?code=503", None), ("hangup", None), ("garbage", None), ("empty", None),
                            ("cut/good.srb?every=1", None)):
            with self.subTest(path), servers.Moody(self.root) as server:
                answer, after = self.from_server(1, self.flash, server, path)
                requests = len(server.requests())
                self.assertNotEqual(answer["result"], "ESP_OK")
                if error is not None:
                    self.assertEqual(answer["result"], error)
                self.assertTrue(answer["message"])
                self.assert_untouched(answer, after, self.before)
                self.assertLessEqual(answer["retries"], 8)
                self.assertLessEqual(requests, 9)

    def test_one_that_never_gets_beyond_a_point(self):
        with servers.Moody(self.root) as server:
            answer, after = self.from_server(1, self.flash, server, f"drop/good.srb?after={self.signed + 50000}")
        self.assertNotEqual(answer["result"], "ESP_OK")
        self.assertLessEqual(answer["retries"], 64)
        self.assert_no_wrong_sector(after)
        self.assertEqual(answer["boot"]["app_offset"], 0x210000)

    def test_none_at_all(self):
        url = f"http://127.0.0.1:{servers.free_port()}/good.srb"
        answer, after = self.simulate(1, self.flash, "--url", url)
        self.assert_untouched(answer, after, self.before)
        self.assertEqual(answer["retries"], 8)

    @unittest.skipIf(servers.NGINX is None, "no nginx")
    def test_a_certificate_that_is_not_trusted(self):
        with servers.Nginx(self.root, self.dir / "distrusted") as server:
            answer, after = self.simulate(1, self.flash, "--url", server.url("good.srb"))
        self.assert_untouched(answer, after, self.before)


class CommandLine(BundleTest):
    def assert_fails(self, status, word, *arguments):
        result = run("simulate", *arguments)
        self.assertEqual((result.returncode, result.stdout), (status, ""))
        self.assertIn(word, result.stderr)

    def test_usage(self):
        flash = self.write("wled.bin", flash_dumps.wled(FIXTURES))
        bundle = self.pack("wled.srb", "--manifest", FIXTURES / "wled/json/manifest.json")
        with_flash = ("--flash", flash, "--bundle", bundle)
        self.assert_fails(2, "--public-key", *with_flash)
        self.assert_fails(2, "nonsense", *with_flash, "--allow-unsigned", "--skip-check", "nonsense")
        self.assert_fails(2, "OFFSET", *with_flash, "--allow-unsigned", "0x10000", flash)
        self.assert_fails(2, "--bundle", "--flash", flash, "--allow-unsigned", "0x10000", flash)
        self.assert_fails(2, "flash:1", "--flash", flash, "--bundle", "flash:1", "--allow-unsigned")
        self.assert_fails(3, "missing.srb", "--flash", flash, "--bundle", "missing.srb", "--allow-unsigned")
        self.assert_fails(3, "missing.pem", *with_flash, "--public-key", "missing.pem")
        self.assert_fails(3, "wled.bin", *with_flash, "--public-key", flash)
        self.assert_fails(3, "missing.pem", *with_flash, "--allow-unsigned", "--ca", "missing.pem")
        self.assert_fails(2, "0x50000", *with_flash, "--allow-unsigned", "--running", "0x50000")

    def test_the_app_that_runs_is_chosen(self):
        before = flash_dumps.wled(FIXTURES)
        flash = self.write("wled.bin", before)
        bundle = self.pack("esphome.srb", "--manifest", FIXTURES / "esphome/manifest.json")
        answer, _ = self.simulate(0, flash, "--bundle", bundle, "--running", "0x190000")
        self.assertEqual(answer["result"], "ESP_OK")
        # otadata selects the other one, which says that this app has moved there, and the boot was another one
        answer, after = self.simulate(1, flash, "--bundle", bundle, "--running", "0x10000")
        self.assertEqual(answer["result"], "ESP_ERR_INVALID_STATE")
        self.assert_untouched(answer, after, before)

    def test_an_app_in_the_way_moves(self):
        before = bytearray(flash_dumps.wled(FIXTURES))
        before[0x190000:0x310000] = b"\xff" * 0x180000
        before[0xE000:0x10000] = flash_dumps.otadata(1)
        flash = self.write("fresh.bin", before)
        bundle = self.pack("esphome.srb", "--manifest", FIXTURES / "esphome/manifest.json")
        answer, after = self.simulate(0, flash, "--bundle", bundle)
        wanted = self.dir / "wanted.bin"
        self.assertEqual(run("extract", bundle, "-o", wanted, "--base", flash).returncode, 0)
        app = (FIXTURES / flash_dumps.WLED_APP).read_bytes()
        self.assert_applied(answer, after, wanted.read_bytes()[:0x190000] + app.ljust(0x180000, b"\xff") +
                            before[0x310000:])

    def test_text(self):
        flash = self.write("wled.bin", flash_dumps.wled(FIXTURES))
        bundle = self.pack("wled.srb", "--manifest", FIXTURES / "wled/json/manifest.json")
        result = run("simulate", "--flash", flash, "--bundle", bundle, "--public-key", self.public_key)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("340, ", result.stdout)
        self.assertRegex(result.stdout, r"(?m)^boots: ")
        for line in result.stdout.splitlines():
            self.assertLessEqual(len(line), 80, line)


if __name__ == "__main__":
    runner.main(sys.argv[4:])
