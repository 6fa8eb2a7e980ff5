# SPDX-License-Identifier: Apache-2.0
"""What espsecure says about the ciphertext of the simulated chips: each scheme, key length, address and length.

usage: test_ciphers_external.py CIPHERS
CIPHERS is the folder in which test_flash_cipher left keys, plaintext and ciphertext.

espsecure is taken from the virtual environment that SELF_REFLASHER_VENV names, else from PATH; only in the second case may it be
missing.
"""

import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import runner

CIPHERS = Path()

# In one process for all of them: to start espsecure takes a second.
ENCRYPT = """
import io, os, pathlib, sys
import espsecure
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    scheme, _, config = folder.name.split("-")
    for path in sorted(folder.glob("*-*")):
        address, length = (int(word, 16) for word in path.name.split("-"))
        out = io.BytesIO()
        out.name = os.devnull
        plain = io.BytesIO((folder / "plain").read_bytes()[:length])
        plain.name = "plain"
        with open(folder / "key", "rb") as key:
            espsecure.encrypt_flash_data(key, out, address, int(config, 16), scheme != "0", plain)
        print("same" if out.getvalue() == path.read_bytes() else "OTHER", folder.name, path.name, file=sys.stderr)
"""


class Ciphers(unittest.TestCase):
    def test_ciphertext_is_that_of_espsecure(self):
        venv = os.environ.get("SELF_REFLASHER_VENV")
        python = str(Path(venv) / "bin" / "python3") if venv else shutil.which("python3")
        missing = subprocess.run([python, "-c", "import espsecure"], capture_output=True, check=False).returncode != 0
        if missing and not venv:
            self.skipTest("espsecure is not installed: scripts/test does that")
        done = subprocess.run([python, "-c", ENCRYPT, str(CIPHERS)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith(("same ", "OTHER "))]
        self.assertEqual([line for line in lines if not line.startswith("same ")], [])
        self.assertEqual(len(lines), 17 * 40, "each of 17 keys and settings, at 8 addresses with 5 lengths")


if __name__ == "__main__":
    CIPHERS = Path(sys.argv.pop())
    runner.main(sys.argv[1:])
