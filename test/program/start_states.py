# SPDX-License-Identifier: Apache-2.0
"""States in which a device can be found when a bundle arrives: flash contents of 1 MiB, made of dummy images.

A row of the table is a kind of state. It has one flash content or many, and says what must come of them. All of them
get bundles with the same change: another bootloader, table, otadata and app.
"""
import dataclasses
import itertools
import json
import pathlib
import struct
import subprocess

import flash_dumps

FLASH_SIZE = 1 << 20
SECTOR = 0x1000
TABLE, OTADATA, FACTORY, SLOT_0, SLOT_1, TEST = 0x8000, 0xD000, 0x10000, 0x20000, 0x60000, 0xA0000
DATA = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, OTADATA, 0x2000), (b"phy", 1, 1, 0xF000, 0x1000))
FACTORY_ROW = (b"factory", 0, 0, FACTORY, 0x10000)
SLOT_ROWS = ((b"ota_0", 0, 0x10, SLOT_0, 0x40000), (b"ota_1", 0, 0x11, SLOT_1, 0x40000))
TEST_ROW = (b"test", 0, 0x20, TEST, 0x10000)
LAYOUTS = {
    "slots": (*DATA, *SLOT_ROWS),
    "factory": (*DATA, FACTORY_ROW, *SLOT_ROWS),
    "safeboot": (*DATA, FACTORY_ROW, SLOT_ROWS[0]),
    "single": (DATA[0], DATA[2], FACTORY_ROW),
    "test": (*DATA, *SLOT_ROWS, TEST_ROW),
    "test only": (DATA[0], DATA[2], TEST_ROW),
    "gap": (*DATA, SLOT_ROWS[0], (b"ota_2", 0, 0x12, SLOT_1, 0x40000)),
}
NEW, PENDING, VALID, INVALID, ABORTED, UNDEFINED, NONSENSE = 0, 1, 2, 3, 4, 0xFFFFFFFF, 0x55
STATES = (UNDEFINED, NEW, PENDING, VALID, INVALID, ABORTED, NONSENSE)
ERASED = b""
ROLLBACK = ("--rollback",)

OLD_APP = flash_dumps.tiny_app("1.0")
NEW_APP = flash_dumps.tiny_app("2.0")
OTHER_APP = flash_dumps.tiny_app("0.9")
BROKEN_APP = OTHER_APP[:0x1800] + b"\0" + OTHER_APP[0x1801:]
NO_APP = b""


def entry(sequence, state=UNDEFINED):
    """Of otadata."""
    good = flash_dumps.otadata(sequence)[:32]
    return good[:24] + struct.pack("<I", state) + good[28:]


def otadata(first, second):
    return first.ljust(SECTOR, b"\xff") + second.ljust(SECTOR, b"\xff")


def odd_entries():
    """Entries that are not ordinary: some count for the bootloader, others do not."""
    good = entry(2, VALID)
    return (bytes(32), bytes(SECTOR), good[:28] + b"\1\2\3\4", good[:16], good[:6], flash_dumps.in_use(5)[:SECTOR],
            *(entry(sequence) for sequence in (0, 0x80000001, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)))


def entries():
    return (ERASED, *odd_entries(), *(entry(sequence, state) for sequence in (1, 2, 3) for state in STATES))


@dataclasses.dataclass(frozen=True)
class Start:
    """One flash content, the bundle that it gets, and how the chip is."""
    content: bytes
    bundle: str
    options: tuple = ()


@dataclasses.dataclass(frozen=True)
class Row:
    title: str
    make: object  # called with the workshop and whether all of them are wanted
    refused: str = ""  # a bundle is refused with this, before anything is written
    writes_table: int = 0  # extra writes of the table


class Workshop:
    """Makes contents and bundles."""

    def __init__(self, program, demo_images, folder):
        self.program, self.dir = program, pathlib.Path(folder)
        subprocess.run([demo_images, folder], check=True, stdout=subprocess.DEVNULL)
        self.bootloader = (self.dir / "old-flash.bin").read_bytes()[0x1000:TABLE].rstrip(b"\xff")
        self.made = itertools.count()
        self.bundles = {}

    def file(self, content):
        path = self.dir / f"{next(self.made)}.bin"
        path.write_bytes(content)
        return path

    def loader(self, change):
        image = bytearray(self.bootloader)
        image[3] &= 0x0F  # 1 MiB
        image[0x1234] ^= change
        return flash_dumps.reseal(image)

    def flash(self, layout, ota=ERASED, *apps):
        """@p apps: pairs of address and content."""
        parts = [(0x1000, self.loader(0)), (TABLE, flash_dumps.table(LAYOUTS[layout])), (0x9000, flash_dumps.in_use(1))]
        if ota:
            parts.append((OTADATA, ota))
        return flash_dumps.flash(*parts, *apps, size=FLASH_SIZE)

    def bundle(self, name, place, rows, ota, app=NEW_APP):
        """Another bootloader, another table, otadata if there is any, and an app."""
        if name not in self.bundles:
            parts = [(0x1000, self.loader(0x55)), (TABLE, flash_dumps.table(rows)), (place, app)]
            if ota:
                parts.insert(2, (OTADATA, ota))
            path = self.dir / f"bundle-{len(self.bundles)}.srb"
            words = [word for address, content in parts for word in (hex(address), self.file(content))]
            subprocess.run([self.program, "pack", "-o", path, "--chip", "esp32", *map(str, words)], check=True,
                           capture_output=True)
            self.bundles[name] = path
        return self.bundles[name]

    def to_slot(self, number, app=NEW_APP):
        """Its app selected by otadata; both slots are smaller."""
        rows = (*DATA, *((*row[:4], 0x30000) for row in SLOT_ROWS))
        return self.bundle(("slot", number, app), (SLOT_0, SLOT_1)[number], rows, flash_dumps.otadata(number + 1), app)

    def to_factory(self):
        rows = (*DATA, FACTORY_ROW, *((*row[:4], 0x30000) for row in SLOT_ROWS))
        return self.bundle("factory", FACTORY, rows, b"\xff" * 2 * SECTOR)

    def to_single(self):
        """Of a table with one app: a new one elsewhere."""
        return self.bundle("single", SLOT_1, (DATA[0], DATA[2], (b"factory", 0, 0, SLOT_1, 0x10000)), ERASED)

    def run(self, *arguments):
        return subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, timeout=900,
                              check=False)

    def migration(self, start):
        return "--json", "--flash", self.file(start.content), "--bundle", start.bundle, "--allow-unsigned", \
            *start.options

    def cut(self, content, bundle, cut, *options):
        """What is in the flash if the power goes in the middle of a bundle."""
        out = self.dir / f"cut-{next(self.made)}.bin"
        self.run("simulate", *self.migration(Start(content, bundle, options)), "--cut", cut, "--out", out)
        return out.read_bytes()

    def boots(self, content):
        """The app's place and name, or none."""
        answer = json.loads(self.run("boot", "--json", self.file(content)).stdout)
        return (answer["app"]["offset"], answer["app"]["name"]) if answer["outcome"] == "boots" else (None, None)


def of_both_kinds(content, bundles):
    return [Start(content, bundle, kind) for bundle in bundles for kind in ((), ROLLBACK)]


def ordinary(workshop, _):
    slots = workshop.flash("slots", otadata(entry(1, VALID), ERASED), (SLOT_0, OLD_APP))
    other = workshop.flash("slots", otadata(entry(1), entry(2)), (SLOT_0, OTHER_APP), (SLOT_1, OLD_APP))
    factory = workshop.flash("factory", ERASED, (FACTORY, OLD_APP))
    return (of_both_kinds(slots, (workshop.to_slot(1), workshop.to_slot(0))) +
            of_both_kinds(other, (workshop.to_slot(1), workshop.to_slot(0))) +
            of_both_kinds(factory, (workshop.to_slot(0), workshop.to_factory())))


def each_entry(second_app, pairs):
    """An app in the first slot; what is in the second one decides where the bootloader ends."""
    def make(workshop, full):
        starts = []
        chosen = itertools.product(entries(), entries()) if full else pairs()
        for index, (first, second) in enumerate(chosen):
            content = workshop.flash("slots", otadata(first, second), (SLOT_0, OLD_APP), (SLOT_1, second_app))
            bundles = (workshop.to_slot(1), workshop.to_slot(0)) if full else (workshop.to_slot(1 - index % 2),)
            starts += of_both_kinds(content, bundles)
        return starts
    return make


def odd_pairs():
    """Each one in both sectors, beside nothing and beside an ordinary one."""
    return [pair for odd in odd_entries() for pair in
            ((odd, ERASED), (ERASED, odd), (odd, entry(1, VALID)), (entry(2, VALID), odd))]


def state_pairs():
    """Each state of an entry that selects the second slot, and of one that selects the first, in both sectors."""
    return [pair for state in STATES for pair in
            ((entry(2, state), ERASED), (ERASED, entry(2, state)), (entry(1, VALID), entry(2, state)),
             (entry(1, state), entry(2, VALID)), (entry(1, state), ERASED), (entry(3, VALID), entry(2, state)),
             (entry(2, state), entry(2, VALID)))]


def blank(workshop, _):
    """As a web installer leaves it: the bootloader writes the first entry."""
    content = workshop.flash("slots", ERASED, (SLOT_0, OLD_APP))
    return of_both_kinds(content, (workshop.to_slot(1), workshop.to_slot(0)))


def gap(workshop, _):
    """ota_0 and ota_2: the second of two counted slots is not there."""
    return [start for ota in (otadata(entry(1), ERASED), otadata(entry(2), ERASED), ERASED) for start in
            of_both_kinds(workshop.flash("gap", ota, (SLOT_0, OLD_APP)), (workshop.to_slot(1),))]


def factory_only(workshop, _):
    content = workshop.flash("single", ERASED, (FACTORY, OLD_APP))
    return [Start(content, workshop.to_single())]


def factory_blank(workshop, _):
    starts = []
    for layout in ("factory", "safeboot"):
        for second in (NO_APP, BROKEN_APP, OTHER_APP):
            content = workshop.flash(layout, ERASED, (FACTORY, OLD_APP), (SLOT_0, second))
            starts += of_both_kinds(content, (workshop.to_slot(0), workshop.to_factory()))
    return starts


def factory_invalid(workshop, _):
    """Entries that do not count, and such that select a slot without an app."""
    starts = []
    selected = (*(entry(1, state) for state in STATES), *odd_entries())
    for layout, (index, first) in itertools.product(("factory", "safeboot"), enumerate(selected)):
        ota = otadata(first, ERASED) if index % 2 else otadata(ERASED, first)
        content = workshop.flash(layout, ota, (FACTORY, OLD_APP), (SLOT_0, BROKEN_APP))
        starts += of_both_kinds(content, (workshop.to_slot(0), workshop.to_factory()))
    return starts


def new_app_waits(workshop, _):
    """An update was installed and selected; the app that runs has not restarted yet. Before it is selected again, a cut starts the other one, which would be relocated from the second slot: hence the first."""
    starts = []
    for state in (NEW, UNDEFINED):
        content = workshop.flash("slots", otadata(entry(1, VALID), entry(2, state)), (SLOT_0, OLD_APP),
                                 (SLOT_1, OTHER_APP))
        starts += [Start(content, workshop.to_slot(0), ("--running", hex(SLOT_0), *kind)) for kind in ((), ROLLBACK)]
    return starts


def test_app_last(workshop, _):
    """No other app is there, so that no pin is needed."""
    return of_both_kinds(workshop.flash("test only", ERASED, (TEST, OLD_APP)), (workshop.to_single(),))


def pending(workshop, _):
    content = workshop.flash("slots", otadata(entry(1, VALID), entry(2, NEW)), (SLOT_0, OTHER_APP), (SLOT_1, OLD_APP))
    waits = workshop.flash("slots", otadata(entry(1, PENDING), ERASED), (SLOT_0, OLD_APP))
    return [Start(content, workshop.to_slot(0), ROLLBACK), Start(waits, workshop.to_slot(1))]


def test_app_by_pin(workshop, _):
    """The bootloader would start the first slot if nobody held a pin."""
    content = workshop.flash("test", otadata(entry(1, VALID), ERASED), (SLOT_0, OTHER_APP), (TEST, OLD_APP))
    blank_ota = workshop.flash("test", ERASED, (SLOT_0, OTHER_APP), (TEST, OLD_APP))
    return [Start(flash, workshop.to_slot(number), ("--running", hex(TEST)))
            for flash in (content, blank_ota) for number in (0, 1)]


MARK = b"SRSTAGE"
YESTERDAY = flash_dumps.tiny_app("1.5")


def left_by(workshop, content, bundle, full, *options):
    """What cuts while a bundle is applied leave of a device that goes on with the old app. Most come near the end."""
    answer = json.loads(workshop.run("simulate", *workshop.migration(Start(content, bundle, options))).stdout)
    count = answer["erases"] + answer["programs"]
    cuts = [f"{number}:{seed}" for number in range(count) for seed in range(3)] if full else \
        [f"{count * number // 24}:{number % 3}" for number in range(24)]
    left = {workshop.cut(content, bundle, cut, *options) for cut in cuts}
    return sorted(flash for flash in left if workshop.boots(flash)[1] == "tiny 1.0")


def old_system(workshop):
    return workshop.flash("slots", otadata(entry(1, VALID), ERASED), (SLOT_0, OLD_APP))


def yesterday(workshop, full, change=lambda content: content):
    """A bundle that was cut, and is replaced by another one."""
    left = left_by(workshop, old_system(workshop), workshop.to_slot(1, YESTERDAY), full)
    return [Start(change(content), workshop.to_slot(1 - index % 2)) for index, content in enumerate(left)]


def moving(workshop, full):
    """The same while the app is relocated, and after that."""
    left = left_by(workshop, old_system(workshop), workshop.to_slot(0, YESTERDAY), full)
    return [Start(content, workshop.to_slot(index % 2)) for index, content in enumerate(left)]


def of_another_app(workshop, full):
    """The app was replaced since, by cable or by an update."""
    updated = flash_dumps.tiny_app("1.0.1")

    def change(content):
        return content.replace(OLD_APP, updated)
    return yesterday(workshop, full, change)


def of_another_version(workshop, full):
    """The marks have a version that today's component does not support."""
    def change(content):
        content = bytearray(content)
        at = content.find(MARK)
        while at >= 0:
            content[at + 8:at + 12] = struct.pack("<I", 1)
            at = content.find(MARK, at + 1)
        return bytes(content)
    return yesterday(workshop, full, change)


def marks_alone(workshop, _):
    """A mark that claims a lot, a little, or nothing that makes sense, where a record could be."""
    left = left_by(workshop, old_system(workshop), workshop.to_slot(1, YESTERDAY), False)
    mark = next(flash[flash.find(MARK):][:20] for flash in left if MARK in flash)
    starts = []
    for sectors, place in itertools.product((0, 3, 200, 0xFFFFFFFF), (0x30000, 0xC0000, FLASH_SIZE - SECTOR)):
        claim = mark[:12] + struct.pack("<II", sectors, ~sectors & 0xFFFFFFFF)
        for cut in (len(claim), 10, 18):
            content = bytearray(old_system(workshop))
            content[place:place + cut] = claim[:cut]
            starts.append(Start(bytes(content), workshop.to_slot(len(starts) % 2)))
    return starts


def temporary_table(workshop, full):
    """One app, which was being moved to free flash."""
    content = workshop.flash("single", ERASED, (FACTORY, OLD_APP))
    rows = (DATA[0], DATA[2], (b"factory", 0, 0, FACTORY, 0x10000))
    allowed = ("--allow-temporary-table",)
    bundle = workshop.bundle("in place", FACTORY, rows, ERASED, YESTERDAY)
    today = workshop.bundle("in place today", FACTORY, rows, ERASED)
    return [Start(flash, today, allowed) for flash in left_by(workshop, content, bundle, full, *allowed)]


ROWS = (
    Row("ordinary: otadata selects the app that runs; factory with blank otadata", ordinary),
    Row("otadata: torn, wrong CRC, sequence 0, erased or at its end; the second slot has no app",
        each_entry(NO_APP, odd_pairs)),
    Row("the same, the second slot has another app", each_entry(OTHER_APP, odd_pairs)),
    Row("otadata: each state in each sector; the second slot's app is broken: fallback",
        each_entry(BROKEN_APP, state_pairs)),
    Row("the same, the second slot has another app", each_entry(OTHER_APP, state_pairs)),
    Row("otadata selects a slot that the table leaves out", gap),
    Row("blank otadata, from a web installer", blank),
    Row("factory alone, without otadata", factory_only),
    Row("factory with blank otadata, beside empty, broken and other slots", factory_blank),
    Row("factory, because otadata is invalid or its slot is broken", factory_invalid),
    Row("another app was installed and selected, and has not been started yet", new_app_waits),
    Row("test app, because there is no other", test_app_last),
    Row("test app, by a pin", test_app_by_pin, refused="running_app"),
    Row("rollback pending: the app is on probation", pending, refused="rollback"),
    Row("left-overs of another bundle, power lost anywhere", yesterday),
    Row("the same, of another app", of_another_app),
    Row("the same, of another version of this component", of_another_version),
    Row("left-overs of another bundle, power lost while the app moved", moving),
    Row("a mark alone, or half of it", marks_alone),
    Row("left-overs of a temporary table", temporary_table, writes_table=1),
)


# Milliseconds, with the times of the flash chip that is modelled by default: three sectors of the boot path; and one
# more for a table that is written twice.
ORDINARY_WINDOW = 147
TABLE_WINDOW = 45.4


@dataclasses.dataclass
class Outcome:
    """Of one start."""
    states: int = 0
    window: float = 0
    at_most: float = 0
    problems: tuple = ()


def check_refusal(workshop, start, refusal):
    answer = json.loads(workshop.run("simulate", *workshop.migration(start)).stdout)
    if answer["plan"]["refusal"] != refusal or answer["erases"] + answer["programs"] != 0:
        return Outcome(problems=(f"{answer['plan']['refusal']} instead of {refusal}, {answer['erases']} erases",))
    return Outcome()


def explore(workshop, start, options, limit):
    result = workshop.run("explore", "--jobs", 1, *options, *workshop.migration(start))
    if not result.stdout:
        # an app that has not been confirmed is one of the states, and is not to be updated
        return check_refusal(workshop, start, "rollback")
    answer = json.loads(result.stdout)
    window = answer["window_ms"]
    problems = [f"--cut {failure['argument']}: {failure['reason']}" for failure in answer["failures"]]
    if window["typical"] > limit:
        problems.append(f"a window of {window['typical']} ms, ordinarily {limit} ms")
    return Outcome(answer["states"] + answer["nested_power_losses"], window["typical"], window["maximum"], tuple(problems))


def look(workshop, row, start, options):
    limit = ORDINARY_WINDOW + row.writes_table * TABLE_WINDOW
    return check_refusal(workshop, start, row.refused) if row.refused else explore(workshop, start, options, limit)
