#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What registry, CI and contributors are told of the repository: the component's manifest, the upload of a release, and
the checks before a commit.

usage: test_repository.py
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import runner

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Keys that the component manager documents, as far as they make sense here.
KEYS = {"version", "description", "license", "tags", "targets", "dependencies", "examples", "url", "repository",
        "documentation", "issues", "discussion", "maintainers", "files"}
HOME = "https://git.example.com/owner/name"


def read(path):
    return (ROOT / path).read_text()


def manifest(text):
    """Key -> its text, for a manifest whose keys start a line."""
    return dict(re.findall(r"(?m)^(\w+):[ ]*((?:.*\n)(?:[ ].*\n)*)", text))


def items(text, key):
    return re.findall(r"(?m)^ +- (?:path: )?(.*)$", manifest(text)[key])


class Manifest(unittest.TestCase):
    def setUp(self):
        self.text = read("idf_component.yml")

    def test_keys(self):
        found = manifest(self.text)
        self.assertLessEqual(set(found), KEYS)
        for key in ("version", "description", "license", "tags", "targets", "dependencies", "examples"):
            self.assertTrue(found[key].strip(), key)

    def test_targets_are_the_chips_that_the_component_knows(self):
        table = "".join(path.read_text() for path in (ROOT / "src").rglob("*.c"))
        self.assertEqual(sorted(re.findall(r'\.name = "(esp32\w*)"', table)), items(self.text, "targets"))

    def test_all_examples_are_shown_and_built(self):
        projects = sorted(path.parent.parent.relative_to(ROOT).as_posix()
                          for path in ROOT.glob("examples/*/main/CMakeLists.txt"))
        self.assertEqual(items(self.text, "examples"), projects)
        built = re.search(r"(?m)^ +example: \[(.*)\]$", read(".github/workflows/ci.yml"))[1].split(", ")
        self.assertEqual([f"examples/{name}" for name in built], projects)


class Release(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = pathlib.Path(folder.name)
        (self.tree / "scripts").mkdir()
        for name in ("scripts/release-manifest", "scripts/lib.sh", "idf_component.yml", "CHANGELOG.md"):
            shutil.copy(ROOT / name, self.tree / name)
        self.manifest, self.changelog = self.tree / "idf_component.yml", self.tree / "CHANGELOG.md"
        self.version = manifest(self.manifest.read_text())["version"].strip().strip('"')
        self.head(f"## [{self.version}] - 2026-12-31")

    def head(self, heading):
        self.changelog.write_text(re.sub(r"(?m)^## \[.*$", heading, self.changelog.read_text(), count=1))

    def run_script(self, *arguments):
        return subprocess.run([self.tree / "scripts/release-manifest", *arguments], capture_output=True, text=True,
                              check=False, env={**os.environ, "LC_ALL": "C"})

    def test_addresses_are_added(self):
        before = self.manifest.read_text()
        result = self.run_script(f"v{self.version}", HOME + "/")
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))
        after = self.manifest.read_text()
        self.assertEqual(after[:len(before)], before)
        found = {key: value.strip() for key, value in manifest(after).items()}
        self.assertEqual([found[key] for key in ("url", "repository", "documentation", "issues")],
                         [f'"{HOME}{end}"' for end in ("", ".git", f"/tree/v{self.version}/docs", "/issues")])
        self.assertLessEqual(set(found), KEYS)

    def assert_refused(self, status, word, *arguments):
        before = self.manifest.read_text()
        result = self.run_script(*arguments)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertIn(word, result.stderr)
        self.assertEqual(self.manifest.read_text(), before)

    def test_refusals(self):
        tag = f"v{self.version}"
        for arguments in ((), (tag,), (tag, HOME, "more")):
            self.assert_refused(2, "usage", *arguments)
        for other in (self.version, tag + ".1", tag + "-rc1", "v", "", tag.replace(".", "x")):
            self.assert_refused(1, "idf_component.yml", other, HOME)
        for address in ("", "https://", "https://git.example.com", "http://git.example.com/owner/name", "git@x:y/z"):
            self.assert_refused(1, "https://", tag, address)
        self.assertEqual(self.run_script(tag, HOME).returncode, 0)
        self.assert_refused(1, "already", tag, HOME)

    def test_the_changelog_must_have_the_release(self):
        for heading in (f"## [{self.version}] - unreleased", "## [Unreleased]", "## [0.0.1] - 2026-12-31",
                        f"## [{self.version}]"):
            self.head(heading)
            self.assert_refused(1, "CHANGELOG.md", f"v{self.version}", HOME)

    def test_the_workflow_uploads_only_what_passed(self):
        text = read(".github/workflows/upload.yml")
        self.assertRegex(text, r"(?m)^  upload:\n(    .*\n)*?    needs: checks$")
        self.assertRegex(text, r"(?m)^    uses: \./\.github/workflows/ci\.yml$")
        self.assertLess(text.index("scripts/release-manifest"), text.index("upload-components-ci-action"))
        self.assertIn("workflow_call:", read(".github/workflows/ci.yml"))


    def test_the_courier_is_built_for_all_chips(self):
        text = read(".github/workflows/upload.yml")
        chips = re.search(r"(?m)^ +chip: \[(.*)\]$", text)[1].split(", ")
        self.assertEqual(chips, items(read("idf_component.yml"), "targets"))
        self.assertRegex(text, r"(?m)^  courier:\n(    .*\n)*?    needs: checks$")
        self.assertIn("scripts/release-courier", text)
        result = subprocess.run([ROOT / "scripts/release-courier", "esp32"], capture_output=True, text=True, check=False,
                                env={**os.environ, "PATH": "/usr/bin:/bin"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("idf.py is missing", result.stderr)


class BeforeACommit(unittest.TestCase):
    """The hooks make the checks that scripts/test makes first."""

    def setUp(self):
        self.hooks = {name: (entry, files) for name, entry, files in re.findall(
            r"- id: (\w+)\n.*\n +entry: (.*)\n(?:.*\n)*? +(?:files: (.*)|pass_filenames: false)\n",
            read(".pre-commit-config.yaml"))}
        self.checks = re.search(r"check_sources\(\) \{\n((?:.*\n)*?)\}", read("scripts/test"))[1]

    def test_same_commands(self):
        self.assertEqual(set(self.hooks), {"format", "layout", "shellcheck"})
        for entry, _ in self.hooks.values():
            self.assertRegex(self.checks, rf"(?m){re.escape(entry)}($| scripts/)")
        self.assertEqual(len(self.checks.splitlines()), len(self.hooks))

    def test_shellcheck_sees_the_same_files(self):
        patterns = re.search(r"shellcheck -x (.*)", self.checks)[1].split()
        files = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
        self.assertGreater(len(files), 5)
        shell = re.compile(r"#(!.*bash| shellcheck shell=bash)\n")
        self.assertEqual(files, {f"{folder}/{path.name}" for folder in ("scripts", ".ci", "bench") for path in (ROOT / folder).iterdir()
                                 if path.is_file() and shell.match(path.read_text(encoding="utf-8", errors="replace"))})
        pattern = re.compile(self.hooks["shellcheck"][1])
        self.assertEqual({name for name in files if not pattern.search(name)}, set())
        for name in ("src/image/self_reflasher.c", "test/program/runner.py", "README.md"):
            self.assertIsNone(pattern.search(name))

    def test_contributing_names_them_all(self):
        first = re.search(r"## Build and test\n\n((?:.+\n)+)", read("CONTRIBUTING.md"))[1]
        for word in ("installs", "layout", "scripts", "format", "`build`", "`build-asan`", "all tests", "clang-tidy",
                     "`scripts/fuzz`"):
            self.assertIn(word, first)


class Words(unittest.TestCase):
    def test_a_power_loss_has_one_name(self):
        """The glossary's. The option --cut, and what is cut short, keep theirs."""
        other = "power " + "cut"
        found = subprocess.run(["git", "-C", ROOT, "grep", "-nIi", other], capture_output=True, text=True, check=False)
        if found.returncode not in (0, 1):
            self.skipTest("no git repository")
        self.assertEqual(found.stdout, "")


if __name__ == "__main__":
    runner.main(sys.argv[1:])
