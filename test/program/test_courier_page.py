#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The courier's status page, served by the very code of the example on the simulated chip: by HTTP, and in a real browser at a
phone's width. Without Chromium what needs it is skipped; SELF_REFLASHER_BROWSER names it.

usage: test_courier_page.py PROGRAM COURIER_WIFI DEMO_IMAGES
"""
import html.parser
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
import zlib

import browser
import cases
import flash_dumps
import runner
import servers

COURIER_WIFI, DEMO_IMAGES = sys.argv[2:4]
PAGE = pathlib.Path(__file__).resolve().parents[2] / "examples/courier/main"
SECTOR = flash_dumps.SECTOR
SLOTS = (0x20000, 0x120000)
SLOT_SIZE = 0x100000
TABLE, OTADATA, NVS = 0x8000, 0xD000, 0x9000
SETTINGS = flash_dumps.SETTINGS + b"ap_password\0min_sequence\0url\0when\0wifi_password\0wifi_ssid\0"
HOSTILE = "</bdi><img src=x onerror=b()>\u202e"  # 32 bytes of a descriptor
PATIENCE = 120
SECRETS = ("wifi-secret-1", "ap-secret-1")


def nvs_entry(space, kind, span, chunk, key, value):
    entry = bytearray(struct.pack("<BBBBI16s8s", space, kind, span, chunk, 0, key, value.ljust(8, b"\xff")))
    entry[4:8] = struct.pack("<I", zlib.crc32(entry[:4] + entry[8:], 0xFFFFFFFF))
    return bytes(entry)


def nvs_with_access(ssid, password):
    """A page of NVS as ESP-IDF's Wi-Fi driver leaves it: name and password of an access."""
    entries = [nvs_entry(0, 0x01, 1, 0xFF, b"nvs.net80211", b"\1")]
    for key, value in ((b"sta.ssid", struct.pack("<I32s", len(ssid), ssid)), (b"sta.pswd", password.ljust(65, b"\0"))):
        data = value.ljust(-(-len(value) // 32) * 32, b"\xff")
        entries += [nvs_entry(1, 0x42, 1 + len(data) // 32, 0, key,
                              struct.pack("<HHI", len(value), 0xFFFF, zlib.crc32(value, 0xFFFFFFFF))),
                    *(data[at:at + 32] for at in range(0, len(data), 32)),
                    nvs_entry(1, 0x48, 1, 0xFF, key, struct.pack("<IBBH", len(value), 1, 0, 0xFFFF))]
    head = struct.pack("<IB19s", 0, 0xFE, b"\xff" * 19)
    states = (1 << 256) - 1
    for number in range(len(entries)):
        states ^= 1 << 2 * number  # written: 0b10
    return (struct.pack("<I", 0xFFFFFFFE) + head + struct.pack("<I", zlib.crc32(head, 0xFFFFFFFF)) + states.to_bytes(32, "little") +
            b"".join(entries)).ljust(SECTOR, b"\xff")


class Device:
    """The courier on the simulated chip, with its page at a port of this machine. Use as a context."""

    def __init__(self, folder, content, environment=None, options=()):
        self.flash = folder / "device.bin"
        self.flash.write_bytes(content)
        self.log_path = folder / "device.log"
        self.environment = environment or {}
        self.options = options

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        number = self.socket.fileno()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen([COURIER_WIFI, "--flash", self.flash, *self.options], pass_fds=[number], start_new_session=True,
                                            stdout=subprocess.DEVNULL, stderr=log,
                                            env={**cases.ENVIRONMENT, **self.environment, "SIM_HTTP_SERVER_FD": str(number)})
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.socket.close()

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def ask(self, method, path, body=None, **headers):
        """@return status, headers, body"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def status(self):
        return json.loads(self.ask("GET", "/status")[2])

    def wait_until(self, look, what):
        """@return the first thing that look() finds"""
        deadline = time.monotonic() + PATIENCE
        while not (found := look()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {what}\n{self.log()}")
            time.sleep(.1)
        return found

    def status_in(self, stage):
        status = self.status()
        return status if status["stage"] == stage else None

    def wait_for(self, stage):
        """@return the status"""
        return self.wait_until(lambda: self.status_in(stage), stage)

    def wait_for_log(self, text):
        """For what no answer tells of: other requests are served meanwhile."""
        self.wait_until(lambda: text in self.log(), f"in the log, '{text}'")

    def post(self, path, body=b""):
        return self.ask("POST", path, body, **{"X-Token": self.status()["token"], "Origin": f"http://{self.host}"})

    def end(self):
        """Waits until another app runs. @return the flash"""
        self.process.wait(PATIENCE)
        return self.flash.read_bytes()


class PageTest(cases.InOwnFolder):
    def setUp(self):
        super().setUp()
        subprocess.run([DEMO_IMAGES, self.dir], check=True, stdout=subprocess.DEVNULL)
        self.loader = (self.dir / "old-flash.bin").read_bytes()[0x1000:TABLE].rstrip(b"\xff")
        rows = ((b"nvs", 1, 2, NVS, 0x4000), (b"otadata", 1, 0, OTADATA, 0x2000), (b"app0", 0, 0x10, SLOTS[0], SLOT_SIZE),
                (b"app1", 0, 0x11, SLOTS[1], SLOT_SIZE))
        self.table = flash_dumps.table(rows)
        self.app = self.write("app.bin", flash_dumps.carrier(settings=SETTINGS))
        self.upload = self.dir / "upload.bin"
        self.new = flash_dumps.tiny_app("2.0", 0x60000)

    def pack(self, *arguments):
        bundle = self.dir / "system.srb"
        self.run_json(0, "pack", "-o", bundle, "--chip", "esp32", "0x1000", self.write("loader.bin", self.loader), hex(TABLE),
                      self.write("table.bin", self.table), hex(OTADATA), self.write("otadata.bin", flash_dumps.otadata(1)),
                      hex(SLOTS[0]), self.write("new.bin", self.new), *arguments)
        return bundle

    def device(self, *pack, old="1.0", slot=1, nvs=b"", settings=None, environment=None):
        """A device whose old app has stored the courier in a slot and selected it."""
        settings = {"wifi_ssid": "home", "wifi_password": SECRETS[0], "ap_password": SECRETS[1], **(settings or {})}
        path = self.write("settings.json", json.dumps({name: value for name, value in settings.items() if value is not None}).encode())
        self.run_json(0, "courier", "-o", self.upload, "--app", self.app, "--bundle", self.pack(*pack), "--settings", path)
        self.before = flash_dumps.flash((0x1000, self.loader), (TABLE, self.table), (NVS, nvs or flash_dumps.in_use(1)),
                                        (OTADATA, flash_dumps.otadata(2 - slot)), (SLOTS[1 - slot], flash_dumps.tiny_app(old)))
        return self.device_with(self.upload.read_bytes(), slot, environment)

    def device_with(self, app, slot=1, environment=None):
        """As it is after the old app has stored this one, and selected it."""
        self.stored = flash_dumps.uploaded(self.before, app, SLOTS[slot], 2 + (1 - slot), at=OTADATA)
        return Device(self.dir, self.stored, environment)

    def refused(self, **how):
        return self.device("--flash-size", "16MB", **how)

    def assert_only_otadata_changed(self, flash):
        self.assertEqual(flash[:OTADATA] + flash[OTADATA + 0x2000:], self.stored[:OTADATA] + self.stored[OTADATA + 0x2000:])

    def boots(self):
        return self.run_json(0, "boot", self.dir / "device.bin")["app_offset"]


class Files(unittest.TestCase):
    class Parser(html.parser.HTMLParser):
        def __init__(self, text):
            super().__init__()
            self.links, self.handlers = [], []
            self.feed(text)

        def handle_starttag(self, tag, attrs):
            self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
            self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def test_small_and_of_itself(self):
        page, script = (PAGE / "page.html").read_text("utf-8"), (PAGE / "page.js").read_text("utf-8")
        self.assertLess(len(page) + len(script), 12 << 10)
        parser = self.Parser(page)
        self.assertEqual(sorted(parser.links), ["data:,", "page.js"])
        self.assertEqual(parser.handlers, [])
        self.assertNotRegex(page + script, r"(?i)url\(|@import|https?:|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(")


class Server(PageTest):
    def test_what_it_says_and_how(self):
        with self.refused(old=HOSTILE) as device:
            status = device.wait_for("stays")
            seen = b""
            for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/status", "application/json")):
                code, headers, body = device.ask("GET", path)
                self.assertEqual((code, headers["Content-Type"].split(";")[0], headers["Cache-Control"]), (200, kind, "no-store"))
                self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
                self.assertEqual((headers["X-Frame-Options"], headers["X-Content-Type-Options"]), ("DENY", "nosniff"))
                self.assertIsNone(headers["Access-Control-Allow-Origin"])
                seen += body
            for secret in SECRETS:
                self.assertNotIn(secret.encode(), seen)
            self.assertNotIn(b"<img", seen)
        self.assertRegex(status["reason"], "^refused: ")
        self.assertEqual(status["old_app"], f"tiny {HOSTILE}")
        self.assertEqual((status["network"], status["room"], status["chip"]), ("home", SLOT_SIZE, "esp32"))

    def test_only_its_own_page_changes_something(self):
        with self.refused() as device:
            token = device.wait_for("stays")["token"]
            own = f"http://{device.host}"
            app = flash_dumps.tiny_app("3.0")
            for headers in ({}, {"Origin": own}, {"X-Token": "0" * 32, "Origin": own}, {"X-Token": token + "0"}, {"X-Token": token[:-1]},
                            {"X-Token": token, "Origin": "http://evil.example"}, {"X-Token": token, "Origin": "null"},
                            {"X-Token": token, "Origin": own + "0"}, {"X-Token": token, "Host": f"evil.example:{device.port}"},
                            {"X-Token": token, "Host": "x" * 200}, {"X-Token": token, "Origin": own + "x" * 200}):
                for path in ("/back", "/begin", "/again", "/upload"):
                    self.assertEqual(device.ask("POST", path, app, **headers)[0], 403, (path, headers))
            for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.2", "", "127.0.0"):
                for path in ("/", "/page.js", "/status"):
                    code, _, body = device.ask("GET", path, Host=host)
                    self.assertEqual(code, 421)
                    self.assertNotIn(token.encode(), body)
            self.assertEqual([device.ask("GET", path)[0] for path in ("/back", "/upload", "/nowhere")], [405, 405, 404])
            self.assertEqual(device.ask("POST", "/begin", **{"X-Token": token})[0], 409)
            self.assertEqual(device.wait_for("stays")["old_app"], "tiny 1.0")
            self.assertEqual(device.ask("POST", "/back", **{"X-Token": token})[0], 200)
            self.assert_only_otadata_changed(device.end())
        self.assertEqual(self.boots(), SLOTS[0])

    def test_uploads_that_are_none_change_nothing(self):
        good = flash_dumps.tiny_app("3.0")
        other_chip = bytearray(good)
        other_chip[12] = 5
        with self.refused() as device:
            device.wait_for("stays")
            for body, code, word in ((b"", 400, "too small"), (good[:200], 400, "too small"), (b"\0" * 9000, 400, "0xe9"),
                                     (flash_dumps.reseal(other_chip), 400, "another chip"), (self.loader, 400, "bootloader"),
                                     (good.ljust(SLOT_SIZE + 1, b"\xff"), 413, "fit")):
                answer = device.post("/upload", body)
                self.assertEqual(answer[0], code, answer[2])
                self.assertIn(word, answer[2].decode())
            self.assertEqual(device.wait_for("stays")["old_app"], "tiny 1.0")
            self.assertEqual(device.post("/back")[0], 200)
            self.assert_only_otadata_changed(device.end())

    def test_upload(self):
        """With a damaged one before it, which costs the old app, and one that breaks off. The courier stays where it is."""
        good = flash_dumps.tiny_app("3.0", 0x8000)
        damaged = bytearray(good)
        damaged[-100] ^= 1
        with self.refused() as device:
            device.wait_for("stays")
            self.assertIn("not whole", device.post("/upload", bytes(damaged))[2].decode())
            self.assertEqual(device.wait_for("stays")["old_app"], "")
            self.assertEqual(device.post("/back")[0], 409)
            token = device.status()["token"]
            with socket.create_connection(("127.0.0.1", device.port)) as connection:
                connection.sendall(f"POST /upload HTTP/1.1\r\nHost: {device.host}\r\nX-Token: {token}\r\n"
                                   f"Content-Length: {len(good)}\r\n\r\n".encode() + good[:0x5000])
            device.wait_for_log("broke off")
            device.wait_for("stays")
            self.assertEqual(device.post("/upload", good)[0], 200)
            flash = device.end()
        self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(good)], good)
        self.assertEqual(flash[SLOTS[1]:], self.stored[SLOTS[1]:])
        self.assertEqual(flash[:OTADATA], self.stored[:OTADATA])
        self.assertEqual(self.boots(), SLOTS[0])

    def on_probation(self):
        """With a bootloader that goes back to the old app unless the new one confirms itself."""
        self.refused()
        other = OTADATA + SECTOR
        self.assertEqual(self.stored[other:other + 4], b"\2\0\0\0")
        new = self.stored[:other + 24] + bytes(4) + self.stored[other + 28:]  # as esp_ota_set_boot_partition() leaves it
        return Device(self.dir, new, options=["--rollback"])

    def test_upload_with_a_bootloader_that_goes_back(self):
        """Where the old app is about to be overwritten, this one is confirmed, and before that it is not."""
        good = flash_dumps.tiny_app("3.0", 0x8000)
        with self.on_probation() as device:
            device.wait_for("stays")
            self.assertIn("bootloader", device.post("/upload", self.loader)[2].decode())
            self.assertEqual(device.post("/back")[0], 200)
            flash = device.end()
        self.assertEqual(flash[OTADATA + SECTOR + 24], 1)  # pending, still
        with self.on_probation() as device:
            device.wait_for("stays")
            self.assertIn("not whole", device.post("/upload", good[:-1] + b"\0")[2].decode())
            self.assertEqual(device.post("/upload", good)[0], 200)
            flash = device.end()
        self.assertEqual(flash[OTADATA + SECTOR + 24], 2)  # valid
        self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(good)], good)

    def test_nothing_is_taken_while_the_system_is_replaced(self):
        with self.device() as device:
            device.wait_for("works")
            for path in ("/upload", "/back", "/again", "/begin"):
                self.assertEqual(device.post(path, flash_dumps.tiny_app("3.0"))[0], 409)
            flash = device.end()
        self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(self.new)], self.new)
        self.assertEqual(self.boots(), SLOTS[0])

    def test_button(self):
        """Nothing is written before, and it is asked once: after the move to the other slot it goes on."""
        with self.device(slot=0, settings={"when": "button"}) as device:
            status = device.wait_for("asks")
            self.assertEqual((status["old_app"], status["plan"]["moves"]), ("tiny 1.0", True))
            self.assertEqual(device.post("/again")[0], 409)
            self.assertEqual(device.post("/begin")[0], 200)
            flash = device.end()
        self.assertIn("moving the running app", device.log())
        self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(self.new)], self.new)

    def test_button_that_is_not_pressed(self):
        with self.device(settings={"when": "button"}) as device:
            device.wait_for("asks")
            self.assertEqual(device.post("/back")[0], 200)
            self.assert_only_otadata_changed(device.end())
        self.assertEqual(self.boots(), SLOTS[0])

    def run_unseen(self, content, **environment):
        """Nobody looks, so that no time is lost. @return flash and log"""
        flash = self.write("device.bin", content)
        result = subprocess.run([COURIER_WIFI, "--flash", flash], capture_output=True, text=True, timeout=300, check=False,
                                env={**cases.ENVIRONMENT, **environment})
        self.assertEqual(result.returncode, 0, result.stderr)
        return flash.read_bytes(), result.stderr

    def test_nobody_comes(self):
        """The old app starts again, whether there was a network or not; at once only if nobody could come."""
        for settings, environment, words in (
                ({}, {}, ()), ({}, {"SIM_WIFI_SSID": "elsewhere"}, ("no connection to 'home'", "access point 'courier-")),
                ({"when": "button"}, {"SIM_WIFI_PASSWORD": "other"}, ("access point 'courier-",))):
            self.refused(settings=settings)
            flash, log = self.run_unseen(self.stored, **environment)
            for word in ("refused: ", "starting the app in 'app0'", *words):
                self.assertIn(word, log)
            self.assert_only_otadata_changed(flash)
            self.assertEqual(self.boots(), SLOTS[0])

    def test_button_without_a_page(self):
        """No network, and no password for an access point: nobody can press it, and an open one would be everyone's."""
        self.device(settings={"when": "button"})
        key, public = self.dir / "key.pem", self.dir / "public.pem"
        self.assertEqual(cases.run("keygen", "-o", key, "--public", public).returncode, 0)
        bundle = self.pack("--sign", key).read_bytes()
        app = flash_dumps.with_cargo(self.app.read_bytes(), (("public_key", public.read_text()), ("when", "button")), bundle)
        self.device_with(app)
        flash, log = self.run_unseen(self.stored)
        self.assertIn("NVS has none", log)
        self.assertIn("no access point: the cargo has no password", log)
        self.assertIn("nobody can tell it to begin", log)
        self.assert_only_otadata_changed(flash)

    def test_access_that_the_old_system_left(self):
        """In NVS, which nothing is written to; what the cargo says goes first."""
        nvs = nvs_with_access(b"attic", b"attic-secret")
        for settings, network in (({"wifi_ssid": None, "wifi_password": None}, "attic"), ({}, "home")):
            with self.refused(nvs=nvs, settings=settings) as device:
                self.assertEqual(device.wait_for("stays")["network"], network)
                self.assertNotIn(b"attic-secret", device.ask("GET", "/status")[2])
                self.assertEqual(device.post("/back")[0], 200)
                self.assert_only_otadata_changed(device.end())
        self.refused(nvs=nvs, settings={"wifi_ssid": None, "wifi_password": None})
        _, log = self.run_unseen(self.stored, SIM_WIFI_SSID="attic", SIM_WIFI_PASSWORD="attic-secret")
        self.assertIn("connected to 'attic'", log)
        _, log = self.run_unseen(self.stored, SIM_WIFI_SSID="attic", SIM_WIFI_PASSWORD="other")
        self.assertIn("no connection to 'attic'", log)

    def test_access_point(self):
        """Of its own, where there is no network. It takes an app."""
        good = flash_dumps.tiny_app("3.0")
        with self.refused(settings={"wifi_ssid": None, "wifi_password": None}) as device:
            status = device.wait_for("stays")
            self.assertRegex(status["network"], "^courier-[0-9A-F]{6}$")
            self.assertEqual(device.post("/upload", good)[0], 200)
            flash = device.end()
        self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(good)], good)

    def test_no_bundle_at_all(self):
        self.refused()
        with self.device_with(self.app.read_bytes(), environment={}) as device:
            deadline = time.monotonic() + PATIENCE
            while device.process.poll() is None and time.monotonic() < deadline:
                time.sleep(.1)
        self.assertIn("carries no bundle", device.log())
        self.assertEqual(self.boots(), SLOTS[0])

    def test_older_bundle_is_refused(self):
        for least, boots in ((7, SLOTS[0]), (8, SLOTS[0])):
            self.device("--sequence", "7", settings={"min_sequence": least})
            flash, log = self.run_unseen(self.stored)
            self.assertEqual("refused: " in log, least == 8)
            self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(self.new)] == self.new, least == 7)
            self.assertEqual(self.boots(), boots)


class Phone(PageTest):
    """The page in a browser."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not browser.find():
            raise unittest.SkipTest("no chromium here")
        cls.browser = cls.enterClassContext(browser.Browser())

    def open(self, device, **how):
        self.browser.open(f"http://{device.host}/", **{"width": 390, "height": 800, **how})

    def until(self, expression, what="true"):
        deadline = time.monotonic() + PATIENCE
        while not (value := self.browser.evaluate(expression)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expression}\n{self.text()}")
            time.sleep(.05)
        return value

    def text(self):
        return self.browser.evaluate("document.body.innerText")

    def shown(self, identifier):
        return self.browser.evaluate(f"document.getElementById('{identifier}').checkVisibility()")

    def click(self, identifier):
        self.browser.evaluate(f"document.getElementById('{identifier}').click()")

    def choose(self, path):
        element = self.browser.call("Runtime.evaluate", expression="document.getElementById('file')")["result"]["objectId"]
        self.browser.call("DOM.setFileInputFiles", objectId=element, files=[str(path)])

    def assert_fits(self, width):
        evaluate = self.browser.evaluate
        self.assertLessEqual(evaluate("document.documentElement.scrollWidth"), width)
        small = evaluate("[...document.querySelectorAll('button, input')].filter(e => e.checkVisibility())"
                         ".filter(e => e.getBoundingClientRect().height < 44).map(e => e.id)")
        self.assertEqual(small, [])

    def test_refused(self):
        """What is wrong, and what can be done, in words and in place; names of others are text."""
        with self.refused(old=HOSTILE) as device:
            device.wait_for("stays")
            for width in (320, 390):
                for dark in (False, True):
                    self.open(device, width=width, dark=dark)
                    self.until("document.getElementById('reason').checkVisibility()")
                    self.assert_fits(width)
                    low = [text for text in self.browser.contrasts() if text[0] < 4.5]
                    self.assertEqual(low, [], (width, dark))
            self.assertEqual(self.browser.complaints(), [])
            self.assertEqual({url.split("/", 3)[3] for url in self.browser.requests() if not url.startswith("data:")},
                             {"", "page.js", "status"})
            text = self.text()
            self.assertIn("The system was not replaced", text)
            self.assertIn("refused: ", text)
            self.assertIn(f"Back to the old app: tiny {HOSTILE[:-1]}\ufffd", text)
            self.assertEqual(self.browser.evaluate("document.images.length"), 0)
            self.assertFalse(self.shown("warning") or self.shown("begin"))
            for secret in SECRETS:
                self.assertNotIn(secret, self.browser.evaluate("document.documentElement.outerHTML"))
            self.click("back")
            self.until("document.getElementById('answer').textContent.includes('restarts')")
            self.assert_only_otadata_changed(device.end())
        self.assertEqual(self.boots(), SLOTS[0])

    def test_upload(self):
        good = self.write("good.bin", flash_dumps.tiny_app("3.0", 0x8000))
        with self.refused() as device:
            device.wait_for("stays")
            self.open(device)
            self.until("document.getElementById('upload').checkVisibility()")
            self.click("send")
            self.assertIn("Choose a file", self.text())
            self.choose(self.write("bad.bin", self.loader))
            self.click("send")
            self.until("document.getElementById('answer').textContent.includes('bootloader')")
            self.choose(good)
            self.click("send")
            self.until("document.getElementById('answer').textContent.includes('restarts into the app')")
            flash = device.end()
        app = good.read_bytes()
        self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(app)], app)
        self.assertEqual(self.boots(), SLOTS[0])

    def test_replacement(self):
        """From the button to the new system, over the restart in between. What it shows is what the device is at."""
        with self.device(slot=0, settings={"when": "button"}) as device:
            device.wait_for("asks")
            self.open(device)
            self.until("document.getElementById('begin').checkVisibility()")
            self.assert_fits(390)
            text = self.text()
            self.assertIn("Nothing was changed so far.", text)
            self.assertRegex(text, r"A power loss is fatal for\s+[0-9.]+ s, at most [0-9.]+ s")
            self.click("begin")
            seen, percents = [], {}
            for _ in range(10000):
                title, phase, warns = self.browser.evaluate(
                    "['title', 'phase'].map(id => document.getElementById(id)).map(e => e.checkVisibility() ? e.textContent : '')"
                    ".concat(document.getElementById('warning').checkVisibility())")
                state = (title, phase.rpartition(":")[0], warns)
                if state not in seen:
                    seen.append(state)
                if phase:
                    percents.setdefault(phase.rpartition(":")[0], []).append(int(re.search(r"(\d+) %", phase)[1]))
                if title == "The device restarts" or device.process.poll() is not None:
                    break
                time.sleep(.05)
            flash = device.end()
            self.until("document.getElementById('text').textContent.includes('This page ends here')")
        device.socket.close()
        writing = percents["Writing what the old system does not need"]
        self.assertEqual(writing, sorted(writing))
        self.assertLess(writing[0], writing[-1])
        self.assertIn(("The system is being replaced", "The last step", True), seen)
        self.assertEqual([state for state in seen if state[2] and state[1] != "The last step"], [])
        self.until("document.getElementById('title').textContent.includes('does not answer')")
        self.assertIn("restarted into the new system", self.text())
        self.assertEqual(flash[SLOTS[0]:SLOTS[0] + len(self.new)], self.new)

    def test_failed(self):
        """The server is gone, and somebody looks: it stays, says so, and tries again when told to."""
        self.refused()
        key, public = self.dir / "key.pem", self.dir / "public.pem"
        self.assertEqual(cases.run("keygen", "-o", key, "--public", public).returncode, 0)
        settings = self.write("settings.json", b'{"wifi_ssid": "home"}')
        self.upload.unlink()
        with servers.Plain(self.dir) as server:
            url = server.url("gone.srb").replace("//", "//me:url-secret@")
            self.run_json(0, "courier", "-o", self.upload, "--app", self.app, "--url", url, "--public-key", public, "--settings",
                          settings)
            self.fails(self.device_with(self.upload.read_bytes()))

    def fails(self, device):
        with device:
            device.wait_for("stays")
            self.open(device)
            self.until("document.getElementById('reason').textContent.includes('not done: ')")
            self.assertNotIn("url-secret", self.browser.evaluate("document.documentElement.outerHTML"))
            token = device.status()["token"]
            self.click("again")
            device.wait_until(lambda: device.status()["token"] != token, "started again, with another token")
            self.assertEqual(device.log().count("connected to 'home'"), 2)
            device.wait_for("stays")
            self.until("document.getElementById('back').checkVisibility()")
            self.click("back")
            self.assert_only_otadata_changed(device.end())


if __name__ == "__main__":
    runner.main(sys.argv[4:])
