# SPDX-License-Identifier: Apache-2.0
"""Signs app.bin and loader.bin for Secure Boot V2 as espsecure does, in one process for all: to start it takes longer.

usage: espsecure_signs.py FOLDER...
Each FOLDER is named like a scheme of `espsecure generate-signing-key`. What is made there: app.signed and loader.signed, by a
new key, and its digest. Ends with status 77 without espsecure.
"""
import pathlib
import sys
import unittest

import espressif


def sign(folder):
    key = folder / "key.pem"
    espressif.run("espsecure", "generate-signing-key", "--version", "2", "--scheme", folder.name, key)
    for name in ("app", "loader"):
        espressif.run("espsecure", "sign-data", "--version", "2", "--keyfile", key, "--output", folder / f"{name}.signed",
                      folder / f"{name}.bin")
    espressif.run("espsecure", "digest-sbv2-public-key", "--keyfile", key, "--output", folder / "digest")


try:
    espressif.need()
except unittest.SkipTest:
    sys.exit(77)
for name in sys.argv[1:]:
    sign(pathlib.Path(name))
