#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP is loaded by what uses it: libcurl and libmicrohttpd take longer to load than most commands take, and each start of a
simulated app is a fork(), which copies what is loaded.

usage: test_libraries.py PROGRAM TEST_PROGRAM...
"""
import os
import subprocess
import sys
import tempfile
import unittest

import runner

PROGRAMS = []


class Libraries(unittest.TestCase):
    def loaded(self, *command):
        """All that the dynamic loader says of the files it opens."""
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(command, cwd=folder, env={**os.environ, "LD_DEBUG": "files", "LD_DEBUG_OUTPUT": f"{folder}/files"},
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            return "".join(open(os.path.join(folder, name), encoding="utf-8").read() for name in os.listdir(folder)
                           if name.startswith("files."))

    def test_no_program_starts_with_http(self):
        self.assertGreater(len(PROGRAMS), 50)
        for program in PROGRAMS:
            libraries = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
            with self.subTest(program=program):
                self.assertIn("libc.", libraries)
                self.assertNotRegex(libraries, "libcurl|libmicrohttpd")

    def test_it_is_loaded_when_it_is_used(self):
        local = self.loaded(PROGRAMS[0], "inspect", PROGRAMS[0])
        self.assertIn("libc.", local)
        self.assertNotRegex(local, "libcurl|libmicrohttpd")
        self.assertRegex(self.loaded(PROGRAMS[0], "pack", "-o", "out.srb", "--manifest", "http://127.0.0.1:1/manifest.json"),
                         r"libcurl\.so")


if __name__ == "__main__":
    PROGRAMS = sys.argv[1:]
    runner.main([])
