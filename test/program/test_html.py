#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The HTML report, in a real browser: it shows the numbers of --json, needs nothing but itself, and fits a phone.

SELF_REFLASHER_BROWSER names the browser (Chromium); without it, chromium is looked for, and what needs it is skipped
where it is missing.
usage: test_html.py PROGRAM DEMO_IMAGES
"""
import collections
import hashlib
import html.parser
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import browser
import runner

PROGRAM, DEMO_IMAGES = sys.argv[1:3]
SECTOR = 4096
VOID = {"meta", "br", "hr", "img", "input", "link"}
NOT_FIGURES = {"boot", "boot_before", "failures", "failed_step"}
HOSTILE = {b"ota_1": b"<script>boom()</", b"nvs": b"'\"><b>&amp;\xe2\x80\xae\x1b\xff"}
HOSTILE_SHOWN = {"<script>boom()</", "'\"><b>&amp;\ufffd\ufffd\ufffd"}


class WellFormed(html.parser.HTMLParser):
    """Complains about elements that are not closed in order, attributes that occur twice, and links to anywhere."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.complaints = []
        self.ids = collections.Counter()
        self.feed(text)
        self.close()
        self.complaints += [f"<{tag}> is not closed" for tag in self.open]
        self.complaints += [f"id {name} occurs {count} times" for name, count in self.ids.items() if count > 1]

    def handle_starttag(self, tag, attrs):
        self.look(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.look(tag, attrs)
        if "svg" not in self.open:
            self.complaints.append(f"<{tag}/> outside of a drawing")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.complaints.append(f"</{tag}> at {self.getpos()} closes something else")

    def look(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(set(names)) != len(names):
            self.complaints.append(f"<{tag}> has an attribute twice")
        for name in {"src", "href", "srcset", "action", "xlink:href"} & set(names):
            self.complaints.append(f"<{tag}> has {name}")
        self.complaints += [f"<{tag}> has {name}" for name in names if name.startswith("on")]
        self.ids.update(value for name, value in attrs if name == "id")


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)


def numbers_of(answer, prefix=""):
    """All numbers of the JSON that are figures, by their path."""
    found = {}
    for name, value in answer.items():
        if name in NOT_FIGURES and not prefix:
            continue
        if isinstance(value, dict):
            found.update(numbers_of(value, prefix + name + "."))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[prefix + name] = value
    return found


def value_of(text, milliseconds):
    """What a figure says to its reader, and how far that may be from the truth."""
    if match := re.fullmatch(r"0x([0-9a-f]{6})", text):
        return int(match[1], 16), 0
    number, _, unit = text.partition(" ")
    number = float(number.replace(",", ""))
    factor = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "ms": 1, "s": 1000}[unit]
    assert milliseconds == (unit in ("s", "ms")), text
    return number * factor, {"s": 0.5, "ms": 0.05, "KiB": 52, "MiB": 52429}.get(unit, 0)


class HtmlTest(unittest.TestCase):
    @classmethod
    def prepare(cls, folder):
        """Makes all pages, once for all tests."""
        cls.dir = pathlib.Path(folder)
        subprocess.run([DEMO_IMAGES, cls.dir], check=True, stdout=subprocess.DEVNULL)
        cls.flash = cls.dir / "old-flash.bin"
        app = ("0x110000+1M", cls.dir / "app_upd.bin")
        bootloader = ("0x1000+0xF000", cls.dir / "mcuboot.bin")
        hostile = cls.make_hostile()
        cls.answers = {}
        cls.make("whole", 0, "simulate", "-f", cls.flash, "-o", cls.dir / "after.bin", *app, *bootloader)
        cls.make("refused", 1, "simulate", "-f", cls.flash, "0x1001+4K", bootloader[1])
        cls.make("bundle", 0, "simulate", "-f", cls.flash, "--allow-unsigned", "--bundle", cls.make_bundle())
        cls.make("relocated", 0, "simulate", "-f", cls.dir / "embedded-flash.bin", *cls.over_the_running_app())
        cls.make("hostile", 0, "explore", "--sample", 5, "--torn", 1, "-f", hostile, "0x110000+64K", "flash:0x1000+24K")
        cls.make("nothing", 0, "explore", "-f", cls.flash, "0x8000", "flash:0x8000+4K")
        cls.make("explored", 0, "explore", "--sample", 12, "--torn", 2, "-f", cls.flash, *app, *bootloader)
        cls.make("failing", 1, "explore", "--sample", 12, "--torn", 1, "-f", cls.flash, *bootloader, *app)

    @classmethod
    def make(cls, name, status, *arguments):
        result = run(*arguments, "--json", "--html", cls.dir / f"{name}.html")
        if result.returncode != status:
            raise AssertionError(f"{name}: exit status {result.returncode}\n{result.stderr}")
        cls.answers[name] = json.loads(result.stdout)

    @classmethod
    def make_hostile(cls):
        """A flash whose partition labels are no friends of a page."""
        flash = bytearray(cls.flash.read_bytes())
        entry = 0x8000
        while flash[entry:entry + 2] == b"\xaa\x50":
            label = bytes(flash[entry + 12:entry + 28]).rstrip(b"\0")
            flash[entry + 12:entry + 28] = HOSTILE.get(label, label).ljust(16, b"\0")
            entry += 32
        flash[entry + 16:entry + 32] = hashlib.md5(flash[0x8000:entry]).digest()
        path = cls.dir / "<i>hostile.bin"
        path.write_bytes(flash)
        return path

    @classmethod
    def make_bundle(cls):
        path = cls.dir / "new.srb"
        target = bytearray(cls.flash.read_bytes())
        target[0x110000:0x120000] = bytes(range(256)) * 256
        (cls.dir / "target.bin").write_bytes(target[0x110000:0x120000])
        result = run("pack", "--chip", "esp32", "-o", path, "0x110000", cls.dir / "target.bin")
        if result.returncode != 0:
            raise AssertionError(result.stderr)
        return path

    @classmethod
    def over_the_running_app(cls):
        image = (cls.dir / "app_upd.merged.bin").read_bytes()
        source = (cls.dir / "embedded-flash.bin").read_bytes().index(image)
        return f"0x1000+{len(image):#x}", f"flash:{source:#x}+{len(image)}"

    def page(self, name):
        return self.dir / f"{name}.html"


class File(HtmlTest):
    def test_is_well_formed_and_refers_to_nothing(self):
        for name in self.answers:
            text = self.page(name).read_text(encoding="utf-8")
            self.assertEqual(WellFormed(text).complaints, [], name)
            self.assertNotIn("<script", text)
            self.assertNotRegex(text, r"(?i)url\(|@import|https?:")
            self.assertLess(len(text), 1 << 20)

    def test_usage(self):
        arguments = ("simulate", "-f", self.flash, "0x8000", "flash:0x8000+4K")
        result = run(*arguments, "--html", self.dir / "no" / "page.html")
        self.assertEqual(result.returncode, 3)
        self.assertIn("page.html", result.stderr)
        self.assertEqual(run(*arguments, "--html", "/dev/full").returncode, 3)
        self.assertEqual(run(*arguments, "--html", self.dir / "x.html", "--cut", "1").returncode, 2)


class Page(HtmlTest):
    @classmethod
    def setUpClass(cls):
        if not browser.find():
            raise unittest.SkipTest("no chromium here")
        cls.browser = cls.enterClassContext(browser.Browser())

    def show(self, name, **how):
        self.browser.open(self.page(name), **how)
        return self.browser.evaluate

    def texts(self, selector):
        return self.browser.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")

    def count(self, selector):
        return self.browser.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")

    def test_neither_complains_nor_asks_for_anything(self):
        for name in self.answers:
            for dark in (False, True):
                self.show(name, dark=dark)
                self.assertEqual(self.browser.complaints(), [], name)
                self.assertEqual(self.browser.requests(), [self.page(name).resolve().as_uri()])

    def test_the_browser_would_tell(self):
        page = self.dir / "bad.html"
        page.write_text("<script>console.error('here')</script><img src='missing.png'>")
        self.browser.open(page)
        self.assertNotEqual(self.browser.complaints(), [])
        self.assertEqual(len(self.browser.requests()), 2)

    def test_fits_a_phone(self):
        widest = """Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll("body :not(svg *)")]
                    .map(e => e.getBoundingClientRect().right))"""
        for name in self.answers:
            for width in (320, 360, 768, 1280):
                evaluate = self.show(name, width=width)
                self.assertEqual(evaluate("innerWidth"), width)
                self.assertLessEqual(evaluate(widest), width, (name, width))
                self.assertGreaterEqual(evaluate("parseFloat(getComputedStyle(document.body).fontSize)"), 14)

    def test_light_and_dark(self):
        brightness = """(what => getComputedStyle(document.body)[what].match(/[0-9]+/g).map(Number)
                        .reduce((a, b) => a + b) / 3)"""
        for dark in (False, True):
            evaluate = self.show("whole", dark=dark)
            page, ink = evaluate(brightness + "('backgroundColor')"), evaluate(brightness + "('color')")
            self.assertEqual(page < 60, dark)
            self.assertEqual(ink > 200, dark)

    def test_figures_are_those_of_the_json(self):
        for name, answer in self.answers.items():
            evaluate = self.show(name)
            shown = evaluate("""Object.fromEntries([...document.querySelectorAll("#figures data")]
                                .map(e => [e.id, [e.value, e.textContent]]))""")
            numbers = numbers_of(answer)
            self.assertEqual(set(shown), set(numbers), name)
            for key, (exact, text) in shown.items():
                self.assertEqual(float(exact), numbers[key], key)
                value, tolerance = value_of(text, "_ms" in key)
                self.assertLessEqual(abs(value - numbers[key]), tolerance + 1e-6, f"{key}: {text}")

    def test_cells_of_the_map(self):
        before, after = self.flash.read_bytes(), (self.dir / "after.bin").read_bytes()
        pairs = [(before[at:at + SECTOR], after[at:at + SECTOR]) for at in range(0, len(before), SECTOR)]
        evaluate = self.show("whole")

        def cells(figure, part):
            return evaluate(f"""[...document.querySelectorAll("#map-{figure} svg {part}")]
                            .map(e => e.getAttribute("d").split("M").length - 1).reduce((a, b) => a + b, 0)""")

        self.assertEqual(cells("before", "g path"), len(pairs))
        self.assertEqual(cells("after", "g path"), len(pairs))
        self.assertEqual(cells("before", "path.l0"), sum(old.count(b"\xff") == SECTOR for old, _ in pairs))
        self.assertEqual(cells("after", "path.l0"), sum(new.count(b"\xff") == SECTOR for _, new in pairs))
        self.assertEqual(cells("after", "path.changed"), sum(old != new for old, new in pairs))
        self.assertEqual(self.count("#map-before .changed"), 0)

    def test_regions_are_listed(self):
        self.show("whole")
        self.assertEqual(self.texts("#map-before td bdi"),
                         ["free", "bootloader", "free", "partition table", "nvs", "otadata", "phy_init", "ota_1", "free",
                          "ota_0: boot_swap_download_example 1.0.0"])
        self.assertIn("bootloader: MCUboot", self.texts("#map-after td bdi"))
        self.assertEqual(self.texts("#map-before td.mono")[:2], ["0x000000", "0x001000"])

    def test_timeline(self):
        for name, answer in self.answers.items():
            evaluate = self.show(name)
            window = answer["window_ms"] if "window_lower_bound_ms" not in answer else answer["window_ms"]["typical"]
            self.assertEqual(self.count("#timeline .whole .window rect") > 0, window > 0, name)
            if not self.count("#timeline svg"):
                self.assertEqual(answer.get("programs", 0) + answer.get("operations", 0), 0, name)
                continue
            # of what is drawn as the window, less than half are the gaps in which flash is read
            drawn = evaluate("""[...document.querySelectorAll("#timeline .whole .window rect")]
                             .map(e => e.width.baseVal.value).reduce((a, b) => a + b, 0) / 1200""")
            last = self.texts("#timeline .whole .times span")[-1]
            total, _ = value_of(last, True)
            self.assertGreaterEqual(drawn * total + total / 1200, window, name)
            self.assertLessEqual(drawn * total, window * 1.7 + total * 5 / 1200, name)

    def test_marks_of_the_timeline_are_inside(self):
        self.show("whole")
        for kind, count in (("erase", self.answers["whole"]["erases"]), ("program", self.answers["whole"]["programs"])):
            path = self.browser.evaluate(f"document.querySelector('#timeline .whole path.{kind}').getAttribute('d')")
            marks = [tuple(map(int, mark)) for mark in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z", path)]
            self.assertEqual(len(marks), path.count("M"))
            self.assertTrue(0 < len(marks) <= count)
            self.assertTrue(all(x <= 1200 and y <= 400 for x, y, _, _ in marks))
            self.assertEqual(sorted(x for x, *_ in marks), [x for x, *_ in marks], "time goes on")
        # staged in 0x1xxxxx or below, MCUboot at 0x1000 last
        self.assertLess(marks[-1][1], 400 * 0x10000 // (4 << 20))

    def test_restarts(self):
        self.show("relocated")
        self.assertGreaterEqual(self.count("#timeline .whole .restart"), 1)
        self.show("whole")
        self.assertEqual(self.count("#timeline .restart"), 0)

    def test_verdict(self):
        for name, bad in (("whole", False), ("refused", True), ("explored", False), ("failing", True)):
            self.show(name)
            self.assertEqual(self.count("#verdict.bad"), int(bad), name)
        self.show("refused")
        self.assertIn("ESP_ERR_SELF_REFLASHER_UNALIGNED", self.texts("#verdict")[0])
        self.assertIn("0x1001", self.texts("#verdict")[0])
        self.show("failing")
        self.assertIn(f"{len(self.answers['failing']['failures'])} failures", self.texts("#verdict")[0])

    def cells_of_the_strip(self):
        rects = self.browser.evaluate("""[...document.querySelector("#outcomes .strip svg").querySelectorAll("rect")]
                                      .map(e => [e.getAttribute("class"), e.width.baseVal.value])""")
        cells = collections.Counter()
        for kind, width in rects:
            cells[kind] += int(width)
        return cells

    def test_each_cut_has_its_cell(self):
        for name in ("explored", "hostile"):
            self.show(name)
            cells = self.cells_of_the_strip()
            outcomes = {key: count for key, count in self.answers[name]["outcomes"].items() if count}
            self.assertEqual({key: count for key, count in cells.items() if key not in ("not_tried", "commit")}, outcomes)
        self.show("explored")
        self.assertGreater(self.cells_of_the_strip()["commit"], 0)

    def test_failures(self):
        self.show("failing")
        failures = self.answers["failing"]["failures"]
        self.assertGreater(len(failures), 0)
        self.assertEqual(self.cells_of_the_strip()["failed"], len(failures))
        self.assertEqual(self.texts(".failures td:first-child"), [failure["argument"] for failure in failures])
        self.assertEqual(self.texts(".failures td:last-child"), [failure["reason"] for failure in failures])

    def test_nothing_to_do(self):
        self.show("nothing")
        self.assertEqual(self.count("#timeline svg") + self.count("#outcomes svg"), 0)
        self.assertIn("None", self.texts("#timeline")[0])

    def test_labels_are_text(self):
        self.show("hostile")
        self.assertLessEqual(HOSTILE_SHOWN, set(self.texts("#map-before td bdi")))
        self.assertIn("<i>hostile.bin", self.texts("header .about")[0])
        self.assertEqual(self.count("script") + self.count("b:not(.chart b, #verdict b)") + self.count("header .about i"), 0)
        self.assertNotRegex(self.page("hostile").read_text(encoding="utf-8"), "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u202e]")


def setUpModule():
    HtmlTest.prepare(unittest.enterModuleContext(tempfile.TemporaryDirectory()))


if __name__ == "__main__":
    runner.main(sys.argv[3:])
