#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/check-layout accepts this tree, tells what each folder uses, and fails on each violation that is planted in a copy.
usage: test_layout.py ROOT
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import runner

ROOT = pathlib.Path(sys.argv[1])
CHECK = ROOT / "scripts" / "check-layout"
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"
FOLDERS = ("include", "src", "sim", "make", "tool")

# File that is changed, what is added to its end, and what the complaint must name.
VIOLATIONS = (
    ("src/format/sr_image.c", '#include "esp_log.h"\n', "a parser includes esp_log.h"),
    ("src/format/sr_image.c", '#include "flash/sr_writer.h"\n', "src/format may not use src/flash"),
    ("src/format/sr_image.c", "#include <stdio.h>\n", "a parser includes stdio.h"),
    ("src/format/sr_image.c", "#include <stdlib.h>\n", "a parser includes stdlib.h"),
    ("src/format/sr_bundle.c", "void *sr_bundle_x(void) { return malloc(1); }\n", "a parser calls malloc()"),
    ("src/format/sr_bundle.c", 'void sr_bundle_x(void) { printf("x"); }\n', "a parser calls printf()"),
    ("src/format/sr_bundle.c", "void sr_bundle_x(void) { esp_flash_read(0, 0, 0, 0); }\n", "a parser calls esp_flash_read()"),
    ("src/format/sr_bundle.c", "void sr_bundle_x(void) { esp_flash_erase_region(0, 0, 0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/bundle/sr_map.c", "void sr_map_x(void) { sr_flash_erase(0, 0, 0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/image/sr_staging.c", "void sr_staging_x(void) { esp_partition_erase_range(0, 0, 0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/bundle/sr_map.c", "void sr_map_x(void) { sr_flash_write(0, 0, 0, 0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/bundle/sr_map.c", "void *sr_map_x = sr_flash_erase;\n", "only src/flash/sr_writer.c changes flash"),
    ("src/relocate/sr_app_copy.c", "void x(void) { esp_flash_write(0, 0, 0, 0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/port/sr_yield.c", "void x(void) { esp_rom_spiflash_erase_sector(0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/system/sr_slots.c", "void x(void) { esp_ota_set_boot_partition(0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/system/sr_system.c", "void x(void) { nvs_flash_erase(); }\n", "only src/flash/sr_writer.c changes flash"),
    ("include/self_reflasher.h", "static inline void x(void) { esp_flash_erase_chip(0); }\n", "only src/flash/sr_writer.c changes flash"),
    ("src/preflight/sr_preflight_chip.c", "void x(void) { sr_writer_clear(0, 0, 0, 0); }\n", "src/preflight only looks at flash"),
    ("src/net/sr_manifest.c", "void x(void) { sr_writer_put(0, 0); }\n", "src/net only looks at flash"),
    ("src/flash/sr_copy.c", '#include "system/sr_system.h"\n', "src/flash may not use src/system"),
    ("src/system/sr_system.c", '#include "recovery/sr_recovery.h"\n', "src/system may not use src/recovery"),
    ("src/net/sr_http.c", '#include "bundle/sr_migration.h"\n', "src/net may not use src/bundle"),
    ("src/image/sr_transfer.c", '#include "bundle/sr_map.h"\n', "src/image may not use src/bundle"),
    ("src/bundle/sr_map.c", '#include "image/sr_staging.h"\n', "src/bundle may not use src/image"),
    ("src/bundle/sr_map.c", '#include "sim/chip/sim_chip.h"\n', "src/bundle may not use sim/chip"),
    ("src/bundle/sr_map.c", '#include "make/bundle_writer.h"\n', "src/bundle may not use make"),
    ("src/bundle/sr_map.c", '#include "tool/base/number.h"\n', "src/bundle may not use tool/base"),
    ("src/bundle/sr_map.c", '#include "../journal/sr_journal.h"\n', "without .."),
    ("src/bundle/sr_map.c", "#include <unistd.h>\n", "which a chip does not have"),
    ("sim/nor/nor_flash.c", '#include "sim/chip/sim_chip.h"\n', "sim/nor may not use sim/chip"),
    ("sim/boot/boot_rom.c", '#include "flash/sr_writer.h"\n', "sim/boot may not use src/flash"),
    ("sim/explore/explore.c", '#include "self_reflasher_bundle.h"\n', "sim/explore may not use include"),
    ("make/image_writer.c", '#include "sim/boot/boot_model.h"\n', "make may not use sim/boot"),
    ("tool/base/number.c", '#include "tool/pack/moves.h"\n', "tool/base may not use tool/pack"),
    ("tool/pack/moves.c", '#include "bundle/sr_map.h"\n', "tool/pack may not use src/bundle"),
    ("src/format/sr_image.h", "int sr_picture_read(void);\n", "declares sr_picture_read"),
    ("src/format/sr_image.h", "typedef struct x { int y; } sr_picture_t;\n", "declares sr_picture_t"),
    ("src/bundle/sr_migration_plan.c", "void f(sr_migration_t *migration) { migration->choice.left_out++; }\n", "the part choice"),
    ("src/bundle/sr_migration_apply.c", "void f(sr_migration_t *migration) { migration->scan.settled = 1; }\n", "the part scan"),
    ("src/bundle/sr_migration_apply.c", "void f(sr_migration_t *migration) { migration->input.source.region.size |= 1; }\n", "the part input"),
    ("src/bundle/sr_migration_plan.c", "void f(sr_migration_t *migration) { migration->run.progress.error = 1; }\n", "the part run"),
    ("src/bundle/sr_migration_plan.c", "void f(sr_map_t *map) { map->flags[3] |= 1; }\n", "writes flags of a map"),
    ("src/new/sr_new.c", LICENCE, "lies in no folder of the table"),
    ("src/format/sr_new.c", "int sr_new;\n", "no licence"),
)


def rounds():
    """The violations, in groups of at most one in each file: to check all of the tree takes a while."""
    left = list(VIOLATIONS)
    while left:
        group = list({name: (name, text, complaint) for name, text, complaint in reversed(left)}.values())
        left = [violation for violation in left if violation not in group]
        yield group


def check(root):
    return subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True, check=False)


# Where the field has a word of its own, or a reader would need the author.
PRIVATE_WORDS = re.compile(r"\b((?<!left )(?<!nothing )behind|can not|likewise|there and back|gave way|tops up|topped up)\b", re.IGNORECASE)


class Words(unittest.TestCase):
    def test_code_of_the_chip_is_in_the_words_of_the_field(self):
        for folder in ("include", "src"):
            for path in sorted((ROOT / folder).rglob("*.[ch]")):
                with self.subTest(path.name):
                    self.assertIsNone(PRIVATE_WORDS.search(path.read_text("utf-8")))


class Layout(unittest.TestCase):
    def test_this_tree(self):
        run = check(ROOT)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertTrue(run.stdout.endswith("no circle, no arrow back up\n"))
        for folder in ("src/format", "src/bundle", "sim/boot", "tool/cmd"):
            self.assertRegex(run.stdout, rf"(?m)^{folder} .*uses ")

    def test_each_violation_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            for part in FOLDERS:
                shutil.copytree(ROOT / part, pathlib.Path(folder, part), ignore=shutil.ignore_patterns("build*"))
            self.assertEqual(check(folder).returncode, 0)
            for violations in rounds():
                self.check_round(pathlib.Path(folder), violations)

    def check_round(self, folder, violations):
        before = {}
        for name, text, _ in violations:
            path = folder / name
            before[path] = path.read_bytes() if path.exists() else None
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((before[path] or b"") + text.encode())
        run = check(folder)
        self.assertEqual(run.returncode, 1, run.stdout)
        for name, text, complaint in violations:
            with self.subTest(name=name, text=text):
                self.assertTrue(any(name in line and complaint in line for line in run.stderr.splitlines()), run.stderr)
        for path, content in before.items():
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)

    def test_an_arrow_back_up_in_the_table_is_told(self):
        text = CHECK.read_text("utf-8")
        changed = text.replace('"src/format": ("include",)', '"src/format": ("include", "src/bundle")')
        self.assertNotEqual(text, changed)
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder, "check-layout")
            script.write_text(changed, "utf-8")
            run = subprocess.run([sys.executable, script, ROOT], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("src/format may use src/bundle, which does not stand above it", run.stderr)


    def test_a_permission_that_nobody_needs_is_told(self):
        text = CHECK.read_text("utf-8")
        changed = text.replace('"src/flash": (', '"src/unused": (),\n    "src/flash": ("src/unused", ', 1)
        self.assertNotEqual(text, changed)
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder, "check-layout")
            script.write_text(changed, "utf-8")
            run = subprocess.run([sys.executable, script, ROOT], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("src/flash may use src/unused, and does not", run.stderr)


if __name__ == "__main__":
    runner.main(sys.argv[2:])
