#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The documents as a whole: links and anchors lead somewhere, every page can be reached from README, what a page names is in the
tree, the glossary's terms are in use, and architecture.md draws the folders as scripts/check-layout knows them.
usage: test_links.py ROOT
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import runner

ROOT = pathlib.Path(sys.argv[1]).resolve()
SKIPPED = re.compile(r"\.git|\.venv|build.*|managed_components|__pycache__")
README_LINES = 200

FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
TERM = re.compile(r"^- \*\*(.+?)\*\*", re.MULTILINE)

# These define their words themselves: what another implementation reads, and what an auditor reads.
STANDS_ALONE = {"docs/bundle-format.md", "docs/record-format.md", "docs/security.md"}
# A reader who has not met the author stumbles over these.
# "Left behind" and "leaves nothing behind" are English.
PRIVATE_WORDS = re.compile(r"\b((?<!left )(?<!nothing )behind|can not|likewise|there and back|nothing is as bad as|gave way|and your leave)\b", re.IGNORECASE)

# A path of this repository, a file of src/ without its folder, or a function of it, as a page writes them.
PATH = re.compile(r"`((?:\.github|bench|cmake|docs|examples|include|make|scripts|sim|src|test|tool)/[\w./-]*[\w-])/?`")
# What stands for a name of the reader's.
PLACEHOLDER = re.compile(r"my_|FOLDER|NAME")
FILE = re.compile(r"`((?:self_reflasher|sr)_\w+\.[ch])`")
FUNCTION = re.compile(r"`((?:esp_self_reflasher|sr)_\w+)\(\)`")


def pages(root):
    """All Markdown files of a tree, as paths from its root."""
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not SKIPPED.fullmatch(name)]
        found += [pathlib.Path(folder, file).relative_to(root).as_posix() for file in files if file.endswith(".md")]
    return sorted(found)


def text_of(root, page):
    return (root / page).read_text("utf-8")


def prose_of(root, page):
    """A page without its blocks and pieces of code."""
    return CODE.sub("", FENCE.sub("", text_of(root, page)))


def headings_of(root, page):
    return HEADING.findall(FENCE.sub("", text_of(root, page)))


def anchors_of(root, page):
    """As GitHub makes them of headings: small letters, no punctuation, a hyphen for each space; a number for each namesake."""
    seen, anchors = {}, set()
    for heading in headings_of(root, page):
        words = LINK.sub(lambda link: link[0][1:link[0].index("]")], heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        anchors.add(anchor if count == 0 else f"{anchor}-{count}")
    return anchors


def links_of(root, page):
    """(link, page or file that it names, anchor) for each link that does not leave the repository."""
    for link in LINK.findall(prose_of(root, page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (root / page).parent / path if path else root / page
        yield link, pathlib.Path(os.path.relpath(target, root)).as_posix(), anchor


def broken_links(root):
    problems = []
    for page in pages(root):
        for link, target, anchor in links_of(root, page):
            if not (root / target).exists():
                problems.append(f"{page}: {link}: there is no {target}")
            elif anchor and (not target.endswith(".md") or anchor not in anchors_of(root, target)):
                problems.append(f"{page}: {link}: {target} has no such heading")
    return problems


def reached_from(root, page):
    reached, left = set(), [page]
    while left:
        page = left.pop()
        if page not in reached and page.endswith(".md") and (root / page).is_file():
            reached.add(page)
            left += [target for _, target, _ in links_of(root, page)]
    return reached


def repeated_headings(root, names):
    """Headings that two of these pages, or two places of one, have in common."""
    where = {}
    for page in names:
        for heading in headings_of(root, page):
            where.setdefault(heading.lower(), []).append(page)
    return [f"{heading}: {', '.join(found)}" for heading, found in where.items() if len(found) > 1]


def terms_of(root):
    return TERM.findall(text_of(root, "docs/glossary.md"))


def unused_terms(root, texts):
    """Terms of the glossary that no text has, in the singular or the plural."""
    unused = []
    for term in terms_of(root):
        words = [re.escape(word.strip()).replace(r"\ ", r"\s+") for word in term.split(",")]
        pattern = re.compile("|".join(rf"\b{word}(?:s|es)?\b" for word in words), re.IGNORECASE)
        if not any(pattern.search(text) for text in texts):
            unused.append(term)
    return unused


def folders():
    """What scripts/check-layout prints: the folders that each folder uses."""
    run = subprocess.run([sys.executable, ROOT / "scripts" / "check-layout", ROOT], capture_output=True, text=True, check=True)
    rows = re.findall(r"^(\S+) +\d+ files +uses (.+)$", run.stdout, re.MULTILINE)
    return {folder: [] if used == "nothing" else used.split(", ") for folder, used in rows}


class Links(unittest.TestCase):
    def test_each_link_leads_somewhere(self):
        self.assertEqual(broken_links(ROOT), [])

    def test_every_page_can_be_reached_from_readme(self):
        wanted = {page for page in pages(ROOT) if page.startswith("docs/")}
        self.assertGreater(len(wanted), 9)
        self.assertEqual(wanted - reached_from(ROOT, "README.md"), set())

    def test_readme_is_short(self):
        self.assertLessEqual(len(text_of(ROOT, "README.md").splitlines()), README_LINES)

    def test_no_two_sections_have_one_name(self):
        for page in pages(ROOT):
            if not page.startswith("CHANGELOG"):
                with self.subTest(page):
                    self.assertEqual(repeated_headings(ROOT, [page]), [])
        contents = [target for _, target, _ in links_of(ROOT, "docs/design.md") if target.startswith("docs/")]
        design = sorted({"docs/design.md", *contents} - {"docs/safety.md", "docs/security.md"})
        self.assertGreater(len(design), 6)
        self.assertEqual(repeated_headings(ROOT, design), [])


class Names(unittest.TestCase):
    """What a page names is there."""

    def test_paths_files_and_functions(self):
        names = {path.name for folder in ("src", "include") for path in (ROOT / folder).rglob("*.[ch]")}
        headers = "".join(path.read_text("utf-8") for folder in ("src", "include") for path in (ROOT / folder).rglob("*.h"))
        for page in pages(ROOT):
            text = text_of(ROOT, page)
            with self.subTest(page):
                paths = [path for path in PATH.findall(text) if not PLACEHOLDER.search(path)]
                self.assertEqual([path for path in paths if not (ROOT / path).exists()], [])
                self.assertEqual([file for file in FILE.findall(text) if file not in names], [])
                self.assertEqual([name for name in FUNCTION.findall(text) if not re.search(rf"\b{name}\(", headers)], [])

    def test_plain_words(self):
        for page in pages(ROOT):
            with self.subTest(page):
                self.assertEqual(PRIVATE_WORDS.findall(prose_of(ROOT, page)), [])


class Glossary(unittest.TestCase):
    def test_terms_are_in_use(self):
        texts = [text_of(ROOT, page) for page in pages(ROOT) if page != "docs/glossary.md"]
        self.assertGreater(len(terms_of(ROOT)), 40)
        self.assertEqual(unused_terms(ROOT, texts), [])

    def test_terms_are_in_order_and_once(self):
        terms = [term.lower() for term in terms_of(ROOT)]
        self.assertEqual(terms, sorted(set(terms)))

    def test_pages_lead_to_it(self):
        for page in pages(ROOT):
            if page == "README.md" or (page.startswith("docs/") and page not in STANDS_ALONE | {"docs/glossary.md"}):
                with self.subTest(page):
                    self.assertIn("docs/glossary.md", [target for _, target, _ in links_of(ROOT, page)])


class Folders(unittest.TestCase):
    """docs/architecture.md has a table with what each folder is for, and a picture of who uses whom."""

    def setUp(self):
        self.page = text_of(ROOT, "docs/architecture.md")
        self.uses = folders()

    def test_each_folder_is_in_the_table(self):
        table = dict(re.findall(r"^\| `([\w/]+)` \| ([^|]{20,}) \|", self.page, re.MULTILINE))
        self.assertGreater(len(self.uses), 20)
        self.assertEqual(sorted(table), sorted(self.uses))

    def test_arrows_of_the_picture_point_downwards(self):
        picture = re.search(r"^## Folders$.*?^```\w*$\n(.*?)^```$", self.page, re.MULTILINE | re.DOTALL)[1]
        line_of = {}
        for number, line in enumerate(picture.splitlines()):
            for name in re.findall(r"\b(?:src/\w+|include)\b", line):
                self.assertNotIn(name, line_of)
                line_of[name] = number
        parts = {folder: used for folder, used in self.uses.items() if folder == "include" or folder.startswith("src/")}
        self.assertEqual(sorted(line_of), sorted(parts))
        for folder, used in parts.items():
            for other in used:
                self.assertLess(line_of[folder], line_of[other], f"{folder} uses {other}, and does not stand above it")


class Checks(unittest.TestCase):
    """What the checks above find, on pages that are made for it."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        (self.root / "docs").mkdir()
        self.write("README.md", "# Readme\n[one](docs/one.md#two-words) [code](docs/a.c)\n")
        self.write("docs/one.md", "# One\n## Two `words`!\n")
        self.write("docs/a.c", "int a;\n")

    def write(self, page, text):
        (self.root / page).write_text(text, "utf-8")

    def test_good_links(self):
        self.write("docs/two.md", "# Same\n# Same\n[a](#same-1) [b](../README.md) [c](https://example.com/x.md)\n"
                                  "`[d](none.md)`\n```\n[e](none.md)\n# not-a-heading\n```\n")
        self.assertEqual(broken_links(self.root), [])

    def test_bad_links(self):
        for link, problem in (("none.md", "there is no docs/none.md"), ("one.md#none", "no such heading"),
                              ("#none", "no such heading"), ("a.c#one", "no such heading"),
                              ("../../outside.md", "there is no ../outside.md")):
            with self.subTest(link):
                self.write("docs/two.md", f"# Two\n[x]({link})\n")
                self.assertEqual(len(broken_links(self.root)), 1)
                self.assertIn(problem, broken_links(self.root)[0])

    def test_a_page_that_nobody_links(self):
        self.write("docs/two.md", "# Two\n[x](one.md)\n")
        self.assertEqual(reached_from(self.root, "README.md"), {"README.md", "docs/one.md"})

    def test_headings_of_one_name(self):
        self.write("docs/two.md", "# Two\n## two words\n## Other\n## Other\n")
        self.assertEqual(repeated_headings(self.root, ["docs/two.md"]), ["other: docs/two.md, docs/two.md"])
        self.write("docs/two.md", "# Two\n## ONE\n")
        self.assertEqual(repeated_headings(self.root, ["docs/one.md", "docs/two.md"]), ["one: docs/one.md, docs/two.md"])

    def test_a_term_that_is_not_used(self):
        self.write("docs/glossary.md", "- **sector**: 4 KiB.\n- **boot path**: all.\n- **never**: used.\n- **x, y**: two.\n")
        self.assertEqual(unused_terms(self.root, ["Sectors of a boot\npath", "why"]), ["never", "x, y"])
        self.assertEqual(unused_terms(self.root, ["sector, boot path, never, y"]), [])


if __name__ == "__main__":
    runner.main(sys.argv[2:])
