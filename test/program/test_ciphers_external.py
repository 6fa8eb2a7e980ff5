# SPDX-License-Identifier: Apache-2.0
"""What espsecure says about the ciphertext of the simulated chips: each scheme, key length, address and length.

usage: test_ciphers_external.py CIPHERS
CIPHERS is the folder in which test_flash_cipher left keys, plaintext and ciphertext.
"""

import sys
import unittest
from pathlib import Path

import espressif
import runner

CIPHERS = Path()

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
        print("same" if out.getvalue() == path.read_bytes() else "OTHER", folder.name, path.name)
"""


class Ciphers(unittest.TestCase):
    def test_ciphertext_is_that_of_espsecure(self):
        said = espressif.run("encrypt", CIPHERS, code=ENCRYPT)
        lines = [line for line in said.splitlines() if line.startswith(("same ", "OTHER "))]
        self.assertEqual([line for line in lines if not line.startswith("same ")], [])
        self.assertEqual(len(lines), 17 * 40, "each of 17 keys and settings, at 8 addresses with 5 lengths")


if __name__ == "__main__":
    CIPHERS = Path(sys.argv.pop())
    runner.main(sys.argv[1:])
