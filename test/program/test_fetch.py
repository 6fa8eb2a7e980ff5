#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What pack fetches: manifests and their parts by URL, from servers that are good, bad or gone, into a cache.

All servers are on the loopback interface.

usage: test_fetch.py PROGRAM DEMO_IMAGES
"""
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import cases
import runner
import servers

DEMO_IMAGES = os.path.abspath(sys.argv[2])
run = functools.partial(cases.run, timeout=120)
TAG = "CACHEDIR.TAG"
MIB = 1 << 20


class FetchTest(cases.InOwnFolder):
    @classmethod
    def setUpClass(cls):
        cls.common = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.common.name)
        subprocess.run([DEMO_IMAGES, folder], check=True, stdout=subprocess.DEVNULL)
        content = (folder / "old-flash.bin").read_bytes()
        cls.files = {"bootloader.bin": (0x1000, content[0x1000:0x8000].rstrip(b"\xff")),
                     "table.bin": (0x8000, content[0x8000:0x8C00]), "otadata.bin": (0xD000, content[0xD000:0xF000]),
                     "app.bin": (0x210000, content[0x210000:].rstrip(b"\xff"))}

    @classmethod
    def tearDownClass(cls):
        cls.common.cleanup()

    def setUp(self):
        super().setUp()
        self.root = self.dir / "root"
        self.root.mkdir()
        for name, (_, content) in self.files.items():
            (self.root / name).write_bytes(content)
        self.out = self.dir / "new.srb"
        self.cache = self.dir / "new.srb.cache"

    def serve(self, tls=None):
        """Until the test ends, or the server is closed."""
        if tls is not None and not shutil.which("openssl"):
            self.skipTest("no openssl")
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        server = stack.enter_context(servers.Moody(self.root, tls))
        server.close = stack.close
        return server

    def manifest_of(self, *parts):
        """@param parts (path, offset) of each."""
        parts = [{"path": path, "offset": offset} for path, offset in parts]
        return json.dumps({"name": "x", "builds": [{"chipFamily": "ESP32", "parts": parts}]})

    def manifest(self, *parts, name="manifest.json"):
        (self.dir / name).write_text(self.manifest_of(*parts))
        return self.dir / name

    def system(self, server):
        """A manifest of all parts by URL."""
        return self.manifest(*((server.url(name), offset) for name, (offset, _) in self.files.items()))

    def pack(self, manifest, *arguments, status=0, words=(), **how):
        """Gives what the JSON says was fetched."""
        result = run("pack", "-o", self.out, "--json", "--manifest", manifest, *arguments, **how)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertNotIn("\x1b", result.stderr)
        if status != 0:
            self.assertEqual(result.stdout, "")
        return json.loads(result.stdout)["fetched"] if status == 0 else result.stderr

    def refuse(self, words, manifest, *arguments, status=3, **how):
        """Nothing is written, and nothing of a file is in the cache."""
        before = self.cached()
        self.out.unlink(missing_ok=True)
        text = self.pack(manifest, *arguments, status=status, words=words, **how)
        self.assertFalse(self.out.exists())
        self.assertEqual(self.cached(), before)
        return text

    def refuse_part(self, words, url, *arguments, **how):
        return self.refuse(words, self.manifest((url, 0x8000)), *arguments, **how)

    def cached(self):
        return {path.name: path.read_bytes() for path in self.cache.iterdir()} if self.cache.is_dir() else {}

    def assert_packed(self):
        """The bundle makes the flash of the files."""
        image = self.dir / "extracted.bin"
        self.assertEqual(run("extract", self.out, "-o", image).returncode, 0)
        flash = image.read_bytes()
        for offset, content in self.files.values():
            self.assertEqual(flash[offset:offset + len(content)], content)


class Urls(FetchTest):
    def test_parts(self):
        server = self.serve()
        fetched = self.pack(self.system(server), words=["warning", server.url("bootloader.bin"), "plain http"])
        self.assert_packed()
        self.assertEqual([(entry["url"], entry["size"], entry["sha256"], entry["from_cache"]) for entry in fetched],
                         [(server.url(name), len(content), hashlib.sha256(content).hexdigest(), False)
                          for name, (_, content) in self.files.items()])
        self.assertEqual({pathlib.Path(entry["file"]).parent for entry in fetched}, {self.cache})
        for entry, (name, (_, content)) in zip(fetched, self.files.items()):
            digits = hashlib.sha256(entry["url"].encode()).hexdigest()[:32]
            self.assertEqual(self.cached()[f"{digits}-{name}"], content)
        self.assertEqual(len(self.cached()), 5)
        self.assertIn(b"Signature: 8a477f597d28d172789f06886806bc55\n", self.cached()[TAG])

    def test_parts_beside_a_manifest_and_on_a_server(self):
        server = self.serve()
        (self.dir / "table.bin").write_bytes(self.files["table.bin"][1])
        fetched = self.pack(self.manifest(("table.bin", 0x8000), (server.url("app.bin"), 0x210000)))
        self.assertEqual([entry["url"] for entry in fetched], [server.url("app.bin")])

    def test_manifest_on_a_server(self):
        server = self.serve()
        (self.root / "manifest.json").write_text(self.manifest_of(*((name, at) for name, (at, _) in self.files.items())))
        fetched = self.pack(server.url("web/manifest.json"))
        self.assert_packed()
        self.assertEqual([entry["url"] for entry in fetched],
                         [server.url(f"web/{name}") for name in ("manifest.json", *self.files)])

    def test_references_as_in_a_browser(self):
        """RFC 3986, 5.4, and what manifests have; all from web/v1/manifest.json?key=1."""
        server = self.serve()
        (self.root / "my%20table.bin").write_bytes(self.files["table.bin"][1])
        (self.root / "%2e%2e%2ftable.bin").write_bytes(self.files["table.bin"][1])
        for reference, path in (("table.bin", "web/v1/table.bin"), ("./table.bin", "web/v1/table.bin"),
                                ("x/table.bin", "web/v1/x/table.bin"), ("/table.bin", "table.bin"),
                                ("../table.bin", "web/table.bin"), ("../../table.bin", "table.bin"),
                                ("../../../../table.bin", "table.bin"), ("x/../table.bin", "web/v1/table.bin"),
                                (f"//127.0.0.1:{server.port}/y/table.bin", "y/table.bin"),
                                ("table.bin?v=../2", "web/v1/table.bin?v=../2"), ("table.bin#sha", "web/v1/table.bin"),
                                ("my table.bin", "web/v1/my%20table.bin"),
                                ("%2e%2e%2ftable.bin", "web/v1/%2e%2e%2ftable.bin"),
                                (server.url("z/../table.bin"), "table.bin")):
            with self.subTest(reference=reference):
                (self.root / "manifest.json").write_text(self.manifest_of((reference, 0x8000)))
                fetched = self.pack(server.url("web/v1/manifest.json?key=1"), "--fetch-again")
                self.assertEqual(fetched[1]["url"], server.url(path))
                self.assertEqual(server.paths()[-1], "/" + path)

    def test_names_of_files_are_harmless(self):
        """Whatever a URL says: in the folder, each with a name of its own."""
        server = self.serve()
        table = self.files["table.bin"][1]
        names = ["%2e%2e%2f%2e%2e%2fx.bin", "..%2fx.bin", "a%00b", "-rf", ".hidden", "~", "%0a", "n" * 200, "x;y", "$(x)"]
        for name in names:
            (self.root / name).write_bytes(table)
        before = set(self.dir.rglob("*"))
        for name in names:
            fetched = self.pack(self.manifest((server.url(name), 0x8000)))
            self.assertRegex(fetched[0]["file"], rf"^{self.cache}/[0-9a-f]{{32}}-[A-Za-z0-9._-]{{1,60}}$")
        new = set(self.dir.rglob("*")) - before - {self.out, self.cache, self.dir / "manifest.json"}
        self.assertEqual({path.parent for path in new}, {self.cache})
        self.assertEqual(len(new), len(names) + 1)

    def test_parts_of_one_name(self):
        server = self.serve()
        parts = [(server.url(f"{folder}/table.bin"), 0x8000 + 0x1000 * folder) for folder in range(3)]
        fetched = self.pack(self.manifest(*parts), "--skip-check", "place")
        self.assertEqual(len({entry["file"] for entry in fetched}), 3)

    def test_one_url_twice_is_fetched_once(self):
        server = self.serve()
        url = server.url("table.bin")
        for options in ((), ("--fetch-again",)):
            fetched = self.pack(self.manifest((url, 0x8000), (url + "#x", 0x9000)), "--skip-check", "place", *options)
            self.assertEqual([entry["url"] for entry in fetched], [url])
        self.assertEqual(server.paths(), ["/table.bin"] * 2)

    def test_what_is_no_http(self):
        server = self.serve()
        for url, word in (("ftp://127.0.0.1/a.bin", "only http and https"), ("file:///etc/passwd", "only http and https"),
                          ("http://user:word@127.0.0.1/a.bin", "no user name"), ("http://", ""),
                          ("http://127.0.0.1:99999/a.bin", "ort number"), ("https://a b/c.bin", "")):
            text = self.refuse_part(["manifest.json", "part 1", word], url)
            self.assertEqual(text.count("\n"), 1)
            self.refuse(["--manifest", word], url, status=2)
        for reference in ("file:///etc/passwd", "javascript:x", "data:text/plain,x", "//user@127.0.0.1/a.bin"):
            (self.root / "manifest.json").write_text(self.manifest_of((reference, 0x8000)))
            self.pack(server.url("manifest.json"), "--fetch-again", status=3, words=["manifest.json", "part 1"])

    def test_what_would_steer_the_terminal(self):
        text = self.refuse_part(["part 1"], "http://127.0.0.1/\x1b[31m\u202e\x07.bin")
        self.assertNotRegex(text.replace("\n", ""), "[\x00-\x1f\x7f\u202e]")

    def test_usage(self):
        for option in (("--fetch-again",), ("--ca", self.root / "table.bin")):
            result = run("pack", "-o", self.out, "-c", "esp32", *option, "0x8000", self.root / "table.bin")
            self.assertEqual(result.returncode, 2)
            self.assertIn("--manifest", result.stderr)

    def test_bad_manifests_are_refused_before_anything_is_fetched(self):
        server = self.serve()
        good = (server.url("app.bin"), 0x210000)
        self.refuse(["part 2", "offset"], self.manifest(good, (server.url("table.bin"), -1)))
        self.refuse(["part 2", "path"], self.manifest(good, (None, 0x8000)))
        self.assertEqual(server.paths(), [])


class Cache(FetchTest):
    def test_second_run_works_without_the_server(self):
        server = self.serve()
        manifest = self.system(server)
        self.pack(manifest)
        before = self.cached()
        count = len(server.paths())
        self.assertEqual([entry["from_cache"] for entry in self.pack(manifest)], [True] * 4)
        self.assertEqual(len(server.paths()), count)
        server.close()
        self.assertEqual([entry["from_cache"] for entry in self.pack(manifest)], [True] * 4)
        self.assert_packed()
        self.refuse([server.url("bootloader.bin"), "onnect", "without a network"], manifest, "--fetch-again")
        self.assertEqual(self.cached(), before)

    def test_fetch_again(self):
        server = self.serve()
        manifest = self.manifest((server.url("app.bin"), 0x210000), (server.url("table.bin"), 0x8000))
        old = self.pack(manifest)
        (self.root / "table.bin").write_bytes(self.files["table.bin"][1] + b"\xff" * 1024)
        self.assertEqual([entry["sha256"] for entry in self.pack(manifest)], [entry["sha256"] for entry in old])
        kept = os.stat(old[0]["file"]).st_ino
        new = self.pack(manifest, "--fetch-again")
        self.assertEqual(new[0]["sha256"], old[0]["sha256"])
        self.assertEqual(os.stat(new[0]["file"]).st_ino, kept)  # what has not changed is not written
        self.assertEqual(new[1]["size"], old[1]["size"] + 1024)
        self.assertEqual([entry["sha256"] for entry in self.pack(manifest)], [entry["sha256"] for entry in new])

    def test_what_is_bad_in_the_cache(self):
        """The way out is named; a server's error page with status 200 is such a thing, too."""
        server = self.serve()
        (self.root / "manifest.json").write_text("<html>Sign in</html>")
        url = server.url("manifest.json")
        text = self.pack(url, status=3, words=["line 1", "not valid JSON"])
        self.assertNotIn("--fetch-again", text)
        (self.root / "manifest.json").write_text(self.manifest_of(("table.bin", 0x8000)))
        self.refuse(["not valid JSON", "--fetch-again"], url)
        self.assertEqual(len(self.pack(url, "--fetch-again")), 2)
        table = next(self.cache.glob("*-table.bin"))
        table.write_bytes(b"")
        self.refuse(["table.bin", "empty", "--fetch-again"], url)
        self.pack(url, "--fetch-again")
        self.assertEqual(table.read_bytes(), self.files["table.bin"][1])
        table.unlink()
        table.mkdir()
        self.pack(url, status=3, words=["not a regular file", "--fetch-again"])
        self.pack(url, "--fetch-again", status=3, words=["is a folder"])

    def test_no_place_for_it(self):
        server = self.serve()
        manifest = self.system(server)
        self.cache.write_bytes(b"mine")
        self.refuse([f"{self.cache}: is no folder", "name another output"], manifest)
        self.assertEqual(self.cache.read_bytes(), b"mine")
        self.cache.unlink()
        self.cache.mkdir()
        (self.cache / "notes.txt").write_bytes(b"mine")
        self.refuse([f"{self.cache}: is a folder that pack has not made"], manifest)
        (self.cache / "notes.txt").unlink()
        self.pack(manifest)  # an empty one is good
        (self.dir / "folder").mkdir()
        for out, word in ((self.dir / "missing/new.srb", "No such file"), (self.dir / "folder", "no file"),
                          ("/dev/null", "no file"), ("", "no file"), (self.dir / "manifest.json/new.srb", "Not a directory")):
            before = set(self.dir.rglob("*"))
            result = run("pack", "-o", out, "--manifest", manifest)
            self.assertEqual(result.returncode, 3, result.stderr)
            self.assertIn(word, result.stderr)
            self.assertEqual(set(self.dir.rglob("*")), before)
        self.assertEqual(len(server.paths()), 4)

    @unittest.skipIf(os.geteuid() == 0, "root may write everything")
    def test_write_protected(self):
        server = self.serve()
        manifest = self.system(server)
        self.pack(manifest)
        self.cache.chmod(0o555)
        self.pack(manifest)
        self.refuse([str(self.cache), "ermission"], manifest, "--fetch-again")
        self.cache.chmod(0o755)

    def test_full_disk(self):
        """Neither a part of a file nor a temporary one stays; the next run goes on."""
        server = self.serve()
        manifest = self.system(server)
        for limit, word in ((16, TAG), (1000, "not written")):
            self.pack(manifest, status=3, words=[word, "File too large"], limit=limit)
            self.assertEqual(list(self.cached()), [] if limit == 16 else [TAG])
        self.pack(manifest)
        self.assert_packed()

    def test_interrupted(self):
        server = self.serve()
        manifest = self.manifest((server.url("table.bin"), 0x8000), (server.url("slow/app.bin?ms=100&n=1000"), 0x210000))
        for number in (signal.SIGTERM, signal.SIGKILL):
            asked = len(server.paths())
            with subprocess.Popen([cases.PROGRAM, "pack", "-o", self.out, "--manifest", manifest], env=cases.ENVIRONMENT,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                while process.poll() is None and not any("slow" in path for path in server.paths()[asked:]):
                    time.sleep(.05)
                process.send_signal(number)
                self.assertEqual(process.wait(30), -number)
            self.assertEqual([name[33:] for name in sorted(self.cached()) if name != TAG], ["table.bin"])
        self.assertFalse(self.out.exists())

    def test_two_at_once(self):
        server = self.serve()
        manifest = self.manifest(*((server.url(f"slow/{name}?ms=1&n=10000"), at) for name, (at, _) in self.files.items()))
        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                for result in pool.map(lambda _: run("pack", "-o", self.out, "--manifest", manifest, "--fetch-again"), range(4)):
                    self.assertEqual(result.returncode, 0, result.stderr)
            self.assert_packed()
            self.assertEqual(len(self.cached()), 5)
            for path in self.cache.iterdir():
                path.unlink()
            self.cache.rmdir()

    def test_report(self):
        server = self.serve()
        manifest = self.manifest((server.url("table.bin"), 0x8000))
        content = self.files["table.bin"][1]
        for note in ("", ", from the cache"):
            result = run("pack", "-o", self.out, "--manifest", manifest)
            self.assertIn(f"Fetched\n  {server.url('table.bin')}, {len(content):,} bytes{note}\n    SHA-256 "
                          f"{hashlib.sha256(content).hexdigest()}\n", result.stdout)
            self.assertEqual("--fetch-again" in result.stdout, note != "")
        (self.dir / "table.bin").write_bytes(content)
        self.assertNotIn("Fetched", run("pack", "-o", self.out, "--manifest", self.manifest(("table.bin", 0x8000))).stdout)


class Servers(FetchTest):
    def redirect(self, server, to, code=302):
        return server.url(f"redirect?code={code}&to={urllib.parse.quote(to, '')}")

    def test_redirects(self):
        server, safe = self.serve(), self.serve(self.dir / "tls")
        for code in (301, 302, 303, 307, 308):
            fetched = self.pack(self.manifest((self.redirect(server, "/x/table.bin", code), 0x8000)))
            self.assertEqual(fetched[0]["sha256"], hashlib.sha256(self.files["table.bin"][1]).hexdigest())
        self.pack(self.manifest((self.redirect(server, safe.url("table.bin")), 0x8000)), "--ca", safe.ca)
        self.pack(self.manifest((self.redirect(safe, safe.url("table.bin")), 0x8000)), "--ca", safe.ca)
        chain = "/table.bin"
        for _ in range(10):
            chain = f"/redirect?to={urllib.parse.quote(chain, '')}"
        self.pack(self.manifest((server.url(chain[1:]), 0x8000)))
        longer = server.url(f"redirect?to={urllib.parse.quote(chain, '')}")
        self.refuse_part(["redirected to", "more than 10 redirects"], longer)

    def test_redirects_that_are_not_followed(self):
        server, safe = self.serve(), self.serve(self.dir / "tls")
        self.refuse_part(["redirect-loop", "more than 10 redirects"], server.url("redirect-loop"))
        for to, word in (("file:///etc/passwd", "only http and https"), ("ftp://127.0.0.1/x", "only http and https"),
                         (server.url("x").replace("//", "//user:word@"), "no user name"), ("http://", "not fetched")):
            self.refuse_part([server.url("redirect"), word], self.redirect(server, to))
        plain = server.url("table.bin")
        count = len(server.paths())
        self.refuse_part([safe.url("redirect"), "from https to plain http", plain], self.redirect(safe, plain), "--ca", safe.ca)
        around = self.redirect(server, self.redirect(safe, plain))
        self.refuse_part(["redirected to", "from https to plain http"], around, "--ca", safe.ca)
        self.assertNotIn("/table.bin", server.paths()[count:])
        self.refuse_part(["redirected to", "404"], self.redirect(server, "/404"))

    def test_https(self):
        server, other = self.serve(self.dir / "tls"), self.serve(self.dir / "other")
        manifest = self.system(server)
        for option in ((), ("--ca", other.ca)):
            self.refuse([server.url("bootloader.bin"), "certificate", "--ca FILE"], manifest, *option)
        self.assertNotIn("warning", self.pack_text(manifest, "--ca", server.ca))
        self.assert_packed()
        self.refuse_part(["localhost", "certificate"], server.url("table.bin").replace("127.0.0.1", "localhost"), "--ca", server.ca)
        self.refuse(["gone.pem"], manifest, "--ca", self.dir / "gone.pem")
        (self.dir / "no.pem").write_text("no certificate")
        self.refuse(["not fetched"], manifest, "--ca", self.dir / "no.pem", "--fetch-again")

    def pack_text(self, *arguments):
        result = run("pack", "-o", self.out, "--manifest", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stderr

    def test_plain_http_is_warned_of_once(self):
        server = self.serve()
        self.assertEqual(self.pack_text(self.system(server)).count("plain http"), 1)
        self.assertEqual(self.pack_text(self.system(server)).count("plain http"), 1)  # out of the cache, too

    def test_bad_answers(self):
        server = self.serve()
        with open(self.root / "large.bin", "wb") as file:
            file.truncate(32 * MIB + 1)
        for path, *words in (("404", "status 404 (not found)"), ("gone.bin", "404"), ("status?code=403", "status 403"),
                             ("status?code=500", "status 500"), ("status?code=206", "status 206"),
                             ("status?code=201", "status 201"), ("status?code=300", "status 300"), ("empty", "empty file"),
                             ("short/app.bin?n=1000", "remaining"), ("drop/app.bin?after=1000", "eset"),
                             ("chunked-short/table.bin", "not fetched"), ("hangup", "mpty reply"), ("garbage", "HTTP/0.9"),
                             ("half-headers", ""), ("auth/table.bin", "401"), ("large.bin", "larger than any flash (32 MiB)"),
                             ("chunked/large.bin?n=1000000", "larger than any flash (32 MiB)")):
            with self.subTest(path=path):
                self.refuse_part([server.url(path), "not fetched", *words], server.url(path))
                self.assertFalse(self.cache.exists())
        for path in ("chunked/table.bin", "nolength/table.bin", "norange/table.bin", "close/table.bin"):
            self.pack(self.manifest((server.url(path), 0x8000)))

    def test_no_server(self):
        no_name = "a" * 64 + ".test"  # too long for DNS, so that nobody is asked
        for url, word in ((f"http://127.0.0.1:{servers.free_port()}/a.bin", "onnect"), (f"https://{no_name}/a.bin", "resolve")):
            self.refuse_part([url, word, "without a network, download it in another way"], url)

    def test_servers_that_stall(self):
        """After 20 seconds; all at once, so that the test does not take longer."""
        server = self.serve()
        urls = [server.url(path) for path in ("silent", "stall/app.bin?after=10", "drip/app.bin?ms=500", "drip-headers?ms=500")]

        def pack(number):
            manifest = self.manifest((urls[number], 0x8000), name=f"{number}.json")
            start = time.monotonic()
            result = run("pack", "-o", self.dir / f"{number}.srb", "--manifest", manifest)
            return result.returncode, result.stderr, time.monotonic() - start
        with concurrent.futures.ThreadPoolExecutor(len(urls)) as pool:
            for status, text, seconds in pool.map(pack, range(len(urls))):
                self.assertEqual(status, 3, text)
                self.assertIn("too slow", text)
                self.assertLess(seconds, 60)


class Terminal(FetchTest):
    def show(self, *arguments):
        """All that it shows on a terminal."""
        status, shown = cases.run_on_terminal("pack", "-o", self.out, *arguments, streams=("stdin", "stdout", "stderr"))
        self.assertEqual(status, 0, shown)
        return shown.decode()

    def test_bar(self):
        server = self.serve()
        for path, bar in (("slow/app.bin?ms=2&n=10000", "app.bin \x1b[32m█"), ("chunked/app.bin", "app.bin ")):
            manifest = self.manifest((server.url(path), 0x210000))
            shown = self.show("--manifest", manifest)
            self.assertIn(bar, shown)
            if "slow" in path:
                self.assertRegex(shown, r" [\d.]+ [KM]iB of [\d.]+ [KM]iB")
            self.assertRegex(shown, "\r\x1b\\[K[^█]*Fetched")  # it is gone when the report comes
            self.assertNotIn("█", self.show("--manifest", manifest))  # nothing is fetched
            self.assertNotIn("█", self.show("--manifest", manifest, "--fetch-again", "--json"))
            self.assertNotIn("█", run("pack", "-o", self.out, "--manifest", manifest, "--fetch-again").stdout)


if __name__ == "__main__":
    runner.main(sys.argv[3:])
