#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All places that tell the version tell the same one: macros, component manifest, changelog, CMake, program; and so do
those that tell the version of the bundle format.

usage: test_version.py PROGRAM C_COMPILER PROJECT_VERSION
"""
import pathlib
import re
import subprocess
import sys
import unittest

import runner

PROGRAM, COMPILER, PROJECT_VERSION = sys.argv[1:4]
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
INCLUDE = ROOT / "include"
PREFIX = "ESP_SELF_REFLASHER_"


def macros(header, *names):
    """What the preprocessor makes of macros, for who includes only this header."""
    text = f'#include "{header}"\n' + "".join(f"=={name}=={PREFIX}{name}\n" for name in names)
    result = subprocess.run([COMPILER, "-E", "-P", f"-I{INCLUDE}", f"-I{ROOT / 'sim/idf/include'}", "-x", "c", "-"],
                            input=text, stdout=subprocess.PIPE, text=True, check=True)
    found = dict(re.findall(r"(?m)^==(.+?)==(.*)$", result.stdout))
    return [found[name] for name in names]


def first(pattern, path):
    match = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    return match and match[1]


class Version(unittest.TestCase):
    def setUp(self):
        self.version = ".".join(macros("self_reflasher_version.h", "VERSION_MAJOR", "VERSION_MINOR", "VERSION_PATCH"))
        [self.format] = macros("self_reflasher_version.h", "BUNDLE_VERSION")

    def test_all_places_agree(self):
        self.assertRegex(self.version, r"^\d+\.\d+\.\d+$")
        for place, told in (("CMake", PROJECT_VERSION),
                            ("component manifest", first(r'^version: "(.*)"$', "idf_component.yml")),
                            ("changelog", first(r"^## \[(.*?)\]", "CHANGELOG.md"))):
            with self.subTest(place):
                self.assertEqual(told, self.version)

    def test_the_format_has_one_version(self):
        for pattern in (r"^# The bundle format, version (\d+)$", r"^\| 8 \| 2 \| version \| (\d+) \|$"):
            self.assertEqual(first(pattern, "docs/bundle-format.md"), self.format)

    def test_the_program_tells_both(self):
        result = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(result.stdout, f"self-reflasher {self.version}\nbundle format {self.format}\n")

    def test_public_headers_have_them(self):
        for header in ("self_reflasher.h", "self_reflasher_bundle.h"):
            self.assertEqual(macros(header, "BUNDLE_VERSION"), [self.format])

    def test_numbers_compare(self):
        major, minor, patch = self.version.split(".")
        text = f"""#include "self_reflasher_version.h"
#if {PREFIX}VERSION != {major} * 65536 + {minor} * 256 + {patch}
#error "not what its parts make"
#endif
#if {PREFIX}VERSION_VAL(0, 9, 255) >= {PREFIX}VERSION_VAL(0, 10, 0) || {PREFIX}VERSION_VAL(0, 255, 255) >= {PREFIX}VERSION_VAL(1, 0, 0)
#error "the order is wrong"
#endif
"""
        subprocess.run([COMPILER, "-fsyntax-only", f"-I{INCLUDE}", "-x", "c", "-"], input=text, text=True, check=True)


if __name__ == "__main__":
    runner.main(sys.argv[4:])
