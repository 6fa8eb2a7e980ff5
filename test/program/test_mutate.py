#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/mutate makes each kind of fault of a toy file, none of what is not code, and finds those that a test finds; and all
that test/mutants.txt lists can be made.

usage: test_mutate.py ROOT COMPILER
"""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import runner

ROOT = pathlib.Path(sys.argv[1])
COMPILER = sys.argv[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))

TOY = """
#include <stdbool.h>
#define LIMIT 3 // not code here: a < b
typedef int esp_err_t;
#define ESP_OK 0
#define ESP_LOGI(...) (void)0

static esp_err_t check(int a)
{
    ESP_LOGI("a < b", 1 < 2); /* a == b */
    return a < 10 ? ESP_OK : 1;
}

static void count(int *calls)
{
    (*calls)++;
}

int toy(int a, bool open, int *calls)
{
    const int table[4] = {0};
    count(calls);
    if (open && a >= LIMIT) {
        return check(a);
    }
    if (open) {
        return table[0] + 7;
    }
    return -1;
}
"""
TOY_TEST = """
#include <stdbool.h>
int toy(int a, bool open, int *calls);
int main(void)
{
    int calls = 0;
    const bool right = toy(2, true, &calls) == 7 && toy(3, true, &calls) == 0 && toy(10, true, &calls) == 1 &&
        toy(9, true, &calls) == 0 && toy(3, false, &calls) == -1;
    return right && calls == 5 ? 0 : 1;
}
"""
WANTED = {
    ("comparison", "return a <= 10 ? ESP_OK : 1;"), ("comparison", "return a >= 10 ? ESP_OK : 1;"),
    ("constant", "return a < 11 ? ESP_OK : 1;"), ("constant", "return a < 9 ? ESP_OK : 1;"),
    ("constant", "return a < 10 ? ESP_OK : 2;"), ("constant", "return a < 10 ? ESP_OK : 0;"),
    ("not called", "(void)0;"),
    ("logic", "if (open || a >= LIMIT) {"),
    ("comparison", "if (open && a > LIMIT) {"), ("comparison", "if (open && a < LIMIT) {"),
    ("negated", "if (!(open && a >= LIMIT)) {"), ("negated", "if (!(open)) {"),
    ("not called", "return ((esp_err_t)ESP_OK);"), ("error dropped", "return ((void)check(a), (esp_err_t)ESP_OK);"),
    ("constant", "return table[1] + 7;"), ("constant", "return table[0] + 8;"), ("constant", "return table[0] + 6;"),
    ("constant", "return -2;"), ("constant", "return -0;"),
}
# What lies in no function: static or not, an array or one structure.
TABLES = """
enum { LOWEST = 3 };
static const struct {
    int low;
} limits[] = {{.low = 4}, {.low = 6}};
const unsigned char toy_magic[2] = {0x10, 7};
static const struct pair { int one; } alone = {.one = 5};

int toy(void)
{
    return limits[0].low * limits[1].low + alone.one;
}
"""
TABLES_TEST = """
extern const unsigned char toy_magic[2];
int toy(void);
int main(void)
{
    return toy() == 29 && toy_magic[0] == 0x10 && toy_magic[1] == 7 ? 0 : 1;
}
"""
TABLES_WANTED = {
    "} limits[] = {{.low = 5}, {.low = 6}};", "} limits[] = {{.low = 3}, {.low = 6}};", "} limits[] = {{.low = 4}, {.low = 7}};",
    "} limits[] = {{.low = 4}, {.low = 5}};", "static const struct pair { int one; } alone = {.one = 6};",
    "static const struct pair { int one; } alone = {.one = 4};",
    *(f"const unsigned char toy_magic[2] = {{{both}}};" for both in ("0x11, 7", "0xf, 7", "0x10, 8", "0x10, 6")),
    "return limits[1].low * limits[1].low + alone.one;", "return limits[0].low * limits[2].low + alone.one;",
    "return limits[0].low * limits[0].low + alone.one;",
}


def load():
    loader = importlib.machinery.SourceFileLoader("mutate", str(ROOT / "scripts" / "mutate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutate", loader))
    loader.exec_module(module)
    return module


mutate = load()
import mutants as mutants_of  # noqa: E402, from scripts/


class Generator(unittest.TestCase):
    def setUp(self):
        self.mutants = mutants_of.Generator("toy.c", TOY, set()).run()

    def test_all_faults_and_no_others(self):
        self.assertEqual({(mutant.kind, mutant.after) for mutant in self.mutants}, WANTED)
        self.assertEqual(len(self.mutants), len(WANTED))

    def test_each_knows_its_function_and_its_line(self):
        for mutant in self.mutants:
            self.assertIn(mutant.function, ("check", "toy"))
            self.assertEqual(" ".join(TOY.splitlines()[mutant.line - 1].split()), mutant.before)

    def test_names_stay_when_lines_move(self):
        moved = mutants_of.Generator("toy.c", "\n\n" + TOY, set()).run()
        self.assertEqual([mutant.name for mutant in moved], [mutant.name for mutant in self.mutants])
        self.assertEqual(len({mutant.name for mutant in moved}), len(moved))

    def test_lines_that_follow_keep_their_numbers(self):
        text = "esp_err_t f(int a);\nint g(void)\n{\n    return f(1 +\n        2);\n}\n"
        for mutant in mutants_of.Generator("toy.c", text, set()).run():
            self.assertEqual((text[:mutant.start] + mutant.new + text[mutant.end:]).count("\n"), text.count("\n"))

    def test_what_looks_the_same_has_names_of_its_own(self):
        text = "int f(int a)\n{\n    a = a + 1;\n    a = a + 1;\n    return a;\n}\n"
        names = [mutant.name for mutant in mutants_of.Generator("toy.c", text, set()).run()]
        self.assertEqual((len(names), len(set(names))), (4, 4))

    def test_a_test_finds_them_but_where_none_looks(self):
        status = self.run_toy(TOY, TOY_TEST, self.mutants)
        self.assertEqual({mutant.after for mutant in self.mutants if status[mutant.name] == 0}, {"return table[1] + 7;"})
        self.assertEqual(status[""], 0)

    def test_tables(self):
        found = mutants_of.Generator("toy.c", TABLES, set()).run()
        self.assertEqual({mutant.after for mutant in found}, TABLES_WANTED)
        status = self.run_toy(TABLES, TABLES_TEST, found)
        self.assertEqual([mutant.after for mutant in found if status[mutant.name] == 0], [])
        self.assertEqual(status[""], 0)

    def run_toy(self, source, test, mutants):
        """The exit status of the test of a source that has all these faults, with each of them and with none."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "test.c").write_text(test, "utf-8")
            (folder / "toy.c").write_text(mutants_of.with_all(source, mutants), "utf-8")
            subprocess.run([COMPILER, "-w", "-o", folder / "toy", folder / "toy.c", folder / "test.c"], check=True)
            return {name: subprocess.run([folder / "toy"], check=False, env=dict(os.environ, SR_MUTANT=name)).returncode
                    for name in ["", *(mutant.name for mutant in mutants)]}


class Sources(unittest.TestCase):
    def test_every_folder_has_faults_of_every_kind(self):
        mutants = mutants_of.all_mutants(ROOT, mutate.FOLDERS)
        self.assertEqual({mutant.kind for mutant in mutants},
                         {"comparison", "constant", "logic", "negated", "not called", "error dropped"})
        folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*.c")}
        self.assertEqual({str(pathlib.PurePosixPath(mutant.file).parent) for mutant in mutants}, folders)

    def test_faults_that_make_no_difference_can_be_made(self):
        mutants = mutants_of.all_mutants(ROOT, mutate.FOLDERS + mutate.SIM_FOLDERS)
        made = {(mutant.file, mutant.function, mutant.before, mutant.after) for mutant in mutants}
        self.assertEqual(set(mutate.read_equal(ROOT / "test" / "mutants.txt")) - made, set())

    def test_a_reason_is_asked_for(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "mutants.txt"
            path.write_text("# text\n\nsrc/a.c f()\n- a < b\n+ a <= b\n  The same,\n  for b is never a.\n", "utf-8")
            self.assertEqual(mutate.read_equal(path), {("src/a.c", "f", "a < b", "a <= b"): "The same, for b is never a."})
            path.write_text("src/a.c f()\n- a < b\n+ a <= b\n", "utf-8")
            with self.assertRaises(SystemExit):
                mutate.read_equal(path)


class Map(unittest.TestCase):
    def test_tests_that_reach_the_line(self):
        mutant = next(mutant for mutant in mutants_of.all_mutants(ROOT, mutate.FOLDERS) if mutant.function)
        this, other = mutant.line, mutant.line + 1000
        reach = {"tests": {"a": {mutant.file: [this]}, "b": {mutant.file: [other]}, "c": {}},
                 "lines": {mutant.file: [this, other]}, "files": {mutant.file: mutate.digest_of(mutant.file)}}
        self.assertEqual(mutate.reaching(reach, mutant), ["a"])
        reach["lines"][mutant.file][0] = this - 1  # of a statement that begins there
        reach["tests"]["a"][mutant.file] = [this - 1]
        self.assertEqual(mutate.reaching(reach, mutant), ["a"])
        reach["files"][mutant.file] = "of another text"
        self.assertEqual(mutate.reaching(reach, mutant), ["a", "b"])
        del reach["files"][mutant.file]  # as it was added since
        self.assertEqual(mutate.reaching(reach, mutant), ["a", "b", "c"])

    def test_a_test_is_known_until_it_is_edited(self):
        with tempfile.TemporaryDirectory() as folder:
            source, entry = pathlib.Path(folder) / "test_a.py", pathlib.Path(folder) / "test_a.json"
            test = mutate.Test({"name": "test_a", "command": ["python3", str(source)]}, pathlib.Path(folder))
            source.write_text("one", "utf-8")
            self.assertFalse(mutate.is_known(test, entry))
            entry.write_text(json.dumps({"source": mutate.source_of(test)}), "utf-8")
            self.assertTrue(mutate.is_known(test, entry))
            source.write_text("two", "utf-8")
            self.assertFalse(mutate.is_known(test, entry))


if __name__ == "__main__":
    runner.main(sys.argv[3:])
