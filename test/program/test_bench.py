#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements: complete, and free of contradictions. How good the figures are is not checked here.

usage: test_bench.py BENCHMARK CHIP_COST
"""
import contextlib
import copy
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import runner

BENCHMARK, CHIP_COST = sys.argv[1:3]
ROOT = pathlib.Path(CHIP_COST).resolve().parent.parent
sys.path.insert(0, str(pathlib.Path(CHIP_COST).resolve().parent))
import chip_cost  # its folder is an argument

METHODS = ("floor", "classic", "images", "bundle")
NUMBERS = ("read_ms", "sector_erases", "block_erases", "page_programs", "wear_maximum", "wear_mean", "network_bytes",
           "heap_peak", "restarts")
TIMES = ("flash_ms", "window_ms")
SECTORS = 1024
SECTORS_PER_BLOCK = 16
# W25Q32JV, milliseconds: 4 KiB erase, 64 KiB erase, page program
TYPICAL = (45, 150, 0.4)
MAXIMUM = (400, 2000, 3)


def run(*arguments):
    return subprocess.run([*arguments], stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout


def time_of(result, times):
    return sum(result[kind] * each
               for kind, each in zip(("sector_erases", "block_erases", "page_programs"), times))


class Scenarios(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scenarios = {each["name"]: each for each in json.loads(run(BENCHMARK, "--json", "table", "bootloader", "app"))}

    def methods(self):
        for scenario in self.scenarios.values():
            for name, result in scenario["methods"].items():
                with self.subTest(scenario=scenario["name"], method=name):
                    yield scenario, name, result

    def test_all_is_there(self):
        self.assertEqual(list(self.scenarios), ["table", "bootloader", "app"])
        for scenario, _, result in self.methods():
            self.assertEqual(tuple(scenario["methods"]), METHODS)
            self.assertTrue(scenario["title"] and scenario["firmware"])
            self.assertIs(result["done"], True, result.get("why_not"))
            for key in NUMBERS:
                self.assertGreaterEqual(result[key], 0)
            for key in TIMES:
                self.assertEqual(set(result[key]), {"typical", "maximum"})

    def test_times_are_those_of_the_operations(self):
        for _, _, result in self.methods():
            self.assertAlmostEqual(result["flash_ms"]["typical"], time_of(result, TYPICAL), places=3)
            self.assertAlmostEqual(result["flash_ms"]["maximum"], time_of(result, MAXIMUM), places=3)
            erased = result["sector_erases"] + SECTORS_PER_BLOCK * result["block_erases"]
            self.assertAlmostEqual(result["wear_mean"] * SECTORS, erased, places=3)

    def test_nothing_is_below_the_floor(self):
        for scenario, _, result in self.methods():
            floor = scenario["methods"]["floor"]
            for key in TIMES:
                for which in ("typical", "maximum"):
                    self.assertLessEqual(floor[key][which], result[key][which] + 1e-6)
            for key in ("page_programs", "wear_maximum", "wear_mean"):
                self.assertLessEqual(floor[key], result[key])

    def test_the_window_is_part_of_the_flash_time(self):
        for _, _, result in self.methods():
            for which in ("typical", "maximum"):
                self.assertLessEqual(result["window_ms"][which], result["flash_ms"][which] + 1e-6)

    def test_floor_by_hand(self):
        """One sector with one page; an app has no window, and a bootloader of 6 sectors is in it from end to end."""
        floors = {name: scenario["methods"]["floor"] for name, scenario in self.scenarios.items()}
        self.assertEqual(time_of(floors["table"], (1, 1000, 1000000)), 1 + 1000000)
        self.assertAlmostEqual(floors["table"]["window_ms"]["typical"], 45.4)
        self.assertEqual(floors["app"]["window_ms"], {"typical": 0, "maximum": 0})
        self.assertEqual((floors["bootloader"]["sector_erases"], floors["bootloader"]["block_erases"]), (6, 0))
        self.assertEqual(floors["bootloader"]["window_ms"], floors["bootloader"]["flash_ms"])

    def test_classic_by_hand(self):
        """Staging of 1 MiB and the region are erased; each page of the image is programmed twice, as 4 of a piece."""
        classic = self.scenarios["table"]["methods"]["classic"]
        self.assertEqual((classic["block_erases"], classic["sector_erases"]), (16, 1))
        self.assertEqual(classic["page_programs"], 2 * 0xC00 // 256)
        self.assertEqual(classic["network_bytes"], 0xC00)

    def test_an_unknown_scenario_is_an_error(self):
        result = subprocess.run([BENCHMARK, "nonsense"], capture_output=True, text=True, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("nonsense", result.stderr)

    def test_the_table_has_a_row_for_each_method(self):
        text = run(BENCHMARK, "table")
        for method in METHODS:
            self.assertRegex(text, rf"(?m)^  {method} +\d")
        self.assertIn("table\n", run(BENCHMARK, "--list"))


@unittest.skipUnless(shutil.which("riscv64-unknown-elf-gcc"), "no compiler for RISC-V")
class ChipCost(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.cost = json.loads(run(CHIP_COST, "--json", folder))

    def test_bundles_cost_more_than_images_alone(self):
        images, bundles = self.cost["images"], self.cost["with_bundles"]
        self.assertIn("self_reflasher", images)
        self.assertNotIn("sr_bundle", images)
        self.assertIn("sr_bundle", bundles)
        for module, sizes in images.items():
            for kind, size in sizes.items():
                self.assertLessEqual(size, bundles[module][kind])

    def test_stack_is_the_sum_of_its_chain(self):
        for name, stack in self.cost["stack"].items():
            with self.subTest(name):
                self.assertEqual(stack["bytes"], sum(part["bytes"] for part in stack["chain"]))
                self.assertEqual(stack["chain"][0]["function"], name)

    def test_all_calls_through_pointers_are_known(self):
        """A new callback has to be listed in chip_cost.py, or the stack is a guess."""
        self.assertEqual(self.cost["unlisted_callbacks"], [])
        self.assertEqual(self.cost["dynamic_frames"], [])

    def test_each_module_has_its_largest_frame(self):
        frames, chain = self.cost["module_frames"], self.cost["stack"]["esp_self_reflasher_apply_bundle"]["chain"]
        self.assertLessEqual(set(frames), {*self.cost["with_bundles"]})
        self.assertGreaterEqual(max(frame["bytes"] for frame in frames.values()), max(part["bytes"] for part in chain))
        self.assertLess(max(frame["bytes"] for frame in frames.values()), 1024)

    def difference(self, change):
        """What is printed against figures that were changed."""
        before, text = copy.deepcopy(self.cost), io.StringIO()
        change(before)
        with contextlib.redirect_stdout(text):
            chip_cost.print_difference(before, self.cost)
        return text.getvalue()

    def test_nothing_is_different_from_itself(self):
        text = self.difference(lambda before: None)
        self.assertEqual(len(re.findall(r" =(?= |$)", text, re.MULTILINE)), 10, text)
        self.assertNotRegex(text, r" [+-]\d")
        self.assertEqual(len(text.splitlines()), 4)

    def test_what_is_different_is_told(self):
        def change(before):
            before["with_bundles"]["sr_bundle"]["text"] -= 100
            before["with_bundles"]["old_module"] = {"text": 7, "rodata": 0, "data": 0, "bss": 0}
            before["stack"]["esp_self_reflasher_apply_bundle"]["bytes"] += 5000
            before["module_frames"]["sr_bundle"]["bytes"] += 8
        text = self.difference(change)
        self.assertRegex(text, r"(?m)^  with bundles +\d+ +\+93 ")
        self.assertRegex(text, r"(?m)^  sr_bundle +\d+ +\+100 ")
        self.assertRegex(text, r"(?m)^  old_module +0 +-7 .*gone$")
        self.assertRegex(text, r"(?m)^  esp_self_reflasher_apply_bundle +\d+ +-5000$")
        self.assertRegex(text, r"(?m)^  sr_bundle +\d+ +-8$")

    @unittest.skipUnless(shutil.which("git"), "no git")
    def test_against_a_revision(self):
        """The last commit is measured as it is there, the sources as they lie here."""
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder) / "tree"
            shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns("build*", ".git", ".venv", "*.bin"))
            # The script is tested, not what the component costs: a few of its sources will do.
            listed = tree / "cmake/sources.cmake"
            listed.write_text(re.sub(r"(?m)^ +src/(?!image/)[\w/]+\.c", "", listed.read_text()))
            environment = {**os.environ, **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER")
                                            for what in ("NAME", "EMAIL")}}
            for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "before")):
                subprocess.run(["git", "-C", tree, *arguments], check=True, env=environment)
            source = next(path for path in sorted(tree.glob("src/**/*.c")) if "refused: handle is" in path.read_text())
            source.write_text(source.read_text().replace("refused: handle is", "refused, and not for the first time: handle is"))
            text = run(tree / "scripts/size", "--against", "HEAD")
            unknown = subprocess.run([tree / "scripts/size", "--against", "nowhere"], capture_output=True, text=True,
                                     check=False)
        self.assertRegex(text, r"^Before: [0-9a-f]+ before\n")
        self.assertRegex(text, rf"(?m)^  {source.stem} +\d+ += +\d+ +\+\d+ ")
        self.assertEqual((unknown.returncode, unknown.stdout), (1, ""))
        self.assertIn("nowhere", unknown.stderr)


if __name__ == "__main__":
    runner.main([])
