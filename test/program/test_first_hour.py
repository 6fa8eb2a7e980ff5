#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The first hour of a reader: the commands of README and of the pages for beginners, as they stand there, in an empty folder.

Commands in ```sh blocks are taken line by line, and each must be one that is followed here; test_docs.py runs the console
blocks. esptool is asked for both spellings, of version 4 and 5, as far as these versions are there: one in
SELF_REFLASHER_VENV or PATH, a further one in SELF_REFLASHER_OTHER_ESPTOOL.
usage: test_first_hour.py PROGRAM_FOLDER FIXTURES ROOT
"""
import http.server
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import flash_dumps
import runner

PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
FIXTURES = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or sys.argv[2]).resolve()
ROOT = pathlib.Path(sys.argv[3]).resolve()
PAGES = ("README.md", "docs/rehearsal.md", "docs/integration.md", "docs/courier.md")
NO_FIXTURES = None if (FIXTURES / "esphome").is_dir() else f"no published firmware in {FIXTURES}"
ESPTOOL = re.compile(r"\besptool(?:\.py)?(?: --chip \w+)? [a-z]\w+(?:[-_]\w+)+(?: 0 ALL [\w.]+)?")


def read(path):
    return (ROOT / path).read_text("utf-8")


def blocks(page, heading=""):
    """Commands of each sh block after this heading, without comments. A line that goes on in the next one is one command."""
    text = re.sub(r" \\\n *", " ", read(page)[read(page).index(f"# {heading}"):])
    found = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    return [[line.split("    #")[0].strip() for line in block.splitlines() if line.strip()] for block in found]


def commands(page):
    return [command for block in blocks(page) for command in block]


def story(page):
    """The block that begins with a key pair and ends at the device."""
    return next(block for block in blocks(page) if "keygen" in block[0] and "curl" in block[-1])


def upload_story(page="README.md", heading="One upload, without a server"):
    """The block that ends with one upload."""
    return blocks(page, heading)[0]


BY_URL, LARGER_SLOTS, LARGER_CHIP, BACK = (upload_story("docs/courier.md", heading) for heading in (
    "By URL", "Slots of 1.25 MB to slots of 1.5 MB", "4 MB to 8 MB", "Back to WLED"))


def dump():
    """WLED in its first slot, as a web installer leaves it once it has started."""
    content = bytearray(flash_dumps.wled(FIXTURES))
    content[0x190000:0x310000] = b"\xff" * 0x180000
    content[0xE000:0x10000] = flash_dumps.otadata(1)
    return bytes(content)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}

    def follow(self, command, **environment):
        """What it prints."""
        result = subprocess.run(["bash", "-c", command], cwd=self.dir, text=True, capture_output=True, timeout=120, check=False,
                                env={**self.environment, **environment})
        self.assertEqual(result.returncode, 0, f"$ {command}\n{result.stdout}{result.stderr}")
        return result.stdout


class Commands(Folder):
    def test_each_is_followed_by_some_test(self):
        followed = {*story("README.md"), *upload_story(), *BY_URL, *LARGER_SLOTS, *LARGER_CHIP, *BACK, "./scripts/demo",
                    "./scripts/test", "self-reflasher keygen -o key.pem --public main/public_key.pem"}
        for page in PAGES:
            for command in commands(page):
                with self.subTest(page=page, command=command):
                    self.assertTrue(command in followed or ESPTOOL.fullmatch(command), command)

    def test_scripts_are_there(self):
        for name in ("demo", "test"):
            self.assertTrue(os.access(ROOT / "scripts" / name, os.X_OK))

    def test_key_for_a_project(self):
        (self.dir / "main").mkdir()
        self.follow(next(line for line in commands("docs/integration.md") if "keygen" in line))
        self.assertEqual({path.name for path in self.dir.rglob("*.pem")}, {"key.pem", "public_key.pem"})
        self.assertIn("EMBED_TXTFILES public_key.pem", read("docs/integration.md"))

    def test_one_name_for_each_thing(self):
        """Text, code, story and the example's menu say the same key, URL and file."""
        menu = read("examples/bundle_example/main/Kconfig.projbuild")
        url = re.search(r'"(http://[^"]*:(\d+)/([^"]*))"', menu)
        self.assertIn(f'.url = "{url[1]}"', read("README.md"))
        for page in ("README.md", "docs/rehearsal.md"):
            lines = "\n".join(story(page))
            self.assertIn(f"pack -o {url[3]} ", lines)
            self.assertIn(f"--bundle {url[3]} ", lines)
            self.assertIn(f"http.server {url[2]}\n", lines)
            self.assertIn(re.search(r'default "(\w+\.pem)"', menu)[1], lines)
            self.assertEqual(story(page), story("README.md"))

    def test_a_dump_is_explained_before_it_is_used(self):
        for page in ("README.md", "docs/rehearsal.md"):
            text = read(page)
            self.assertLess(text.index("esptool read-flash 0 ALL dump.bin"), text.index("--flash dump.bin --bundle"))


@unittest.skipIf(NO_FIXTURES, NO_FIXTURES)
class Story(Folder):
    def setUp(self):
        super().setUp()
        (self.dir / "esphome").symlink_to(FIXTURES / "esphome")
        (self.dir / "dump.bin").write_bytes(dump())

    def test_as_it_stands(self):
        keygen, pack, simulate, serve, upload = story("README.md")
        self.assertRegex(self.follow(keygen), "^key pair ")
        self.follow(pack)
        shown = re.search(r"^Migration\n.*", self.follow(f"{simulate} --out after.bin"), re.M | re.S)[0]
        page = read("docs/rehearsal.md")
        self.assertEqual(re.search(r"^```text\n(Migration\n.*?)^```", page, re.M | re.S)[1], shown)
        again = self.follow(f"{simulate.replace('dump.bin', 'after.bin')}")
        self.assertRegex(again, r"erases +0 of 4 KiB, 0 of 64 KiB\n +programs +0 pages in 0 sectors\n")
        manifest = re.search(r"A second run downloads the manifest, ([\d,]+) bytes", page)[1]
        self.assertIn(f"planned      {manifest} bytes", again)
        self.serve(serve)
        (self.dir / "build").mkdir()
        (self.dir / "build/bundle_example.bin").write_bytes(flash_dumps.tiny_app("1"))
        self.upload(upload, flash_dumps.tiny_app("1"))

    def test_one_upload(self):
        self.assertRegex(self.by_one_upload(upload_story(), "app1 at 0x190000"), r"downloaded +0 bytes")

    def by_one_upload(self, block, slot):
        """@return what the rehearsal shows"""
        pack, courier, simulate, upload = block
        (self.dir / "courier.bin").write_bytes(flash_dumps.carrier())
        self.follow(pack)
        self.assertIn(slot, self.follow(courier))
        shown = self.follow(simulate)
        self.assertRegex(shown, r"result +done\n")
        self.upload(upload, (self.dir / "upload.bin").read_bytes())
        return shown

    def put_parts(self, bootloader):
        """What a build of WLED leaves, or a release of it has."""
        (self.dir / "bootloader.bin").write_bytes(bootloader)
        (self.dir / "partitions.bin").write_bytes((FIXTURES / flash_dumps.WLED_SYSTEM).read_bytes()[0x8000:0x9000])
        (self.dir / "partitions_8mb.bin").symlink_to(FIXTURES / "wled-0.14.4/partitions_s3_8m.bin")
        (self.dir / "WLED_0.14.4_ESP32.bin").symlink_to(FIXTURES / flash_dumps.WLED_0_14_4)

    def test_larger_slots(self):
        self.put_parts((FIXTURES / "idf/bootloader_esp32_v5_2.bin").read_bytes())
        (self.dir / "dump.bin").write_bytes(flash_dumps.wled_in_small_slots(FIXTURES, 1, 0xF0000, flash_dumps.in_use(3)))
        shown = self.by_one_upload(LARGER_SLOTS, "app0 at 0x010000")
        self.assertRegex(shown, r"moved +2 of these sectors")

    def test_larger_chip(self):
        self.put_parts((FIXTURES / flash_dumps.WLED_SYSTEM).read_bytes()[0x1000:0x8000])
        self.by_one_upload(LARGER_CHIP, "app1 at 0x190000")

    def test_back(self):
        (self.dir / "wled").symlink_to(FIXTURES / "wled-0.14.4")
        (self.dir / "dump.bin").write_bytes(flash_dumps.esphome(FIXTURES))
        self.by_one_upload(BACK, "app0 at 0x010000")

    def test_by_url(self):
        """To the file that is uploaded; test_courier.py serves such a bundle to the device."""
        keygen, pack, courier = BY_URL
        (self.dir / "tasmota32.factory.bin").symlink_to(FIXTURES / "tasmota/tasmota32.factory.bin")
        names = flash_dumps.SETTINGS + b"url\0wifi_password\0wifi_ssid\0"
        (self.dir / "courier.bin").write_bytes(flash_dumps.carrier(code_size=700 << 10, settings=names))
        settings = re.search(r'`({"wifi_ssid".*?})`', read("docs/courier.md"))[1]
        (self.dir / "settings.json").write_text(settings.replace("...", "12345678"))
        self.follow(keygen)
        self.follow(pack)
        self.assertIn("http://192.168.1.2:8070/system.srb", self.follow(courier))
        self.assertIn("allow_temporary_table: 1", self.follow("self-reflasher inspect upload.bin"))

    def serve(self, command):
        """The server hands out the bundle under the example's URL."""
        port = int(command.split()[-1])
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                print(f"not followed, as port {port} is taken: {command}")
                return
        with subprocess.Popen(command.split(), cwd=self.dir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                for _ in range(100):
                    with socket.socket() as probe:
                        if probe.connect_ex(("127.0.0.1", port)) == 0:
                            break
                    time.sleep(.1)
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/system.srb", timeout=30) as answer:
                    self.assertEqual(answer.read(), (self.dir / "system.srb").read_bytes())
            finally:
                server.terminate()

    def upload(self, command, content):
        """The device is a proxy that takes what curl sends: a file with this content."""
        seen = []

        class Device(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Device) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.follow(command, http_proxy=f"http://127.0.0.1:{server.server_port}")
            server.shutdown()
        self.assertEqual([path for path, _ in seen], [command.split()[-1]])
        name = re.search(r'@(?:[^"]*/)?([\w.]+)"', command)[1]
        self.assertIn(f'name="update"; filename="{name}"'.encode(), seen[0][1])
        self.assertIn(content, seen[0][1])


class Esptool(Folder):
    """Both spellings: of version 5 (read-flash), and of version 4 (esptool.py, read_flash)."""

    @staticmethod
    def spelled():
        """Command lines of all pages by version."""
        lines = {4: set(), 5: set()}
        for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")):
            for line in ESPTOOL.findall(re.sub(r"\s+", " ", page.read_text("utf-8"))):
                lines[4 if "_" in line.split()[-1] or re.search(r"\.py|[a-z]_[a-z]", line) else 5].add(line)
        return lines

    @staticmethod
    def program(version):
        """The esptool of this version, or None."""
        own = f"{os.environ.get('SELF_REFLASHER_VENV', '')}/bin/esptool"
        for path in (own, shutil.which("esptool"), os.environ.get("SELF_REFLASHER_OTHER_ESPTOOL")):
            if path and os.access(path, os.X_OK):
                said = subprocess.run([path, "version"], capture_output=True, text=True, check=False).stdout
                if re.search(rf"(?m)^(esptool\D*)?v?{version}\.", said):
                    return path
        return None

    def follow_spelling(self, version):
        lines = self.spelled()[version]
        self.assertIn(f"esptool{'.py read_flash' if version == 4 else ' read-flash'} 0 ALL dump.bin", lines)
        program = self.program(version)
        if program is None:
            self.skipTest(f"no esptool {version} in SELF_REFLASHER_VENV, PATH or SELF_REFLASHER_OTHER_ESPTOOL")
        for line in sorted(lines):
            words = line.split()[1:]
            with self.subTest(line=line):
                if "ALL" in words:  # nothing but the device is missing
                    result = subprocess.run([program, "--port", "/nowhere", *words], capture_output=True, text=True,
                                            check=False, cwd=self.dir, timeout=60)
                    self.assertRegex(result.stdout + result.stderr, r"(?i)could not open /nowhere")
                else:
                    result = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=False)
                    self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                    self.assertRegex(re.sub(r"\s", "", result.stdout), f"(?i)usage:.*{words[-1]}")

    def test_version_4(self):
        self.follow_spelling(4)

    def test_version_5(self):
        self.follow_spelling(5)

    def test_pages_for_beginners_have_both(self):
        for page in ("README.md", "docs/rehearsal.md", "docs/safety.md", "examples/bundle_example/README.md"):
            text = re.sub(r"\s+", " ", read(page))
            self.assertIn("esptool read-flash 0 ALL dump.bin", text, page)
            self.assertIn("esptool.py read_flash", text, page)


if __name__ == "__main__":
    runner.main(sys.argv[4:])
