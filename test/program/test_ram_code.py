#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Code that runs while its own app is being overwritten must not call what stays in flash.

Takes the objects that linker.lf.in puts into RAM, and looks at which symbols they need from elsewhere: only those of the
flash driver, of the ROM and of the C library that are in RAM or ROM on every chip, and those named below.
usage: test_ram_code.py NM LIBRARY LINKER_FRAGMENT
"""
import re
import subprocess
import sys

# Not memcmp() and memmove(): CONFIG_LIBC_OPTIMIZED_MISALIGNED_ACCESS of ESP-IDF 5.5 to 5.5.3 links them into flash.
IN_RAM = re.compile(r"esp_flash_(read|write|erase_region|default_chip)|esp_rom_\w+|mem(cpy|set)")
# Called before the app is overwritten or, the encrypted ones, never after.
BEFORE = {
    "esp_flash_app_disable_os_functions",
    "esp_flash_encryption_enabled",
    "esp_flash_get_size",
    "esp_flash_read_encrypted",
    "esp_flash_write_encrypted",
    "esp_partition_find",
    "esp_partition_get",
    "esp_partition_iterator_release",
    "esp_partition_next",
    "heap_caps_free",
    "heap_caps_malloc",
    "sim_config_partition_table_offset",
    "sr_watchdog_feed",
    "sr_watchdog_is_on",
}
INSTRUMENTATION = re.compile(r"__(asan|ubsan|stack_chk)_\w+|_GLOBAL_OFFSET_TABLE_")


def symbols_by_object(nm, library):
    """Name of each object -> (symbols that it defines, symbols that it needs)."""
    objects = {}
    for line in subprocess.run([nm, library], check=True, capture_output=True, text=True).stdout.splitlines():
        if line.endswith(":"):
            defined, needed = objects.setdefault(line[:-1].split(".")[0], (set(), set()))
        elif line.strip():
            kind, name = line.split()[-2:]
            (needed if kind == "U" else defined).add(name)
    return objects


def main():
    nm, library, fragment = sys.argv[1:]
    with open(fragment, encoding="utf-8") as file:
        names = re.findall(r"^\s+(sr_\w+) \(noflash\)", file.read(), re.MULTILINE)
    objects = symbols_by_object(nm, library)
    missing = [name for name in names if name not in objects]
    defined = set().union(*(objects[name][0] for name in names if name in objects))
    bad = sorted(
        f"{name} needs {symbol}"
        for name in names
        if name in objects
        for symbol in objects[name][1] - defined - BEFORE
        if not IN_RAM.fullmatch(symbol) and not INSTRUMENTATION.fullmatch(symbol)
    )
    for name in missing:
        print(f"{fragment} names {name}, which is not in {library}")
    for line in bad:
        print(f"{line}, which is in flash: name its object in {fragment}, or do not call it")
    print(f"{len(names)} objects run from RAM")
    return 1 if bad or missing or not names else 0


if __name__ == "__main__":
    sys.exit(main())
