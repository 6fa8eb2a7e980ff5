# SPDX-License-Identifier: Apache-2.0
"""Cases on the program, whose path is the first argument of what imports this: a folder to work in, and what is run there."""
import json
import os
import pathlib
import pty
import resource
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
# Messages are those of an English UTF-8 terminal, and servers are on this machine, wherever the tests run.
ENVIRONMENT = {**{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}, "LC_ALL": "C.UTF-8"}

SAMPLE = os.environ.get("SELF_REFLASHER_CASES") == "sample"


def sampled(parts, kept=slice(None, None, 3)):
    """Within a case, too, all in one build, and where the sanitizers look on a sample (docs/testing.md)."""
    return list(parts)[kept] if SAMPLE else list(parts)


def run(*arguments, environment=None, limit=None, **how):
    """Runs the program.
    @param environment What is different in it.
    @param limit No file may grow beyond it.
    @param how For subprocess.run()."""
    def restrict():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if limit is not None:  # with it the interpreter is copied by fork(), instead of vfork()
        how["preexec_fn"] = restrict
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 300, **how}
    return subprocess.run([PROGRAM, *map(str, arguments)], check=False, env={**ENVIRONMENT, **(environment or {})}, **how)


def run_on_terminal(*arguments, streams=("stdout",), interrupt_after=None):
    """Runs the program with these of its streams on a pseudo terminal, in colour.
    @param interrupt_after What it must have shown before it is interrupted.
    @return its exit status, negative if a signal ended it, and what it has shown."""
    leader, follower = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen([PROGRAM, *map(str, arguments)], env=environment, start_new_session=True,
                          **dict.fromkeys(streams, follower)) as process:
        os.close(follower)
        shown = b""
        if interrupt_after is not None:
            while interrupt_after not in shown:
                shown += os.read(leader, 65536)
            os.killpg(process.pid, signal.SIGINT)
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:  # Linux: the other end is closed
            pass
        status = process.wait(30)
    os.close(leader)
    return status, shown


class ProgramTest(unittest.TestCase):
    """A case that works in a folder, self.dir."""

    def write(self, name, content):
        path = self.dir / name
        path.write_bytes(content)
        return path

    def run_json(self, status, *arguments):
        result = run(*arguments, "--json")
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return json.loads(result.stdout)

    def assert_fails(self, status, words, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)


class InOneFolder(ProgramTest):
    """All cases of a class work in one folder."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.dir = pathlib.Path(folder.name)


class InDemoFolder(InOneFolder):
    """One that has the images of the demo. They are made by what the second argument names."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        subprocess.run([os.path.abspath(sys.argv[2]), cls.dir], check=True, stdout=subprocess.DEVNULL)


class InOwnFolder(ProgramTest):
    """Each case works in a new folder."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
