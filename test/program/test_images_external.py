# SPDX-License-Identifier: Apache-2.0
"""What esptool, imgtool and ESP-IDF's partition table code say about the images that this project writes.

usage: test_images_external.py DEMO_IMAGES DUMMY_IMAGES
DEMO_IMAGES is the program, DUMMY_IMAGES the folder in which test_image_writer left one flash for each chip.

The tools are taken from the virtual environment that SELF_REFLASHER_VENV names, else from PATH; only in the second case
may they be missing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import espressif
import runner

DEMO_IMAGES = ""
DUMMY_IMAGES = Path()

MMU_PAGE = 0x10000
BOOTLOADER_OFFSETS = {
    "esp32": 0x1000,
    "esp32s2": 0x1000,
    "esp32s3": 0,
    "esp32c2": 0,
    "esp32c3": 0,
    "esp32c5": 0x2000,
    "esp32c6": 0,
    "esp32c61": 0,
    "esp32h2": 0,
    "esp32p4": 0x2000,
}

ROOT = Path(__file__).resolve().parent.parent.parent

DECODE_TABLE = """
import sys
from esp_idf_defs.otadata import OtaDataSelectEntry
from esp_idf_defs.partitions import PartitionTable
flash = open(sys.argv[1], "rb").read()
raw = flash[0x8000:0x8C00]
table = PartitionTable.from_binary(raw)
table.verify()
table.verify_size_fits(len(flash))
example = PartitionTable.from_csv(open(sys.argv[2]).read())
assert example.to_binary() == raw, "not the table that ESP-IDF would make of the example's partitions.csv"
for entry in table:
    if entry.name == "otadata":
        stored = flash[entry.offset:entry.offset + 32]
        selected = OtaDataSelectEntry.from_bytes(stored)
        assert selected.to_bytes() == stored, "an otadata entry that ESP-IDF would write differently"
        print("slot", selected.ota_slot(2))
"""


def tool(name):
    venv = os.environ.get("SELF_REFLASHER_VENV")
    if venv:
        return str(Path(venv) / "bin" / name)
    path = shutil.which(name)
    if path is None:
        raise unittest.SkipTest(f"{name} is not installed: scripts/test does that")
    return path


def python_with(module):
    python = tool("python3")
    missing = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode != 0
    if missing and not os.environ.get("SELF_REFLASHER_VENV"):
        raise unittest.SkipTest(f"{module} is not installed: scripts/test does that")
    return python


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class ExternalTools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        run(DEMO_IMAGES, cls.path)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def cut(self, source, offset, size, name):
        path = self.path / name
        path.write_bytes(source.read_bytes()[offset : offset + size])
        return path

    def assert_esptool_accepts(self, image, chip):
        """esptool finds this chip, a right checksum and digest, and mapped segments where the MMU can map them."""
        info = espressif.run("esptool", "image-info", image)
        self.assertIn(f"Detected image type: {chip.upper()}\n", info.replace("-", ""))
        self.assertRegex(info, r"Checksum: 0x[0-9a-f]{2} \(valid\)")
        self.assertRegex(info, r"Validation hash: [0-9a-f]{64} \(valid\)")
        self.assertIn("Flash size: 4MB", info)
        self.assertIn("Flash mode: DIO", info)
        segments = re.findall(r"^ +\d+ +0x\w+ +0x(\w+) +0x(\w+) +(.*)$", info, re.MULTILINE)
        for load_address, header_offset, memory in segments:
            self.assertTrue(memory.strip(), f"{chip}: esptool knows no memory at 0x{load_address}")
            if "DROM" in memory or "IROM" in memory:
                self.assertEqual(int(load_address, 16) % MMU_PAGE, (int(header_offset, 16) + 8) % MMU_PAGE)
        return info, [memory for _, _, memory in segments]

    def test_bootloaders_and_apps_of_all_chips(self):
        for chip, offset in BOOTLOADER_OFFSETS.items():
            with self.subTest(chip=chip):
                flash = DUMMY_IMAGES / f"{chip}.bin"
                bootloader = self.cut(flash, offset, 0x8000 - offset, "bootloader.bin")
                info, memories = self.assert_esptool_accepts(bootloader, chip)
                # Where data and code share their addresses, esptool looks for the descriptor in the last segment,
                # but ESP-IDF has it in the first.
                if "IRAM" not in memories[0]:
                    self.assertIn("Bootloader version: 1\nESP-IDF: v5.5.1", info)
                app = self.cut(flash, 0x10000, 0x100000, "app.bin")
                info, memories = self.assert_esptool_accepts(app, chip)
                self.assertIn("Project name: name\nApp version: 7.8\n", info)
                self.assertIn("DROM", memories[0])
                self.assertTrue(any("IROM" in memory for memory in memories))

    def test_demo_systems(self):
        _, memories = self.assert_esptool_accepts(self.path / "mcuboot.bin", "esp32")
        self.assertEqual(len(memories), 2)
        for name, offset, project in (
            ("old-flash.bin", 0x210000, "boot_swap_download_example"),
            ("embedded-flash.bin", 0x10000, "boot_swap_embedded_example"),
        ):
            with self.subTest(flash=name):
                app = self.cut(self.path / name, offset, 0x200000, "app.bin")
                info, _ = self.assert_esptool_accepts(app, "esp32")
                self.assertIn(f"Project name: {project}\n", info)

    def test_embedded_app_contains_the_merged_image(self):
        flash = (self.path / "embedded-flash.bin").read_bytes()
        merged = (self.path / "app_upd.merged.bin").read_bytes()
        place = flash.find(merged)
        self.assertGreaterEqual(place, 0x10000)
        self.assertLess(place + len(merged), 0x210000)

    def test_merged_image_is_that_of_esptool(self):
        theirs = self.path / "theirs.bin"
        mcuboot, app = self.path / "mcuboot.bin", self.path / "app_upd.bin"
        espressif.run("esptool", "--chip", "esp32", "merge-bin", "--output", theirs, "--target-offset", "0x1000", "0x1000",
                      mcuboot, "0x10000", app)
        self.assertEqual(theirs.read_bytes(), (self.path / "app_upd.merged.bin").read_bytes())

    def test_mcuboot_slot_is_that_of_imgtool(self):
        ours = self.path / "app_upd.bin"
        self.assertIn("Image was correctly validated", run(tool("imgtool"), "verify", ours))
        slot = ours.read_bytes()
        payload = self.path / "payload.bin"
        payload.write_bytes(slot[32 : 32 + int.from_bytes(slot[12:16], "little")])
        theirs = self.path / "signed.bin"
        run(tool("imgtool"), "sign", "--align", "4", "--version", "1.0.0", "--header-size", "0x20", "--pad-header",
            "--slot-size", "0x100000", "--pad", "--confirm", payload, theirs)
        self.assertEqual(theirs.read_bytes(), slot)

    def test_tables_and_otadata_are_those_of_esp_idf(self):
        script = self.path / "decode.py"
        script.write_text(DECODE_TABLE)
        python = python_with("esp_idf_defs")
        for flash, example, slot in (
            ("old-flash.bin", "boot_swap_download_example", "slot 0\n"),
            ("embedded-flash.bin", "boot_swap_embedded_example", "slot 0\n"),
        ):
            with self.subTest(flash=flash):
                csv = ROOT / "examples" / example / "partitions.csv"
                self.assertEqual(run(python, script, self.path / flash, csv), slot)

    def test_same_bytes_every_time(self):
        again = self.path / "again"
        run(DEMO_IMAGES, again)
        for path in sorted(again.iterdir()):
            self.assertEqual(path.read_bytes(), (self.path / path.name).read_bytes(), path.name)


if __name__ == "__main__":
    DUMMY_IMAGES = Path(sys.argv.pop())
    DEMO_IMAGES = sys.argv.pop()
    runner.main(sys.argv[1:])
