#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The HTML report, in a real browser: it shows the numbers of --json, needs nothing but itself, and fits a phone.

SELF_REFLASHER_BROWSER names the browser (Chromium); without it, chromium is looked for, and what needs it is skipped
where it is missing.
usage: test_html.py PROGRAM DEMO_IMAGES
"""
import collections
import datetime
import hashlib
import html.parser
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

import browser
import runner

PROGRAM, DEMO_IMAGES = sys.argv[1:3]
SECTOR = 4096
VOID = {"meta", "br", "hr", "img", "input", "link"}
EPOCH = 1700000000
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


def run(*arguments, epoch=None):
    """@param epoch SOURCE_DATE_EPOCH. None: the clock is used."""
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    if epoch is not None:
        environment["SOURCE_DATE_EPOCH"] = str(epoch)
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False,
                          env=environment)


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
        cls.commands = {}
        cls.make("whole", 0, "simulate", "-f", cls.flash, "-o", cls.dir / "after.bin", *app, *bootloader)
        cls.make("refused", 1, "simulate", "-f", cls.flash, "0x1001+4K", bootloader[1])
        cls.make("bundle", 0, "simulate", "-f", cls.flash, "--allow-unsigned", "--bundle", cls.make_bundle())
        public = cls.sign_bundle()
        cls.make("signed", 0, "simulate", "-f", cls.flash, "--public-key", public, "--bundle", cls.dir / "signed.srb")
        cls.make("refused bundle", 1, "simulate", "-f", cls.flash, "--public-key", public, "--bundle", cls.dir / "new.srb")
        cls.make("giving", 0, "simulate", "-f", cls.dir / "embedded-flash.bin", "--allow-unsigned", "--bundle",
                 cls.pack("giving.srb", "0x1000", cls.dir / "app_upd.merged.bin", "--give-up", "phy_init", "--give-up", "0x3f0000+8K"))
        cls.make("unchanged", 0, "simulate", "-f", cls.flash, "0x8000", "flash:0x8000+4K")
        cls.make("stopped", 1, "simulate", "-f", cls.flash, "0x110000+64K", "http://127.0.0.1:1/no")
        cls.make("failed", 1, "simulate", "-f", cls.flash, *app, "0x1001+4K", bootloader[1])
        cls.make("moved", 0, "explore", "--sample", 8, "--torn", 1, "-f", cls.dir / "embedded-flash.bin", "--allow-unsigned",
                 "--bundle", cls.pack("moved.srb", "0x1000", cls.dir / "app_upd.merged.bin"))
        cls.make("relocated", 0, "simulate", "-f", cls.dir / "embedded-flash.bin", *cls.over_the_running_app())
        cls.make("hostile", 0, "explore", "--sample", 5, "--torn", 1, "-f", hostile, "0x110000+64K", "flash:0x1000+24K")
        cls.make("nothing", 0, "explore", "-f", cls.flash, "0x8000", "flash:0x8000+4K")
        cls.make("explored", 0, "explore", "--sample", 12, "--torn", 2, "-f", cls.flash, *app, *bootloader)
        cls.make("failing", 1, "explore", "--sample", 12, "--torn", 1, "-f", cls.flash, *bootloader, *app)

    @classmethod
    def make(cls, name, status, *arguments):
        arguments = (*arguments, "--json", "--html", cls.dir / f"{name}.html")
        cls.commands[name] = ["self-reflasher", *map(str, arguments)]
        result = run(*arguments, epoch=EPOCH)
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
        path = cls.dir / "<i>it's hostile.bin"
        path.write_bytes(flash)
        return path

    @classmethod
    def make_bundle(cls):
        target = bytearray(cls.flash.read_bytes())
        target[0x110000:0x120000] = bytes(range(256)) * 256
        (cls.dir / "target.bin").write_bytes(target[0x110000:0x120000])
        return cls.pack("new.srb", "0x110000", cls.dir / "target.bin")

    @classmethod
    def pack(cls, name, *arguments):
        path = cls.dir / name
        result = run("pack", "--chip", "esp32", "-o", path, *arguments)
        if result.returncode != 0:
            raise AssertionError(result.stderr)
        return path

    @classmethod
    def sign_bundle(cls):
        """@return the public key that new.srb, as signed.srb, is signed with."""
        private, public = cls.dir / "key.pem", cls.dir / "pub.pem"
        for arguments in (("keygen", "-o", private, "--public", public),
                          ("sign", "--key", private, "-o", cls.dir / "signed.srb", cls.dir / "new.srb")):
            result = run(*arguments)
            if result.returncode != 0:
                raise AssertionError(result.stderr)
        return public

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
            typed = re.search(r'<dd id="command">.*?</dd>', text)[0]  # a URL that is text is none that is followed
            self.assertNotRegex(text.replace(typed, ""), r"(?i)url\(|@import|https?:")
            self.assertLess(len(text), 1 << 20)

    def test_usage(self):
        arguments = ("simulate", "-f", self.flash, "0x8000", "flash:0x8000+4K")
        result = run(*arguments, "--html", self.dir / "no" / "page.html")
        self.assertEqual(result.returncode, 3)
        self.assertIn("page.html", result.stderr)
        self.assertEqual(run(*arguments, "--html", "/dev/full").returncode, 3)
        self.assertEqual(run(*arguments, "--html", self.dir / "x.html", "--cut", "1").returncode, 2)

    def test_same_run_same_page(self):
        """At another time, too: SOURCE_DATE_EPOCH is honoured."""
        page = self.dir / "again.html"
        for command in (("simulate",), ("explore", "--sample", "5", "--torn", "1")):
            texts = []
            for epoch in (EPOCH, EPOCH, EPOCH + 86400, None):
                result = run(*command, "-f", self.flash, "0x110000+1M", self.dir / "app_upd.bin", "0x1000+0xF000",
                             self.dir / "mcuboot.bin", "--html", page, epoch=epoch)
                self.assertEqual(result.returncode, 0, result.stderr)
                texts.append(page.read_text("utf-8"))
            self.assertEqual(texts[0], texts[1])
            self.assertIn("2023-11-14 22:13 UTC", texts[0])
            self.assertEqual(texts[0].replace("2023-11-14 22:13", "2023-11-15 22:13"), texts[2])
            made = re.search(r'id="date">([-0-9]+ [0-9:]+) UTC<', texts[3])[1]
            age = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - datetime.datetime.fromisoformat(made)
            self.assertLess(abs(age.total_seconds()), 3600)

    def test_what_is_no_date(self):
        page = self.dir / "no-date.html"
        for epoch in ("yesterday", "-1", "12x", " 5", "99999999999999999999", "9223372036854775807"):
            result = run("simulate", "-f", self.flash, "0x8000", "flash:0x8000+4K", "--html", page, epoch=epoch)
            self.assertEqual(result.returncode, 3, epoch)
            self.assertIn("SOURCE_DATE_EPOCH", result.stderr)
            self.assertFalse(page.exists(), epoch)
            self.assertEqual(run("simulate", "-f", self.flash, "0x8000", "flash:0x8000+4K", epoch=epoch).returncode, 0)


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
            for widths in ((320, 360, 390), (768, 1280)):  # a page is drawn anew, but not loaded for each
                evaluate = self.show(name, width=widths[0])
                for width in widths:
                    self.browser.resize(width)
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
        self.assertEqual(cells("after", "path.stays"), sum(old == new != b"\xff" * SECTOR for old, new in pairs))
        self.assertEqual(self.count("#map-before .changed") + self.count("#map-before .stays"), 0)

    def test_what_is_given_up(self):
        """Each sector of the flash as it was; and nothing where nothing is."""
        evaluate = self.show("giving")
        marks = evaluate("""[...document.querySelectorAll("#map-before path.given-up")].map(e => e.getAttribute("d")).join("")""")
        cells = [tuple(map(int, cell)) for cell in re.findall(r"M([0-9]+) ([0-9]+)h", marks)]
        self.assertEqual([x // 10 + y // 14 * 64 for x, y in cells], [0xF, 0x3F0, 0x3F1])
        rows = [row for row in self.texts("#map-before tbody tr") if ", given up" in row]
        self.assertEqual([row.split("%")[1] for row in rows], ["phy_init, given up", "ota_1, given up in part"])
        self.assertEqual(self.count("#map-after .given-up"), 0)
        self.assertIn("line above: given up, may be overwritten from the first moment on", self.texts("#map .legend li"))
        self.show("whole")
        self.assertEqual(self.count("#map .given-up"), 0)

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
            total = self.total_ms("#timeline .whole")
            self.assertGreaterEqual(drawn * total + total / 1200, window, name)
            self.assertLessEqual(drawn * total, window * 1.7 + total * 5 / 1200, name)

    def ticks(self, chart):
        """[(milliseconds, share of the width)] of the axis of a chart."""
        spans = self.browser.evaluate(f"""[...document.querySelectorAll({json.dumps(chart + " .times span")})]
                                      .map(e => [e.textContent, parseFloat(e.style.left) / 100])""")
        return [(value_of(text, True)[0], left) for text, left in spans]

    def total_ms(self, chart):
        """What the axis of a chart ends with, if it begins with 0."""
        ticks = self.ticks(chart)
        self.assertEqual(ticks[0], (0, 0))
        return ticks[-1][0] / ticks[-1][1]

    def test_axes_are_linear_and_round(self):
        charts = ("#timeline .whole", "#timeline .zoom", "#outcomes .strip.all", "#outcomes .strip.part")
        seen = set()
        for name in self.answers:
            self.show(name)
            for chart in charts:
                if not self.count(chart):
                    continue
                ticks = self.ticks(chart)
                self.assertTrue(2 <= len(ticks) <= 8, (name, chart, ticks))
                step = ticks[1][0] - ticks[0][0]
                self.assertIn(f"{step:.6e}"[:8], ("1.000000", "2.000000", "5.000000"), (name, chart, ticks))
                scale = (ticks[-1][1] - ticks[0][1]) / (ticks[-1][0] - ticks[0][0])
                for number, (value, left) in enumerate(ticks):
                    self.assertAlmostEqual(value / step, round(value / step), places=6)
                    self.assertAlmostEqual(value, ticks[0][0] + number * step, places=6)
                    self.assertAlmostEqual(left - ticks[0][1], (value - ticks[0][0]) * scale, delta=.0021)
                seen.add(chart)
        self.assertEqual(seen, set(charts))

    def test_lanes_of_both_layouts(self):
        """The app that boots is framed in both: where it moves is seen."""
        moved = 0
        for name in ("whole", "signed", "relocated", "failed"):
            answer = self.answers[name]
            evaluate = self.show(name)
            frames = evaluate("""[...document.querySelectorAll("#timeline .whole .lane")]
                              .map(e => [...e.querySelectorAll(".boots")].map(f => f.y.baseVal.value))""")
            places = [answer[boot]["app_offset"] * 400 // (4 << 20) for boot in ("boot_before", "boot")]
            self.assertEqual(frames, [[place] for place in places], name)
            moved += places[0] != places[1]
            boxes = evaluate("""[...document.querySelectorAll("#timeline .whole > svg")].map(e => e.getBoundingClientRect())
                             .map(e => [e.top, e.left, e.right])""")
            self.assertEqual(len({top for top, *_ in boxes}), 1)
            self.assertLess(boxes[0][2], boxes[1][1])
            self.assertLess(boxes[1][2], boxes[2][1])
        self.assertGreater(moved, 0)

    def test_what_is_fatal_is_enlarged(self):
        """Also where the app has moved before: its own commit lies far from the last one."""
        for name in ("whole", "explored", "moved"):
            answer = self.answers[name]
            window = answer["window_ms"] if name == "whole" else answer["window_ms"]["typical"]
            self.show(name)
            for chart in ("#timeline .zoom",) if name == "whole" else ("#timeline .zoom", "#outcomes .strip.part"):
                self.assertEqual(self.count(chart), 1, (name, chart))
                (first, left), *_, (last, right) = self.ticks(chart)
                shown = (last - first) / (right - left)
                self.assertGreaterEqual(shown, window, (name, chart))
                self.assertLess(shown, 2 * window, (name, chart))
        self.assertGreater(self.count("#timeline .whole .restart"), 0)

    def test_plot_is_wide_enough(self):
        for name in ("whole", "explored"):
            for width in (320, 390, 1280):
                evaluate = self.show(name, width=width)
                plot = evaluate("document.querySelector('#timeline .whole .plot').getBoundingClientRect().width")
                self.assertGreater(plot, width * .4, (name, width))

    def test_legend_has_each_mark_that_is_used(self):
        levels = {"l1": "l3", "l2": "l3", "l4": "l3"}  # one text for all
        for name in self.answers:
            evaluate = self.show(name)
            for section in ("map", "timeline", "outcomes"):
                marks = evaluate(f"""[...new Set([...document.querySelectorAll("#{section} svg :is(path, rect)")].flatMap(
                                 e => [...e.classList, ...(e.parentElement.tagName === "g" ? e.parentElement.classList : [])]))]""")
                legend = evaluate(f"""[...document.querySelectorAll("#{section} .legend li, #{section} table.outcomes tr")]
                                  .filter(e => e.querySelector(".swatch")).flatMap(e => [...e.classList])""")
                self.assertLessEqual({levels.get(mark, mark) for mark in marks} - {"grid"}, set(legend), (name, section))
                self.assertEqual(len(legend), len(set(legend)) + legend.count("does_not_boot") // 2, (name, section))

    def test_contrast(self):
        """Of all text, and of what is drawn for operations and the frames (WCAG 2.1: 4.5 and 3)."""
        for name in ("whole", "refused", "failing"):
            for dark in (False, True):
                self.show(name, dark=dark)
                texts = self.browser.contrasts()
                self.assertGreater(len(texts), 50)
                self.assertEqual([text for text in texts if text[0] < 4.5], [], (name, dark))
                marks = self.browser.contrasts(".plot > :is(.erase, .program)", "fill")
                self.assertEqual([mark for mark in marks if mark[0] < 3], [], (name, dark))

    def test_head(self):
        key = json.loads(run("key", self.dir / "pub.pem", "--json").stdout)["key_id"]
        for name, command in self.commands.items():
            self.show(name)
            self.assertEqual(shlex.split(self.texts("#command")[0]), command, name)
            self.assertEqual(self.texts("#date"), ["2023-11-14 22:13 UTC"])
        bundles = {"signed": (self.dir / "signed.srb", f"{key} ({self.dir / 'pub.pem'})"),
                   "refused bundle": (self.dir / "new.srb", f"{key} ({self.dir / 'pub.pem'})"),
                   "bundle": (self.dir / "new.srb", "none: a bundle without signature is accepted"),
                   "giving": (self.dir / "giving.srb", "none: a bundle without signature is accepted"),
                   "moved": (self.dir / "moved.srb", "none: a bundle without signature is accepted")}
        for name in self.answers:
            self.show(name)
            path, key_text = bundles.get(name, (None, None))
            self.assertEqual(self.texts("#bundle"), [str(path)] if path else [], name)
            self.assertEqual(self.texts("#key"), [key_text] if path else [], name)

    def test_title(self):
        words = {"whole": "Done", "signed": "Done", "refused": "Refused", "refused bundle": "Refused", "stopped": "Stopped",
                 "failed": "Failed", "unchanged": "Nothing to do", "explored": "No failure", "failing": "Failures"}
        for name, word in words.items():
            self.show(name)
            title = self.texts("title")[0]
            self.assertTrue(title.startswith(word + ": "), title)
            self.assertIn(str(self.flash), title)
            self.assertEqual("signed.srb" in title, name == "signed")
            if word not in ("No failure", "Failures"):
                self.assertIn(f"{word}.", self.texts("#verdict b")[0])

    def test_what_became_of_the_flash(self):
        untouched = "nothing was erased, nothing programmed"
        for name in self.answers:
            self.show(name)
            nothing = name in ("refused", "refused bundle", "stopped", "unchanged", "nothing")
            self.assertEqual("stays as it is" in self.texts("h1")[0], nothing, name)
            if name != "nothing":
                self.assertEqual(untouched in self.texts("#verdict")[0].lower(), nothing, name)
        self.show("failed")
        self.assertIn("half-way", self.texts("h1")[0])
        self.assertIn("still boots", self.texts("#verdict")[0])
        self.show("refused bundle")
        self.assertIn("Way out: " + self.answers["refused bundle"]["way_out"], self.texts("#verdict")[0])

    def test_cards(self):
        for name, answer in self.answers.items():
            self.show(name)
            cards = {card: self.texts(f"#card-{card} dd") for card in ("boots", "finishes", "fatal", "travels", "time")}
            self.assertTrue(all(texts[0] and texts[1] for texts in cards.values()), cards)
            window = answer["window_ms"] if "window_lower_bound_ms" not in answer else answer["window_ms"]["typical"]
            if window:
                value, tolerance = value_of(cards["fatal"][0], True)
                self.assertAlmostEqual(value, window, delta=tolerance)
                self.assertRegex(cards["fatal"][1], r"^[0-9.]+ % of ")
            else:
                self.assertEqual(cards["fatal"][0], "never")
            if "bytes_downloaded" in answer:
                self.assertIn(f"{answer['bytes_downloaded']:,} bytes" if answer["http_requests"] else "no download",
                              cards["travels"][1])
        for name, text in (("whole", "not tried"), ("failed", "not tried"), ("refused", "nothing to finish"),
                           ("unchanged", "nothing to finish"), ("failing", "no"), ("explored", "yes, except in the window")):
            self.show(name)
            self.assertEqual(self.texts("#card-finishes dd")[0], text, name)
        self.show("whole")
        self.assertEqual(self.texts("#card-boots dd"), ["MCUboot image 1.0.0", "another app than the one that ran"])
        self.show("failed")
        self.assertEqual(self.texts("#card-boots dd")[1], "the app that ran")

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

    def test_each_outcome_is_counted_and_drawn(self):
        for name in ("explored", "hostile", "failing"):
            evaluate = self.show(name)
            counts = evaluate("""Object.fromEntries([...document.querySelectorAll("#outcomes table.outcomes tbody tr")]
                              .map(e => [e.className, e.children[1].textContent]))""")
            outcomes = {key: f"{count:,}" for key, count in self.answers[name]["outcomes"].items() if count}
            failures = len(self.answers[name]["failures"])
            self.assertEqual(counts, outcomes | ({"failed": f"{failures:,}"} if failures else {}))
            self.assertLessEqual(set(self.cells_of_the_strip()), set(counts) | {"not_tried", "commit"})
        self.show("explored")
        self.assertGreater(self.cells_of_the_strip()["commit"], 0)

    def test_fatal_time_is_to_scale(self):
        evaluate = self.show("explored")
        window = self.answers["explored"]["window_ms"]["typical"]
        total = self.total_ms("#outcomes .strip.all")
        share = evaluate("document.querySelector('#outcomes .share .does_not_boot').width.baseVal.value / 1200")
        self.assertAlmostEqual(share, window / total, delta=.003)
        self.assertIn(f"{100 * window / total:.0f}", f"{100 * share:.0f}")
        first_row = evaluate("""[...document.querySelectorAll("#outcomes .strip.all rect.does_not_boot")]
                             .filter(e => e.y.baseVal.value === 1).map(e => e.width.baseVal.value).reduce((a, b) => a + b, 0)""")
        self.assertAlmostEqual(first_row / 1200, window / total, delta=.02)

    def test_failures(self):
        self.show("failing")
        failures = self.answers["failing"]["failures"]
        self.assertGreater(len(failures), 0)
        self.assertGreater(self.cells_of_the_strip()["failed"], 0)
        self.assertEqual(self.texts(".failures td:first-child"), [failure["argument"] for failure in failures])
        self.assertEqual(self.texts(".failures td:last-child"), [failure["reason"] for failure in failures])

    def test_nothing_to_do(self):
        self.show("nothing")
        self.assertEqual(self.count("#timeline svg") + self.count("#outcomes svg"), 0)
        self.assertIn("None", self.texts("#timeline")[0])

    def test_labels_are_text(self):
        self.show("hostile")
        self.assertLessEqual(HOSTILE_SHOWN, set(self.texts("#map-before td bdi")))
        self.assertIn("<i>it's hostile.bin", self.texts("#flash")[0])
        self.assertEqual(self.count("script") + self.count("b:not(.chart b, #verdict b)") + self.count(".facts i"), 0)
        self.assertNotRegex(self.page("hostile").read_text(encoding="utf-8"), "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u202e]")


def setUpModule():
    HtmlTest.prepare(unittest.enterModuleContext(tempfile.TemporaryDirectory()))


if __name__ == "__main__":
    runner.main(sys.argv[3:])
