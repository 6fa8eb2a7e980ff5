#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header, and each of the simulated ESP-IDF, compiles by itself, in C and in C++; and so does the code of the
published description, handles kept in a void * included.
usage: test_headers.py C_COMPILER
"""
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDERS = [ROOT / "include", ROOT / "sim" / "idf" / "include"]
FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", *(f"-I{folder}" for folder in FOLDERS)]

CALLS = """
#include "self_reflasher.h"
esp_err_t reflash(const esp_http_client_config_t *http_config);
esp_err_t reflash(const esp_http_client_config_t *http_config)
{
    addr_region_t region = {0x110000, 0x100000};
    esp_self_reflasher_config_t config = {};
    config.http_config = http_config;
    config.dest_region = region;
    esp_self_reflasher_handle_t handle = NULL;
    void *kept = NULL;
    esp_err_t err = esp_self_reflasher_init(&config, &handle);
    err = err != ESP_OK ? err : esp_self_reflasher_download_bin(handle);
    err = err != ESP_OK ? err : esp_self_reflasher_copy_to_region(handle);
    err = err != ESP_OK ? err : esp_self_reflasher_upd_next_config(&config, handle);
    err = err != ESP_OK ? err : esp_self_reflasher_init(&config, &kept);
    kept = handle;
    handle = kept;
    err = err != ESP_OK ? err : esp_self_reflasher_deinit(kept);
    return err != ESP_OK ? err : esp_self_reflasher_directly_copy_to_region(&config);
}
"""


def compile_text(compiler, language, text):
    standard = "gnu11" if language == "c" else "gnu++17"
    command = [*compiler, f"-std={standard}", *FLAGS, "-x", language, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def main():
    compilers = [("c", [sys.argv[1]])]
    if shutil.which("c++") is not None:
        compilers.append(("c++", ["c++"]))
    texts = {"the published calls": CALLS}
    for folder in FOLDERS:
        for header in sorted(folder.rglob("*.h")):
            name = header.relative_to(folder).as_posix()
            texts[name] = f'#include "{name}"\n#include "{name}"\n'
    failures = 0
    for language, compiler in compilers:
        for name, text in texts.items():
            run = compile_text(compiler, language, text)
            if run.returncode != 0:
                failures += 1
                print(f"{name} as {language}:\n{run.stderr}")
    print(f"{len(texts)} texts in {len(compilers)} languages, {failures} failures")
    return 1 if failures > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
