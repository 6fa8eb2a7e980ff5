#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Doxygen has nothing to complain about in the public headers, and would complain if there were something; and each doc
comment stands by itself.

usage: test_doxygen.py
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import runner

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOXYFILE = ROOT / "docs/Doxyfile"
INCLUDE = ROOT / "include"

# What is taken out of a copy of a header, or put in its place: (what it is, header, pattern, replacement).
FLAWS = (
    ("a function without a comment", "self_reflasher.h", r"/\*\*\n \* @brief Free a handle(.|\n)*?\*/", ""),
    ("a parameter without a text", "self_reflasher.h", r" \* @param\[in\] handle From(.|\n)*?not live afterwards\.\n", ""),
    ("a parameter that is not there", "self_reflasher.h", r"@param\[out\] handle", "@param[out] handel"),
    ("a field without a text", "self_reflasher.h", r" /\*\*< First byte.*?\*/", ""),
    ("a macro without a text", "self_reflasher_err.h", r"/\*\* The body is empty\. \*/\n", ""),
    ("a struct without a text", "self_reflasher.h", r"/\*\* A range of flash\. \*/\n", ""),
    ("a reference to nothing", "self_reflasher.h", r"A range of flash\.", r"A range, see @ref nowhere."),
    ("a command that is unknown", "self_reflasher.h", r"A range of flash\.", r"A range. @bref"),
    ("a group that is not closed", "self_reflasher_version.h", r"/\*\* @} \*/", ""),
)

# What needs another comment, or its author, to be understood.
LEANING = re.compile(r"\b(likewise|as (above|below|before)|as sr_\w+|same as|not possible either|ditto|can not|behind)\b"
                     r"|\b(as|like) esp_self_reflasher_\w+\(\)\.?\s*(;|$)", re.MULTILINE)


def doxygen(include):
    """@return what it says and its exit status, for headers in this folder"""
    with tempfile.TemporaryDirectory() as folder:
        setting = DOXYFILE.read_text() + f'\nINPUT = "{include}"\nOUTPUT_DIRECTORY = "{folder}"\n'
        run = subprocess.run(["doxygen", "-"], input=setting, capture_output=True, text=True, check=False)
        return run.stdout + run.stderr, run.returncode


def comments(header):
    """The doc comments of a header, each as one text."""
    for match in re.finditer(r"/\*\*(.*?)\*/", header.read_text(), re.DOTALL):
        yield " ".join(re.sub(r"^\s*\*", "", line).strip() for line in match[1].splitlines())


def functions(header):
    """(name, doc comment) of the functions that a header declares"""
    pattern = r"/\*\*((?:(?!\*/).)*?)\*/\n[\w ]+[ *](esp_self_reflasher_\w+)\([^;{]*?\);"
    return [(name, text) for text, name in re.findall(pattern, header.read_text(), re.DOTALL)]


@unittest.skipUnless(shutil.which("doxygen"), "no doxygen")
class Doxygen(unittest.TestCase):
    def test_no_warning(self):
        said, status = doxygen(INCLUDE)
        self.assertEqual((said, status), ("", 0))

    def test_each_flaw_fails(self):
        for what, name, pattern, replacement in FLAWS:
            with self.subTest(what), tempfile.TemporaryDirectory() as folder:
                copy = pathlib.Path(folder) / "include"
                shutil.copytree(INCLUDE, copy)
                text, count = re.subn(pattern, replacement, (copy / name).read_text(), count=1)
                self.assertEqual(count, 1, "the flaw was not planted")
                (copy / name).write_text(text)
                said, status = doxygen(copy)
                self.assertNotEqual(status, 0, said)
                self.assertIn(name, said)


class Comments(unittest.TestCase):
    def test_each_stands_by_itself(self):
        for header in sorted(INCLUDE.glob("*.h")):
            for text in comments(header):
                with self.subTest(header=header.name, text=text):
                    self.assertIsNone(LEANING.search(text))

    def test_each_value_has_a_text(self):
        """Doxygen looks at those of enumerations from 1.9.8 on only."""
        for header in sorted(INCLUDE.glob("*.h")):
            for values in re.findall(r"typedef enum \{\n(.*?)\n\}", header.read_text(), re.DOTALL):
                for value in re.split(r"(?m)^ {4}(?=ESP_)", values)[1:]:
                    with self.subTest(value):
                        self.assertRegex(value, r"^\w+( = 0)?, +/\*\*< [^*]")

    def test_each_function_says_what_it_returns(self):
        found = [(name, text) for header in sorted(INCLUDE.glob("*.h")) for name, text in functions(header)]
        declared = re.findall(r"(?m)^[\w ]+[ *]esp_self_reflasher_\w+\(", "".join(
            header.read_text() for header in INCLUDE.glob("*.h")))
        self.assertEqual(len(found), len(declared))
        for name, text in found:
            with self.subTest(name):
                self.assertIn("@brief", text)
                self.assertIn("@return", text)
                self.assertNotRegex(text, r"[ ,]_[A-Z]", "codes are named in full")

    def test_each_error_code_is_in_a_function(self):
        """A code that no function returns would be a dead one, or one that a function does not tell."""
        told = " ".join(text for header in INCLUDE.glob("*.h") for _, text in functions(header))
        codes = re.findall(r"#define (ESP_ERR_SELF_REFLASHER_\w+) ", (INCLUDE / "self_reflasher_err.h").read_text())
        self.assertGreater(len(codes), 20)
        for code in codes:
            if not code.endswith("_BASE"):
                self.assertIn(code, told)


if __name__ == "__main__":
    runner.main(sys.argv[1:])
