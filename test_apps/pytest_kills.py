# SPDX-License-Identifier: Apache-2.0
"""The power goes at some moment of a migration and comes back, perhaps more than once: the chip has to end as if it never went.
Only in the announced window may it be left without a boot, and the boot model has to say of each flash what the chip does."""
import random
import re
import time

import pytest

import protection

pytestmark = pytest.mark.emulator
# What mask ROM and bootloader print when they find nothing to start.
NO_BOOT = re.compile(rb"invalid header: 0x|No bootable app partitions|partition table error|ets_main.c")
LIMIT = 180  # seconds of a life: some ten times what it takes
MOMENTS = (b"test: app old", b"test: prepare", b"test: stage", b"test: commit 0/", b"test: app new")
AFTER_MOMENT = 0.1  # seconds, at most
NESTED = 0.25  # of the kills have another one in the next life
on_each_kind = pytest.mark.parametrize("kind", protection.KINDS, indirect=True)


class Kills:
    """Migrations with power losses, and what became of them."""

    def __init__(self, chip, program, migration, keep):
        self.chip, self.program, self.migration, self.keep = chip, program, migration, keep
        # The new app may have to finish something, and to start again.
        end = f"test: app {migration.name} at {migration.app:#x}.*test: plan to write 0,.*test: result ESP_OK"
        self.end = re.compile(end.encode(), re.DOTALL)
        self.finished = self.in_window = self.lives = self.number = 0
        self.wrong = []

    def live(self, until, seconds=LIMIT, then=0.0):
        """From power-on until the output has something, or so many seconds, and a little longer.
        @return that, and all that was printed."""
        begin = len(self.chip.output())
        self.lives += 1
        self.chip.power_on()
        found = self.chip.run(seconds, lambda output: until(output[begin:]))
        self.chip.run(then)
        self.chip.lose_power()
        if self.migration.is_in_the_clear(self.chip.flash()):
            self.wrong.append(f"{self.number}: what is staged is not encrypted")
        return found, self.chip.output()[begin:]

    def undisturbed(self):
        """@return seconds that it takes."""
        self.chip.put(self.migration.flash)
        begin = time.monotonic()
        found, output = self.live(self.end.search)
        assert found, output
        assert self.migration.is_done(self.chip.flash(), self.program)
        return time.monotonic() - begin

    def kill(self, number, seconds):
        self.number, chance = number, random.Random(number)
        self.chip.put(self.migration.flash)
        lost = []
        for _ in range(2 if chance.random() < NESTED else 1):
            if chance.random() < 0.5:
                lost.append(self.live(lambda output: None, chance.random() * seconds)[1])
            else:
                moment = chance.choice(MOMENTS)
                lost.append(self.live(lambda output: moment in output or None, seconds, chance.random() * AFTER_MOMENT)[1])
        at_loss = self.chip.flash()
        ended, output = self.live(lambda output: self.end.search(output) or NO_BOOT.search(output))
        boots = ended is not None and NO_BOOT.search(output) is None
        if boots != self.program.boots(at_loss, self.migration.table_of(at_loss)):
            self.wrong.append(f"{number}: the boot model says otherwise")
            self.save(number, at_loss, [*lost, output])
        if boots and self.migration.is_done(self.chip.flash(), self.program):
            self.finished += 1
            return
        self.save(number, at_loss, [*lost, output])
        if not boots and any(window_is_open(life) for life in lost):
            self.in_window += 1
        else:
            self.wrong.append(f"{number}: {'boots, but is not done' if boots else 'does not boot'}")

    def save(self, number, flash, outputs):
        self.keep.mkdir(parents=True, exist_ok=True)
        name = f"{self.chip.image.parent.name}-{number}"
        (self.keep / f"{name}.bin").write_bytes(flash)
        (self.keep / f"{name}.log").write_bytes(b"\n--- power loss\n".join(outputs))


def window_is_open(output):
    """Whether a power loss was announced to be fatal when the power went, as far as the app could tell."""
    told = re.findall(rb"test: commit 0/|test: commit|test: app|self_reflasher: finishing|self_reflasher: overwriting", output)
    return bool(told) and told[-1] in (b"test: commit 0/", b"self_reflasher: finishing", b"self_reflasher: overwriting")


@pytest.fixture
def check(request, chip, program):
    """Cuts the power in a migration as often as the command line says."""
    def check_migration(migration):
        kills = Kills(chip, program, migration, request.config.option.keep)
        seconds = kills.undisturbed()
        first, count = request.config.option.seed, request.config.option.kills
        for number in range(first, first + count):
            kills.kill(number, seconds)
            print(end=".", flush=True)
        print(f"\n{request.node.name}: {count} kills, finished {kills.finished}, in the window {kills.in_window}, wrong "
              f"{len(kills.wrong)}; {kills.lives} lives, {seconds:.1f} s undisturbed", flush=True)
        assert kills.wrong == []
    return check_migration


@on_each_kind
def test_kills_from_the_second_slot(check, maker):
    check(maker.from_the_second_slot())


@on_each_kind
def test_kills_with_the_app_in_the_way(check, maker):
    check(maker.in_the_way())


@on_each_kind
def test_kills_by_http(check, maker, server):
    check(maker.by_http(server))


def test_kills_by_a_temporary_table(check, maker):
    check(maker.by_a_temporary_table())


def test_kills_in_place(check, maker):
    check(maker.in_place())
