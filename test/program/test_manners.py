#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the program treats files, streams and people: nothing is lost, nothing is half written, and errors say what helps.

usage: test_manners.py PROGRAM DEMO_IMAGES ROOT
"""
import errno
import functools
import gzip
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

import cases
import flash_dumps
import runner
import servers

DEMO_IMAGES = os.path.abspath(sys.argv[2])
PROGRAM = cases.PROGRAM
run = functools.partial(cases.run, timeout=120)
ROOT = pathlib.Path(sys.argv[3])
TABLE, SECTOR = 0x8000, 0x1000


def efuses():
    """Of an ESP32 in which nothing is burnt: as much of a summary as the program asks for."""
    version = {"block": 3, "word": 4, "pos": 0, "value": 0}
    names = ("FLASH_CRYPT_CNT", "ABS_DONE_1", "CODING_SCHEME", "WAFER_VERSION_MAJOR", "WAFER_VERSION_MINOR")
    return json.dumps({"SECURE_VERSION": version, **{name: {"value": 0} for name in names}}).encode()


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class MannersTest(cases.InOwnFolder):
    @classmethod
    def setUpClass(cls):
        cls.common = tempfile.TemporaryDirectory()
        common = cls.shared = pathlib.Path(cls.common.name)
        subprocess.run([DEMO_IMAGES, common], check=True, stdout=subprocess.DEVNULL)
        for arguments in (("keygen", "-o", common / "key.pem", "--public", common / "public.pem"),
                          ("pack", "-o", common / "system.srb", "--chip", "esp32", "--merged",
                           f"{common / 'app_upd.merged.bin'}@0x1000", "--sign", common / "key.pem")):
            result = run(*arguments)
            if result.returncode != 0:
                raise RuntimeError(result.stderr)

    @classmethod
    def tearDownClass(cls):
        cls.common.cleanup()

    def setUp(self):
        super().setUp()
        self.flash = self.copy("old-flash.bin", "dump.bin")
        self.bundle = self.copy("system.srb")
        self.key = self.copy("key.pem")
        self.public = self.copy("public.pem")
        self.mcuboot = self.copy("mcuboot.bin")
        self.app = self.write("courier.bin", flash_dumps.carrier())
        self.efuses = self.write("efuses.json", efuses())

    def copy(self, name, to=None):
        shutil.copy(self.shared / name, self.dir / (to or name))
        return self.dir / (to or name)

    def contents(self):
        return {path.name: path.read_bytes() for path in self.dir.iterdir() if path.is_file()}

    def assert_fails(self, status, words, *arguments, **how):
        result = run(*arguments, **how)
        self.assertEqual(result.returncode, status, (result.stdout or "") + result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        return result

    def writers(self):
        """Each way to write a file: a name, the arguments with OUT where its path stands, and the inputs."""
        bundle = ("--flash", self.flash, "--bundle", self.bundle, "--public-key", self.public)
        steps = ("--flash", self.flash, "0x1000+0x7000", self.mcuboot)
        return (
            ("simulate --out", ("simulate", *bundle, "--out", "OUT"), (self.flash, self.bundle, self.public)),
            ("simulate --html", ("simulate", *bundle, "--html", "OUT"), (self.flash, self.bundle, self.public)),
            ("simulate steps", ("simulate", *steps, "--out", "OUT"), (self.flash, self.mcuboot)),
            ("simulate --cut", ("simulate", *bundle, "--cut", "1:1", "--out", "OUT"), (self.flash, self.bundle)),
            ("explore --html", ("explore", *bundle, "--sample", "1", "--torn", "1", "--html", "OUT"),
             (self.flash, self.bundle, self.public)),
            ("pack", ("pack", "--chip", "esp32", "--skip-check", "app", "0x1000", self.mcuboot, "--sign", self.key, "--efuses",
                      self.efuses, "-o", "OUT"), (self.mcuboot, self.key, self.efuses)),
            ("courier", ("courier", "--app", self.app, "--bundle", self.bundle, "--public-key", self.public, "-o", "OUT"),
             (self.app, self.bundle, self.public)),
            ("courier --flash", ("courier", "--app", self.app, "--bundle", self.bundle, "--flash", self.flash, "-o", "OUT"),
             (self.flash,)),
            ("extract", ("extract", self.bundle, "--base", self.flash, "-o", "OUT"), (self.bundle, self.flash)),
            ("sign --out", ("sign", self.bundle, "--key", self.key, "-o", "OUT"), (self.key,)),
            ("sign --digest-out", ("sign", self.bundle, "--digest-out", "OUT"), (self.bundle,)),
        )


def with_out(arguments, path):
    return [path if argument == "OUT" else argument for argument in arguments]


class Inputs(MannersTest):
    """An output never overwrites an input."""

    def spellings(self, path):
        """Other names of a file that exists."""
        link, hard, folder = self.dir / "link", self.dir / "hard", self.dir / "folder"
        for name in (link, hard, folder, self.dir / "second"):
            if name.is_symlink() or name.exists():
                name.unlink()
        link.symlink_to(path.name)
        (self.dir / "second").symlink_to("link")
        os.link(path, hard)
        folder.symlink_to(".")
        return (path, path.name, f"./{path.name}", link, self.dir / "second", hard, folder / path.name,
                f"{self.dir}/../{self.dir.name}/{path.name}", f"{self.dir}//{path.name}", f"/proc/self/cwd/{path.name}",
                f"/proc/self/root{path}")

    def test_all_writers_and_inputs(self):
        for name, arguments, inputs in self.writers():
            for path in inputs:
                with self.subTest(writer=name, input=path.name):
                    before = path.read_bytes()
                    self.assert_fails(3, [path.name, "same file", "another"], *with_out(arguments, path), cwd=self.dir)
                    self.assertEqual(path.read_bytes(), before)

    def test_all_spellings(self):
        before = self.flash.read_bytes()
        for spelling in self.spellings(self.flash):
            with self.subTest(spelling=spelling):
                self.assert_fails(3, ["same file"], "extract", self.bundle, "--base", "dump.bin", "-o", spelling,
                                  cwd=self.dir)
                self.assertEqual(self.flash.read_bytes(), before)

    def test_before_the_work(self):
        result = run("simulate", "--flash", self.flash, "--bundle", self.bundle, "--public-key", self.public, "--html",
                     self.flash)
        self.assertEqual((result.returncode, result.stdout), (3, ""))

    def test_inputs_that_other_inputs_name(self):
        manifest = {"builds": [{"chipFamily": "ESP32", "parts": [{"path": "mcuboot.bin", "offset": 0x1000}]}]}
        path = self.write("manifest.json", json.dumps(manifest).encode())
        pack = ("pack", "--manifest", path, "--skip-check", "app", "-o")
        before = self.contents()
        for name in ("mcuboot.bin", "manifest.json"):
            self.assert_fails(3, [name, "same file"], *pack, self.dir / name)
        self.assertEqual(self.contents(), before)

    def test_two_outputs_in_one_place(self):
        (self.dir / "sub").mkdir()
        (self.dir / "other").symlink_to("sub")
        (self.dir / "dangling").symlink_to("sub/out")
        migration = ("simulate", "--flash", self.flash, "0x1000+0x7000", self.mcuboot)
        for first, second in (("out", "out"), ("out", "./out"), ("sub/out", "other/out"), ("dangling", "other/out")):
            self.assert_fails(3, ["already"], *migration, "--out", first, "--html", second, cwd=self.dir)
            self.assertFalse((self.dir / "out").exists() or (self.dir / "sub/out").exists())

    def test_sign_replaces_its_bundle_only(self):
        for out in ((), ("-o", self.bundle), ("-o", self.dir / "link")):
            (self.dir / "link").unlink(missing_ok=True)
            (self.dir / "link").symlink_to("system.srb")
            self.assertEqual(run("sign", self.bundle, "--key", self.key, *out).returncode, 0)
            self.assertEqual(run("verify", self.bundle, "--public-key", self.public).returncode, 0)
            self.assertTrue((self.dir / "link").is_symlink())

    def test_standard_output_is_no_input_and_no_output_either(self):
        before = self.flash.read_bytes()
        with open(self.flash, "ab") as out:
            self.assert_fails(3, ["standard output"], "inspect", self.flash, stdout=out)
        self.assertEqual(self.flash.read_bytes(), before)
        page = self.dir / "page.html"
        with open(page, "wb") as out:
            self.assert_fails(3, ["standard output"], "simulate", "-f", self.flash, "0x1000+0x7000", self.mcuboot,
                              "--html", page, stdout=out)


class Outputs(MannersTest):
    """Whole or not at all."""

    def test_no_place(self):
        (self.dir / "sub").mkdir()
        (self.dir / "nowhere").symlink_to("missing/out")
        (self.dir / "loop").symlink_to("loop")
        self.write("protected", b"old").chmod(0o444)
        for name, arguments, _ in self.writers():
            for out, word in (("missing/out", "missing"), ("sub", "folder"), ("sub/", "folder"), ("mcuboot.bin/x", "x"),
                              ("nowhere", "nowhere"), ("loop", "loop"), ("protected", "write-protected"), ("", "")):
                with self.subTest(writer=name, out=out):
                    self.assert_fails(3, [word], *with_out(arguments, out), cwd=self.dir)
        self.assertEqual((self.dir / "protected").read_bytes(), b"old")

    def test_the_old_file_survives_a_full_disk(self):
        for name, arguments, _ in self.writers():
            if name.startswith(("simulate", "explore")):
                continue  # the simulated chip itself keeps its log in a file of memory
            with self.subTest(writer=name):
                old = self.write("out", b"old")
                before = self.contents()
                self.assert_fails(3, ["out", os.strerror(errno.EFBIG)], *with_out(arguments, old), limit=16)
                self.assertEqual(self.contents(), before)

    def test_a_device_that_is_full(self):
        for name, arguments, _ in self.writers():
            with self.subTest(writer=name):
                self.assert_fails(3, ["/dev/full", os.strerror(errno.ENOSPC)], *with_out(arguments, "/dev/full"))

    def test_a_full_file_system(self):
        script = f"""mount -t tmpfs -o size=64k none {self.dir}/small && cp {self.key} {self.dir}/small/out &&
                     {PROGRAM} simulate -f {self.flash} 0x1000+0x7000 {self.mcuboot} --out {self.dir}/small/out >/dev/null
                     status=$?; ls -A {self.dir}/small; cmp {self.key} {self.dir}/small/out && exit $status"""
        (self.dir / "small").mkdir()
        if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", self.dir / "small"], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no file system can be mounted here")
        result = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (3, "out\n"), result.stderr)
        self.assertIn(os.strerror(errno.ENOSPC), result.stderr)

    def test_failed_runs_leave_the_old_file(self):
        other = self.dir / "other.pem"
        openssl("genrsa", "-out", other)
        old = self.write("out", b"old")
        before = self.contents()
        for status, *arguments in (
                (3, "sign", self.bundle, "--key", other), (3, "sign", self.bundle, "--key", other, "-o", old),
                (3, "sign", self.mcuboot, "--key", self.key, "-o", old),
                (3, "pack", "--chip", "esp32", "--skip-check", "app", "0x1000", self.mcuboot, "--sign", other, "-o", old),
                (1, "pack", "--chip", "esp32", "0x1000", self.flash, "-o", old),
                (3, "extract", self.mcuboot, "-o", old), (3, "simulate", "-f", self.mcuboot, "0", self.flash, "--out", old)):
            self.assert_fails(status, [], *arguments)
            self.assertEqual(self.contents(), before)

    def test_mode_links_and_leftovers(self):
        out = self.write("out", b"old")
        out.chmod(0o640)
        (self.dir / "link").symlink_to("out")
        (self.dir / "dangling").symlink_to("new")
        for name in ("link", "dangling", "plain"):
            self.assertEqual(run("extract", self.bundle, "-o", self.dir / name).returncode, 0)
        mask = os.umask(0)
        os.umask(mask)
        self.assertTrue((self.dir / "link").is_symlink() and (self.dir / "dangling").is_symlink())
        self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o640)
        self.assertEqual(stat.S_IMODE((self.dir / "plain").stat().st_mode), 0o666 & ~mask)
        self.assertEqual(out.read_bytes(), (self.dir / "new").read_bytes())
        self.assertFalse([name for name in os.listdir(self.dir) if name.startswith(".")])

    def test_pipes(self):
        fifo = self.dir / "fifo"
        os.mkfifo(fifo)
        with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
            self.assertEqual(run("sign", self.bundle, "--digest-out", fifo).returncode, 0)
            self.assertEqual(len(reader.stdout.read()), 32)
        self.assertTrue(stat.S_ISFIFO(fifo.stat().st_mode))

    def test_interrupted(self):
        """Neither a temporary file nor half an output stays."""
        before = self.contents()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with subprocess.Popen([PROGRAM, "explore", "-f", self.flash, "--full", "--torn", "12", "--bundle", self.bundle,
                                   "--allow-unsigned", "--html", self.dir / "page.html"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, start_new_session=True) as process:
                time.sleep(.3)
                os.killpg(process.pid, number)
                self.assertEqual(process.wait(30), -number)
            self.assertEqual(self.contents(), before)


class Streams(MannersTest):
    """Standard output that fails is an error."""

    def printers(self):
        bundle = ("--flash", self.flash, "--bundle", self.bundle, "--public-key", self.public)
        yield ("--help",)
        yield ("--version",)
        yield ("boot", "--help")
        for arguments in (("boot", self.flash), ("inspect", self.flash), ("inspect", self.bundle),
                          ("simulate", *bundle), ("explore", *bundle, "--sample", "1", "--torn", "1"),
                          ("diff", self.bundle, self.flash), ("key", self.key),
                          ("verify", self.bundle, "--public-key", self.public),
                          ("extract", self.bundle, "-o", self.dir / "out"),
                          ("pack", "--chip", "esp32", "--skip-check", "app", "0x1000", self.mcuboot, "-o", self.dir / "b")):
            yield arguments
            yield (*arguments, "--json")

    def test_full_and_closed(self):
        for arguments in self.printers():
            with self.subTest(command=arguments[0]), open("/dev/full", "wb") as full:
                self.assert_fails(3, ["standard output"], *arguments, stdout=full)
            with self.subTest(command=arguments[0], closed=True):
                result = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", PROGRAM, *map(str, arguments)], text=True,
                                        stderr=subprocess.PIPE, check=False)
                self.assertEqual(result.returncode, 3, result.stderr)
                self.assertIn("standard output", result.stderr)

    def test_a_closed_stream_is_not_the_output(self):
        """What is printed must not end up in a file that was opened later and got the stream's number."""
        expected = self.dir / "expected"
        self.assertEqual(run("extract", self.bundle, "-o", expected).returncode, 0)
        for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
            out = self.dir / "out"
            subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", PROGRAM, "extract", self.bundle, "-o", out],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            self.assertEqual(out.read_bytes(), expected.read_bytes())

    def test_json_is_utf8(self):
        """Names in a flash may be any bytes."""
        for name in (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\x80", b"a\x1b[31m", b"caf\xc3\xa9", b"\xf5",
                     b'"\\'):
            content = bytearray(self.flash.read_bytes())
            content[TABLE + 12:TABLE + 28] = name.ljust(16, b"\0")
            at = content.index(b"boot_swap_download_example\0")
            content[at:at + 32] = name.ljust(32, b"\0")
            flash = self.write("named.bin", content)
            for arguments in (("inspect", flash), ("boot", flash), ("diff", self.bundle, flash)):
                result = subprocess.run([PROGRAM, *map(str, arguments), "--json"], capture_output=True, check=False)
                answer = json.loads(result.stdout.decode("utf-8", "strict"))
                if arguments[0] == "inspect":
                    shown = answer["partition_table"]["entries"][0]["name"]
                    self.assertEqual(shown.encode().replace("\ufffd".encode(), b""),
                                     name.decode("utf-8", "ignore").encode())

    def interrupt_on_a_terminal(self, word, *arguments):
        """All that it shows until it is interrupted, after this word."""
        status, shown = cases.run_on_terminal(*arguments, streams=("stdin", "stdout", "stderr"), interrupt_after=word)
        self.assertEqual(status, -signal.SIGINT)
        return shown

    def test_interrupted_terminal(self):
        """No colour and no half line is left, by whatever draws."""
        bundle = ("-f", self.flash, "--bundle", self.bundle, "--public-key", self.public)
        with servers.Moody(self.dir) as server:
            slow = server.url("slow/mcuboot.bin?ms=100&n=500")
            for word, *arguments in ((b"states", "explore", *bundle, "--full", "--torn", "12"),
                                     (b"KiB of ", "simulate", "-f", self.flash, "0x1000+0x7000", slow)):
                with self.subTest(command=arguments[0]):
                    shown = self.interrupt_on_a_terminal(word, *arguments)
                    self.assertTrue(shown.endswith(b"\x1b[0m\r\x1b[K"), shown[-200:])


class Keys(MannersTest):
    def pem(self, name, *arguments):
        openssl(*arguments, "-out", self.dir / name)
        return self.dir / name

    def test_keygen_says_what_it_made(self):
        private, public = self.dir / "a.pem", self.dir / "a.pub"
        result = run("keygen", "-o", private, "--public", public)
        self.assertEqual(result.returncode, 0)
        shown = re.match(r"key pair ([0-9a-f]{16}) on P-256\n  private +(\S+): .*secret.*\n  public +(\S+): ", result.stdout)
        self.assertEqual(shown.groups()[1:], (str(private), str(public)))
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o600)
        for path in (private, public):
            self.assertEqual(json.loads(run("key", path, "--json").stdout)["key_id"], shown.group(1))

    def test_public_key_on_standard_output(self):
        result = run("keygen", "-o", self.dir / "a.pem")
        self.assertRegex(result.stdout, r"\A-----BEGIN PUBLIC KEY-----\n[^-]+-----END PUBLIC KEY-----\n\Z")
        self.assertRegex(result.stderr, r"\Akey pair [0-9a-f]{16} on P-256\n")
        with open("/dev/full", "wb") as full:
            self.assert_fails(3, ["standard output"], "keygen", "-o", self.dir / "b.pem", stdout=full)
        self.assertFalse((self.dir / "b.pem").exists(), "a private key whose public half is lost")

    def test_nothing_is_overwritten(self):
        (self.dir / "link").symlink_to("missing")
        before = self.contents()
        for name in ("key.pem", "dump.bin", "link", "."):
            self.assert_fails(3, [name, "exists"], "keygen", "-o", name, cwd=self.dir)
            self.assert_fails(3, [name, "exists"], "keygen", "-o", "new.pem", "--public", name, cwd=self.dir)
            self.assert_fails(3, [name, "exists"], "key", "key.pem", "--public", name, cwd=self.dir)
        self.assert_fails(3, ["exists"], "keygen", "-o", "new.pem", "--public", "./new.pem", cwd=self.dir)
        self.assert_fails(3, ["new.pem", os.strerror(errno.EFBIG)], "keygen", "-o", "new.pem", limit=16, cwd=self.dir)
        self.assertEqual(self.contents(), before)

    def test_key_shows_either_half(self):
        shown = json.loads(run("inspect", self.bundle, "--json").stdout)["key_id"]
        pkcs8 = self.pem("pkcs8.pem", "pkcs8", "-topk8", "-nocrypt", "-in", self.key)
        named = self.pem("named.pem", "ecparam", "-name", "prime256v1", "-genkey")  # with "EC PARAMETERS" in front
        self.assertEqual(json.loads(run("key", self.public, "--json").stdout),
                         {"file": str(self.public), "half": "public", "key_id": shown})
        for path in (self.key, pkcs8):
            self.assertEqual(run("key", path).stdout, f"{path}: private key {shown}, to be kept secret\n")
        self.assertEqual(run("key", named).returncode, 0)
        self.assertEqual(run("key", self.key, "--public", self.dir / "half.pem").returncode, 0)
        self.assertEqual((self.dir / "half.pem").read_bytes(), self.public.read_bytes())

    def test_the_wrong_kind_is_told_by_name(self):
        """Also each other kind of key, for whatever asks for a key."""
        rsa = self.pem("rsa.pem", "genrsa", "-traditional")
        kinds = (
            (self.key, "a private key", True), (self.public, "a public key", False), (rsa, "an RSA key", None),
            (self.pem("rsa8.pem", "pkcs8", "-topk8", "-nocrypt", "-in", rsa), "a private key", None),
            (self.pem("p384.pem", "ecparam", "-name", "secp384r1", "-genkey", "-noout"), "a private key", None),
            (self.pem("p384.pub", "ec", "-pubout", "-in", self.dir / "p384.pem"), "a public key", None),
            (self.pem("encrypted.pem", "ec", "-in", self.key, "-aes128", "-passout", "pass:x"), "an encrypted private key",
             None),
            (self.pem("encrypted8.pem", "pkcs8", "-topk8", "-in", self.key, "-passout", "pass:x"),
             "an encrypted private key", None),
            (self.pem("cert.pem", "req", "-x509", "-key", self.key, "-subj", "/CN=x"), "a certificate", None),
            (self.pem("der.pem", "ec", "-in", self.key, "-outform", "DER"), "no PEM", None),
            (self.flash, "no PEM", None), (self.bundle, "no PEM", None))
        for path, what, private in kinds:
            users = ((True, ("sign", self.bundle, "--key", path, "-o", self.dir / "out")),
                     (True, ("pack", "--chip", "esp32", "--skip-check", "app", "0x1000", self.mcuboot, "--sign", path, "-o",
                             self.dir / "out")),
                     (False, ("verify", self.bundle, "--public-key", path)),
                     (False, ("simulate", "-f", self.flash, "--bundle", self.bundle, "--public-key", path)),
                     (None, ("key", path)))
            for wanted, arguments in users:
                with self.subTest(file=path.name, command=arguments[0]):
                    if wanted is None and private is None or wanted is not None and wanted is not private:
                        self.assert_fails(3, [path.name, what, "P-256"], *arguments)
        self.assert_fails(3, ["key FILE --public"], "verify", self.bundle, "--public-key", self.key)
        self.assertFalse((self.dir / "out").exists())

    def test_ignored_by_git(self):
        """What the READMEs of the examples put into their folders is not committed by accident."""
        names = {"courier": ("upload.bin", "settings.json", "system.srb", "dump.bin", "build/x", "build-by-url/x", "sdkconfig"),
                 "bundle_example": ("key.pem", "main/public_key.pem", "system.srb", "dump.bin", "build/x", "sdkconfig"),
                 "boot_swap_embedded_example": ("main/app_upd.merged.bin", "mcuboot.bin", "app_upd.bin", "build/x"),
                 "boot_swap_download_example": ("mcuboot.bin", "app_upd.bin", "managed_components/x", "dependencies.lock")}
        for path in (ROOT / "examples").iterdir():
            if not (path / "README.md").exists():
                continue
            shutil.copytree(path, self.dir / path.name)
            folder = self.dir / path.name
            subprocess.run(["git", "init", "-q", folder], check=True)
            placed = re.findall(r"(?<![\w/])(?:main/)?\w+(?:\.\w+)*\.(?:pem|srb)\b", (path / "README.md").read_text("utf-8"))
            for name in (*placed, *names[path.name]):
                with self.subTest(example=path.name, file=name):
                    self.assertEqual(subprocess.run(["git", "-C", folder, "check-ignore", "-q", name],
                                                    check=False).returncode, 0)


class Statuses(MannersTest):
    """docs/program.md: the same kind of error, the same status, in every command."""

    def assert_all(self, status, kind, commands):
        for arguments in commands:
            with self.subTest(kind=kind, command=arguments[0]):
                result = run(*arguments, cwd=self.dir)
                self.assertEqual(result.returncode, status, f"{arguments}\n{result.stdout}{result.stderr}")
                if status >= 2:
                    self.assertEqual(result.stdout, "")
                    self.assertTrue(result.stderr)

    def commands(self, flash="dump.bin", bundle="system.srb", key="key.pem", public="public.pem", image="mcuboot.bin",
                 summary="efuses.json"):
        """Each command, with each kind of file that it takes in its place."""
        apply = ("-f", flash, "--bundle", bundle, "--public-key", public)
        carry = ("courier", "--app", "courier.bin", "-o", "out", "--bundle", bundle)
        return {
            "flash": (("boot", flash), ("simulate", *apply), ("explore", *apply, "--sample", "1"), ("diff", bundle, flash),
                      ("extract", bundle, "--base", flash, "-o", "out"), (*carry, "-f", flash),
                      ("simulate", "-f", flash, "--upload", "courier.bin")),
            "bundle": (("diff", bundle, flash), ("extract", bundle, "-o", "out"), ("sign", bundle, "--key", key),
                       ("sign", bundle, "--digest-out", "out"), ("verify", bundle, "--public-key", public),
                       ("simulate", *apply), ("explore", *apply, "--sample", "1"), carry),
            "key": (("sign", bundle, "--key", key), ("key", key),
                    ("pack", "-c", "esp32", "--skip-check", "app", "0x1000", image, "-o", "out", "--sign", key)),
            "public": (("verify", bundle, "--public-key", public), (*carry, "--public-key", public), ("simulate", *apply), ("explore", *apply), ("key", public)),
            "summary": (("boot", flash, "--efuses", summary), ("simulate", *apply, "--efuses", summary),
                        ("pack", "-c", "esp32", "--skip-check", "app", "0x1000", image, "-o", "out", "--efuses", summary)),
            "image": (("inspect", image), ("courier", "--app", image, "-o", "out", "--bundle", bundle), ("pack", "-c", "esp32", "0x1000", image, "-o", "out"),
                      ("simulate", "-f", flash, "0x1000", image), ("explore", "-f", flash, "0x1000", image)),
        }

    def test_good(self):
        self.assert_all(0, "good", [("inspect", "dump.bin"), ("inspect", "system.srb"), ("boot", "dump.bin"),
                                    *self.commands()["bundle"], *self.commands()["key"],
                                    *self.commands()["summary"]])

    def test_files_that_are_missing_or_nothing_at_all(self):
        (self.dir / "folder").mkdir()
        self.write("empty", b"")
        self.write("secret", b"x").chmod(0)
        names = ["missing", "folder", "empty"] + ([] if os.geteuid() == 0 else ["secret"])
        for name in names:
            for role in ("flash", "bundle", "key", "public", "image", "summary"):
                self.assert_all(3, f"{role} {name}", self.commands(**{role: name})[role])

    def test_files_that_are_something_else(self):
        self.write("elf", b"\x7fELF" + b"\0" * 4096)
        self.write("gz", gzip.compress(os.urandom(4096)))
        for name in ("elf", "gz", "key.pem"):
            for role in ("flash", "bundle", "summary"):
                self.assert_all(3, f"{role} {name}", self.commands(**{role: name})[role])
        self.assert_all(3, "inspect", [("inspect", "key.pem")])
        self.assert_all(0, "inspect tells what it is", [("inspect", "elf"), ("inspect", "gz")])

    def test_bundles_that_are_damaged(self):
        content = bytearray(self.bundle.read_bytes())
        content[100] ^= 1
        self.write("damaged.srb", content)
        commands = self.commands(bundle="damaged.srb")["bundle"]
        asked = [arguments for arguments in commands if arguments[0] in ("verify", "simulate", "explore")]
        self.assert_all(1, "damaged, and asked", asked)
        self.assert_all(3, "damaged", [*(set(commands) - set(asked)), ("inspect", "damaged.srb")])

    def test_outputs_that_cannot_be_written(self):
        for name, arguments, _ in self.writers():
            self.assert_all(3, name, [with_out(arguments, "missing/out")])
        self.assert_all(3, "keygen", [("keygen", "-o", "missing/out"), ("key", "key.pem", "--public", "missing/out")])

    def test_usage(self):
        names = re.findall(r"(?m)^  (\w+) +\w", run("--help").stdout.split("Commands:")[1])
        self.assertGreaterEqual(len(names), 11)
        self.assert_all(2, "unknown option", [(name, "--nonsense") for name in names])
        self.assert_all(2, "no arguments", [(name,) for name in names])
        self.assert_all(2, "too many", [(name, "a", "b", "c") for name in names if name not in ("simulate", "explore")])
        migration = ("-f", "dump.bin", "0x1000+0x7000", "mcuboot.bin")
        pack = ("pack", "-c", "esp32", "-o", "out", "0x8000", "dump.bin")
        self.assert_all(2, "no such thing", [
            ("boot", "dump.bin", "--chip", "esp99"), ("inspect", "dump.bin", "--chip", "esp99"),
            ("simulate", *migration, "--chip", "esp99"), ("pack", "-c", "esp99", "-o", "out", "0", "dump.bin"),
            ("simulate", *migration, "--running", "0x300000"), ("explore", *migration, "--running", "0x300000"),
            ("simulate", *migration, "--cut", "99999999"), ("simulate", *migration, "--flash-chip", "X"),
            ("pack", "-c", "esp32", "-o", "out", "--merged", "dump.bin", "--keep", "nvsx"),
            ("pack", "-c", "esp32", "-o", "out", "--merged", "dump.bin", "--erase", "nvsx"),
            ("pack", "-c", "esp32", "-o", "out", "--merged", "dump.bin", "--move", "nvsx"),
            (*pack, "--skip-check", "nonsense"), (*pack, "--flash-freq", "41m"), (*pack, "--flash-size", "5MB"),
            ("simulate", "-f", "dump.bin", "--bundle", "system.srb", "--allow-unsigned", "--skip-check", "nonsense")])
        self.assert_all(2, "bad number", [
            ("inspect", "dump.bin", "--offset", "x"), ("boot", "dump.bin", "--revision", "x"),
            ("simulate", *migration, "--running", "x"), ("simulate", *migration, "--cut", "x"),
            ("explore", *migration, "--cuts", "0"), ("pack", "-c", "esp32", "-o", "out", "x", "dump.bin"),
            ("pack", "-c", "esp32", "-o", "out", "--merged", "dump.bin", "--keep", "0x1000+x")])

    def test_no(self):
        blank = self.write("blank.bin", b"\xff" * (4 << 20))
        small = self.write("small.bin", b"\xff" * (1 << 20))
        other = self.dir / "other.pub"
        self.assertEqual(run("keygen", "-o", self.dir / "other.pem", "--public", other).returncode, 0)
        self.assert_all(1, "does not boot", [("boot", blank), ("simulate", "-f", "dump.bin", "0x1000+0x7000", "mcuboot.bin")])
        self.assert_all(1, "other key", [("verify", "system.srb", "--public-key", other),
                                         ("simulate", "-f", "dump.bin", "--bundle", "system.srb", "--public-key", other)])
        self.assert_all(1, "flash too small", [("diff", "system.srb", small), ("extract", "system.srb", "--base", small, "-o",
                                                                              "out")])
        self.assert_all(1, "would not boot", [("pack", "-c", "esp32", "-o", "out", "0x1000", "dump.bin")])
        self.assert_all(3, "no app to start", [("simulate", "-f", blank, "0x1000", "mcuboot.bin"),
                                               ("explore", "-f", blank, "0x1000", "mcuboot.bin"),
                                               ("simulate", "-f", blank, "0x1000", "mcuboot.bin", "--cut", "1")])

    def test_the_table_is_that_of_the_help(self):
        page = (ROOT / "docs" / "program.md").read_text("utf-8")
        self.assertEqual(re.findall(r"(?m)^\| (\d) \|", page), ["0", "1", "2", "3"])
        self.assertEqual(re.findall(r"(\d) \w", run("--help").stdout.split("Exit status:")[1]), ["0", "1", "2", "3"])


class Words(MannersTest):
    """Messages name the cause and the way out."""
    ONE_OF_MANY = r"(?<![\d.,x])1 (requests|chunks|(boot path )?sectors|failures|states|pages|segments|blocks|times|operations)\b"

    @staticmethod
    def command_names():
        return re.findall(r"(?m)^  (\w+) +\w", run("--help").stdout.split("Commands:")[1])

    def test_help(self):
        for name in ("", *self.command_names()):
            command = (name,) if name else ()
            short, long = run(*command, "-h"), run(*command, "--help")
            self.assertEqual((short.returncode, short.stdout, short.stderr), (0, long.stdout, ""))
            self.assertIn("-h, --help", short.stdout)

    def test_one_letter_one_meaning(self):
        meanings = {}
        for name in re.findall(r"(?m)^  (\w+) +\w", run("--help").stdout.split("Commands:")[1]):
            for letter, word in re.findall(r"(?m)^  -(\w), --([\w-]+)", run(name, "--help").stdout):
                self.assertEqual(meanings.setdefault(letter, word), word, name)

    def test_files_that_are_no_images(self):
        kinds = (("app.elf", b"\x7fELF" + b"\1" * 5000, "elf2image"), ("app.gz", gzip.compress(b"x" * 9999), "gzip -d"),
                 ("app.zip", b"PK\3\4" + b"\0" * 5000, "unzip"), ("app.uf2", b"UF2\n" + b"\0" * 508, "UF2"),
                 ("cert.pem", self.key.read_bytes(), "PEM"), ("page.bin", b"<!DOCTYPE html><p>404", "HTML"))
        for name, content, word in kinds:
            path = self.write(name, content)
            described = name in ("app.elf", "app.gz", "app.uf2")  # inspect is asked what a file is, and can tell
            if described:
                result = run("inspect", path)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn(word, " ".join(result.stdout.split()))
            for arguments in (*(() if described else (("inspect", path),)), ("boot", path), ("simulate", "-f", path, "0", path),
                              ("diff", path, self.flash), ("verify", path, "--public-key", self.public),
                              ("simulate", "-f", self.flash, "--upload", path), ("courier", "--app", path, "--bundle", self.bundle,
                                                                                 "-o", self.dir / "out"),
                              ("simulate", "-f", self.flash, "--bundle", path, "--public-key", self.public)):
                with self.subTest(file=name, command=arguments[0]):
                    self.assert_fails(3, [name, word], *arguments)
            refused = (3, [name, "UF2"]) if name == "app.uf2" else (1, [name, word, "--skip-check place"])  # pack reads UF2
            self.assert_fails(*refused, "pack", "-c", "esp32", "-o", self.dir / "out", "0x1000", path)
            self.assert_fails(1, ["warning", name, word], "simulate", "-f", self.flash, "0x1000", path)
        self.assert_fails(3, ["is a bundle", "simulate --bundle"], "boot", self.bundle)
        self.assert_fails(3, ["read-flash"], "boot", self.mcuboot)
        self.assert_fails(3, ["no bundle", "pack"], "diff", self.flash, self.flash)

    def test_servers(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):  # pylint: disable=invalid-name
                self.send_response(int(self.path[1:]))
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
            for code, status, words in (("404", 3, ["404", "not found"]), ("403", 3, ["403"]), ("500", 3, ["500"]),
                                        ("200", 2, ["length", "OFFSET+SIZE"]), ("405", 2, ["OFFSET+SIZE"]),
                                        ("501", 2, ["OFFSET+SIZE"])):
                self.assert_fails(status, [f"{url}/{code}", *words], "simulate", "-f", self.flash, "0x1000", f"{url}/{code}")
            server.shutdown()
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
            self.assert_fails(3, [url, "connect", "server"], "simulate", "-f", self.flash, "0x1000", url)
        flash = ("-f", self.flash, "--allow-unsigned")
        for command in ("simulate", "explore"):
            for url in ("http://a/b.srb", "https://a/b.srb", "ftp://a/b.srb"):
                self.assert_fails(2, [f"--url {url}"], command, *flash, "--bundle", url)
        self.assert_fails(2, ["--bundle x.srb"], "simulate", *flash, "--url", "x.srb")

    def test_servers_that_fail_in_the_rehearsal(self):
        """Each cause has its way out; what was not planned is not shown as a plan."""
        cases = (("404", "HTTP_STATUS", "the path"), ("status?code=403", "HTTP_STATUS", "may anybody"), ("status?code=503", "HTTP", "busy|may anybody"),
                 ("empty", "(SHORT|EMPTY)_BODY", "whole file"), ("short/b?n=100", "SHORT_BODY", "whole file"),
                 ("redirect-loop", "HTTP", "address"), ("hangup", "HTTP", "address"))
        shutil.copy(self.bundle, self.dir / "b")
        with servers.Moody(self.dir) as server:
            urls = [(server.url(path), *words) for path, *words in cases]
            for url, error, way_out in (*urls, ("http://127.0.0.1:1/b", "HTTP_CONNECT", "address")):
                for source in (("--url", url, "--allow-unsigned"), ("0x110000+0x100000", url)):
                    with self.subTest(url=url, source=source[0]):
                        result = run("simulate", "-f", self.flash, *source)
                        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
                        told = re.search(r"  result +(ESP_\S+)(?:.|\n)*?\n  way out +((?:.|\n)*?)\n  \w", result.stdout)
                        self.assertIsNotNone(told, result.stdout)
                        self.assertRegex(told[1], error)
                        self.assertRegex(told[2], way_out)
                        self.assertNotRegex(result.stdout, r"(?m)^  (sectors|planned|staging) ")

    def test_unknown_names_come_with_the_known_ones(self):
        chips = ("esp32", "esp32s2", "esp32s3", "esp32c2", "esp32c3", "esp32c5", "esp32c6", "esp32c61", "esp32h2", "esp32p4")
        out = ("-o", self.dir / "out")
        for arguments in (("boot", self.flash, "-c", "esp99"), ("pack", "-c", "esp99", *out, "0", self.flash)):
            self.assert_fails(2, chips, *arguments)
        path = self.write("manifest.json", b'{"builds": [{"chipFamily": "ESP99", "parts": []}]}')
        self.assert_fails(3, chips, "pack", "--manifest", path, *out)
        pack = ("pack", "-c", "esp32", *out, "--merged", self.flash)
        for option in ("--keep", "--erase", "--move"):
            self.assert_fails(2, ["nvsx", "nvs, otadata, phy_init, ota_1, ota_0"], *pack, option, "nvsx")
        self.assert_fails(2, ["no table is packed"], "pack", "-c", "esp32", *out, "0x1000", self.mcuboot, "--keep", "nvs")
        self.assert_fails(2, ["80m, 40m, 26m, 20m"], *pack, "--flash-freq", "41m")
        self.assert_fails(2, ["1MB, 2MB, 4MB"], *pack, "--flash-size", "5MB")
        self.assert_fails(2, ["qio, qout, dio, dout"], *pack, "--flash-mode", "xio")

    def simulate(self, *arguments):
        return run("simulate", "-f", self.flash, *arguments).stdout

    def test_way_out_of_refusals(self):
        """Sizes, modes and the app that is in the way, for bundles, for single images and for pack."""
        out = self.dir / "out.srb"
        small = self.write("small.bin", self.with_header("2MB"))
        self.assert_fails(1, ["check 'flash-size'", "pack --flash-size"], "pack", "-c", "esp32", "-o", out, "--merged", small)
        self.assert_fails(3, ["past", "--flash-size"], "pack", "-c", "esp32", "-o", out, "0x1ff000", self.mcuboot,
                          "--flash-size", "2MB")
        bootloader = self.write("bootloader.bin", small.read_bytes()[0x1000:0x8000])
        self.assertRegex(self.simulate("0x1000+0x7000", bootloader), r"way out +set the size[^\n]*\n[^\n]*--flash-size")
        pack = ("pack", "-c", "esp32", "-o", out, "--merged", self.flash)
        bundle = ("--bundle", out, "--allow-unsigned")
        self.assertEqual(run(*pack, "--flash-freq", "80m").returncode, 0)
        self.assertRegex(self.simulate(*bundle), r"way out +[^\n]*\n?[^\n]*--flash-mode(.|\n)*--flash-freq")
        self.assertEqual(run("pack", "-c", "esp32s3", "-o", out, "--skip-check", "bootloader", "--skip-check", "app",
                             "--skip-check", "place", "0x10000", self.mcuboot).returncode, 0)
        self.assertRegex(self.simulate(*bundle), r"way out +[^\n]*pack --chip")
        self.assertRegex(self.simulate("--bundle", self.bundle, "--public-key", self.other_key()), r"way out +sign it")
        self.assertRegex(self.simulate("0x0+0x8000", self.mcuboot), r"way out +look at the image with inspect")
        answer = json.loads(run("simulate", "-f", self.flash, "0x0+0x8000", self.mcuboot, "--json").stdout)
        self.assertIn("--skip-image-check", answer["way_out"])

    def with_header(self, size):
        """The dump, with another size in the header of its bootloader, whose digest fits."""
        content = bytearray(self.flash.read_bytes())
        bootloader = self.write("in.bin", content[0x1000:0x8000])
        bundle, out = self.dir / "header.srb", self.dir / "header.out"
        self.assertEqual(run("pack", "-c", "esp32", "-o", bundle, "0x1000", bootloader, "--flash-size", size).returncode, 0)
        self.assertEqual(run("extract", bundle, "-o", out).returncode, 0)
        content[0x1000:0x8000] = out.read_bytes()[0x1000:0x8000]
        return bytes(content)

    def other_key(self):
        path = self.dir / "other.pub"
        run("keygen", "-o", self.dir / "other.pem", "--public", path)
        return path

    def test_an_app_in_the_way(self):
        image = self.shared / "app_upd.merged.bin"
        flash = bytearray((self.shared / "embedded-flash.bin").read_bytes())
        at = TABLE
        while flash[at:at + 2] == b"\xaa\x50":  # without ota_1 nothing takes the app
            if flash[at + 12:at + 17] == b"ota_1":
                flash[at + 2:at + 4] = b"\x01\x06"
                flash[at + 12:at + 17] = b"data1"
            at += 32
        flash[at:at + 32] = b"\xff" * 32  # no MD5
        path = self.write("one.bin", flash)
        bundle = self.dir / "over.srb"
        self.assertEqual(run("pack", "-c", "esp32", "-o", bundle, "--merged", f"{image}@0x1000").returncode, 0)
        result = run("simulate", "-f", path, "--bundle", bundle, "--allow-unsigned")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"way out +pack --give-up data1, then --allow-temporary-table: ")

    def test_truncated_names_end_in_an_ellipsis(self):
        shown = run("inspect", self.flash).stdout
        self.assertIn("ota_0: boot_swap_download_exa…\n", shown)
        plain = run("inspect", self.flash, environment={"LC_ALL": "C"}).stdout
        self.assertIn("ota_0: boot_swap_download_e...\n", plain)
        self.assertIn("  otadata\n", shown)

    def test_numbers_of_one(self):
        for arguments in (("simulate", "-f", self.flash, "0x1000+0x7000", self.mcuboot),
                          ("simulate", "-f", self.flash, "--bundle", self.bundle, "--public-key", self.public),
                          ("diff", self.bundle, self.flash), ("inspect", self.bundle),
                          ("explore", "-f", self.flash, "0x1000+0x7000", self.mcuboot, "--sample", "1", "--torn", "1")):
            self.assertNotRegex(run(*arguments).stdout, self.ONE_OF_MANY)
        self.assertIn("in 1 request\n", self.simulate("0x1000+0x7000", self.mcuboot))

    def test_numbers_of_one_thing(self):
        """Bundle, app and migration that have one of what they mostly have many."""
        one = self.write("one.bin", b"\x5a" * 100)
        bundle = self.dir / "one.srb"
        packed = run("pack", "-c", "esp32", "-o", bundle, "--skip-check", "app", "0x300000", one)
        migration = ("-f", self.flash, "--bundle", bundle, "--allow-unsigned")
        app = self.write("app.bin", flash_dumps.tiny_app("1"))
        for result in (packed, run("inspect", bundle), run("diff", bundle, self.flash), run("inspect", app),
                       run("simulate", *migration), run("explore", *migration, "--sample", "1", "--torn", "1")):
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertNotRegex(result.stdout, self.ONE_OF_MANY)
        self.assertRegex(packed.stdout, r"describes +1 sector \(4 KiB\)")
        self.assertRegex(packed.stdout, r"carries +1 chunk, ")
        self.assertRegex(run("simulate", *migration).stdout, r"programs +1 page in 1 sector\n")

    def test_planned_and_measured(self):
        shown = self.simulate("--bundle", self.bundle, "--public-key", self.public)
        answer = json.loads(self.simulate("--bundle", self.bundle, "--public-key", self.public, "--json"))
        flat = re.sub(r"\s+", " ", shown)
        self.assertEqual(answer["bytes_downloaded"], answer["plan"]["bytes_to_download"])
        self.assertNotIn("more than planned", flat)
        self.assertIn(f"The plan's {answer['plan']['window_ms_typical'] / 1e3:.3f} s", flat)
        told = json.loads(run("diff", self.bundle, self.flash, "--json").stdout)
        self.assertEqual((told["sectors_right"], told["sectors_wrong"]),
                         (answer["plan"]["sectors_right"], answer["plan"]["sectors_to_write"]))

    def test_planned_where_the_app_moves(self):
        """The chip restarts, and the manifest is fetched once more: that is planned."""
        bundle = self.dir / "app.srb"
        run("pack", "-c", "esp32", "-o", bundle, "0x210000", self.write("app.bin", flash_dumps.tiny_app("2.0")),
            "--partition-table", "none", "--sign", self.key)
        answer = json.loads(self.simulate("--bundle", bundle, "--public-key", self.public, "--json"))
        self.assertEqual(answer["plan"]["relocation"], "slot")
        self.assertGreater(answer["bytes_downloaded"], bundle.stat().st_size)
        self.assertEqual(answer["bytes_downloaded"], answer["plan"]["bytes_to_download"])

    def test_dumps_that_are_not_complete(self):
        content = self.flash.read_bytes()
        header = bytearray(content)
        header[TABLE:TABLE + SECTOR] = b"\xff" * SECTOR
        for name, part, complete, word in (
                ("all.bin", content, True, "as its bootloader says"), ("more.bin", content + b"\xff" * len(content), True,
                                                                       "more than its bootloader says: 4 MiB"),
                ("half.bin", content[:2 << 20], False, "'ota_0' ends at 0x400000"),
                ("header.bin", bytes(header[:1 << 20]), False, "its bootloader says 4 MiB"),
                ("blank.bin", b"\xff" * (1 << 20), None, "no bootloader")):
            path = self.write(name, part)
            for command in ("boot", "inspect"):
                with self.subTest(dump=name, command=command):
                    answer = json.loads(run(command, path, "--json").stdout)
                    answer = answer.get("boot", answer)["dump"]
                    self.assertEqual(answer["complete"], complete)
                    self.assertIn(word, answer["text"])
                    self.assertIn(word, re.sub(r"\s+", " ", run(command, path).stdout))
        result = run("simulate", "-f", self.flash, "0x1000+0x7000", self.mcuboot)
        self.assertIn("4 MiB of flash, complete, timed", result.stdout)
        cut = self.write("cut.bin", self.with_header("8MB"))
        for command in ("simulate", "explore"):
            result = run(command, "-f", cut, "0x1000+0x7000", self.mcuboot)
            self.assertIn("warning", result.stderr)
            self.assertIn("not complete: 4 MiB, and its bootloader says 8 MiB", result.stderr)

    def test_a_power_loss_is_called_so(self):
        """A cut is the option's name, and no word of its reports, pages and help."""
        page = self.dir / "page.html"
        steps = ("-f", self.flash, "0x1000+0x7000", self.mcuboot)
        bundle = ("-f", self.flash, "--bundle", self.bundle, "--public-key", self.public)
        few = ("--sample", "3", "--torn", "1", "--cuts", "2")
        for arguments in (("--help",), *((name, "--help") for name in self.command_names()), ("simulate", *steps),
                          ("simulate", *bundle), ("simulate", *steps, "--cut", "1:1"), ("simulate", *steps, "--cut", "999999"),
                          ("simulate", *steps, "--cut", "x"), ("explore", *steps, *few), ("explore", *bundle, *few),
                          ("explore", *bundle, "--cuts", "0"), ("explore", *bundle, *few, "--html", page)):
            result = run(*arguments)
            self.assertNotRegex(result.stdout + result.stderr, r"(?i)(?<!-)\b(power )?cuts?\b", arguments)
        text = re.sub(r"<(style|script)>.*?</\1>|<svg.*?</svg>", "", page.read_text("utf-8"), flags=re.S)
        self.assertNotRegex(re.sub(r"<[^>]*>", " ", text), r"(?i)(?<!-)\bcuts?\b")
        self.assertNotRegex(page.read_text("utf-8"), "(?i)power.cut")

    def test_verdict_of_explore(self):
        page = self.dir / "page.html"
        result = run("explore", "-f", self.flash, "--bundle", self.bundle, "--public-key", self.public, "--sample", "20",
                     "--torn", "2", "--html", page)
        self.assertEqual(result.returncode, 0)
        answer = re.search(r"no failure in ([\d,]+) states; a power loss is fatal in ([\d.]+) s of ([\d.]+) s, ([\d.]+) %\n\Z",
                           result.stdout)
        self.assertIsNotNone(answer, result.stdout)
        self.assertIn(f"window       {answer.group(2)} s", result.stdout)
        self.assertAlmostEqual(100 * float(answer.group(2)) / float(answer.group(3)), float(answer.group(4)), delta=.1)
        self.assertIn(answer.group().rstrip(), page.read_text("utf-8"))


if __name__ == "__main__":
    runner.main(sys.argv[4:])
