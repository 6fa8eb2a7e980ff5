#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents show must be so: C blocks compile, and console blocks print what they say.

In a ```console block a line "$ COMMAND" is run, and the lines up to the next command are what it must print; a line "..."
stands for lines that are left out, one at least. A command that shows nothing must print nothing and succeed. Commands run in a folder of their own, with the programs in build/ and the images of the
demonstration in build/demo/images. Blocks with another name than c or console are not looked at.
usage: test_docs.py PROGRAM_FOLDER C_COMPILER DOCUMENT...
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

BLOCK = re.compile(r"^( *)```(c|console)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"]


def compile_block(compiler, code):
    """None, or what the compiler complains about."""
    command = [compiler, "-std=gnu11", "-fsyntax-only", *WARNINGS, "-xc", "-", f"-I{ROOT}/include", f"-I{ROOT}/sim/idf/include"]
    run = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    return run.stderr if run.returncode != 0 else None


def pattern_of(lines):
    parts = [r"(?:.*\n)+?" if line == "..." else re.escape(line.rstrip()) + r"[ \t]*\n" for line in lines]
    return re.compile("".join(parts))


def run_block(folder, text):
    """None, or the first command that prints something else, or fails and shows nothing of it."""
    before, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    if before or not parts:
        return f"no command prints this: {before}"
    for part in parts:
        command, *expected = part.rstrip("\n").split("\n")
        run = subprocess.run(
            ["bash", "-c", command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if not pattern_of(expected).fullmatch(run.stdout):
            return f"$ {command}\n{run.stdout}"
        if run.returncode != 0 and not expected:
            return f"$ {command}\nexit status {run.returncode}"
    return None


def make_folder(folder, programs):
    images = pathlib.Path(folder, "build", "demo", "images")
    images.parent.mkdir(parents=True)
    for program in programs.iterdir():
        if program.is_file() and os.access(program, os.X_OK):
            (images.parent.parent / program.name).symlink_to(program)
    subprocess.run([programs / "demo-images", images], check=True, stdout=subprocess.DEVNULL)


def main():
    programs, compiler, *documents = sys.argv[1:]
    blocks = failures = 0
    with tempfile.TemporaryDirectory() as folder:
        make_folder(folder, pathlib.Path(programs).resolve())
        for document in documents:
            for _, kind, indented in BLOCK.findall(pathlib.Path(document).read_text(encoding="utf-8")):
                text = textwrap.dedent(indented)
                problem = compile_block(compiler, text) if kind == "c" else run_block(folder, text)
                blocks += 1
                if problem is not None:
                    failures += 1
                    print(f"{document}: this block is not true:\n{text}\nbut:\n{problem}")
    print(f"{blocks} blocks, {failures} failures")
    return 1 if failures > 0 or blocks == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
