# SPDX-License-Identifier: Apache-2.0
"""Migrations by bundle, for the tests that run them to their end, and for those that cut the power."""
import dataclasses
import pathlib

import chips
import flashes


@dataclasses.dataclass
class Migration:
    flash: bytes
    bundle: pathlib.Path
    old: flashes.Build
    new: flashes.Build
    app: int  # where the app is at the end
    otadata: int  # of the system at the end
    name: str = "new"  # of the app at the end
    options: tuple = ()  # of `simulate`
    secrets: tuple = ()  # images that must not be read in a flash that is encrypted

    def table_of(self, flash):
        """Where the bootloader in this flash looks for the table."""
        if self.old.table == self.new.table:
            return self.old.table
        has_new = flash[self.new.bootloader_at:].startswith(self.new.bootloader)
        return self.new.table if has_new else self.old.table

    def is_in_the_clear(self, flash):
        """Whether some of the new images is in this flash as it is, aside from the bundle."""
        searched = flash.replace(self.bundle.read_bytes(), b"")
        rows = (image[at:at + 32] for image in self.secrets for at in range(0, len(image) - 32, flashes.SECTOR // 4))
        return any(len(set(row)) > 16 and row in searched for row in rows)

    def is_done(self, after, program):
        """Whether the flash holds what the bundle says, after the first start of the new system."""
        expected = flashes.after_first_start(program.extract(after, self.bundle), self.otadata, program.protection)
        return flashes.different_sectors(after, expected) == []


class Maker:
    """Makes them, of two builds."""

    def __init__(self, program, old, new):
        self.program, self.old, self.new, self.protection = program, old, new, program.protection
        # What an encrypted chip keeps must not be read in another way afterwards: there the NVS moves in any case.
        self.bundle = program.pack(new, "system.srb", *(("--move", "nvs") if self.protection.encrypted else ()))
        self.moving = program.pack(new, "moving.srb", "--move", "nvs")
        # Bootloader and code of the app stay: both find the table at its place only.
        self.same_place = program.pack_files(
            "same_place.srb", old.table, (old.bootloader_at, old.bootloader),
            (old.table, flashes.flash_dumps.table(old.moved_app_table(new.slot(0)))),
            (old.at("otadata"), b"\xff" * 2 * flashes.SECTOR), (new.slot(0), old.app))

    def embedded(self, bundle, job, *more, **where):
        """The bundle lies in free flash."""
        content = bundle.read_bytes()
        source = f"{flashes.CARGO:#x}+{len(content):#x}"
        what_to_do = flashes.job("bundle", public_key=self.program.public_key, source=source, **job)
        return flashes.old_system(self.old, what_to_do, (flashes.CARGO, content), *more, **where)

    def to_new(self, flash, *options):
        return Migration(flash, self.bundle, self.old, self.new, self.new.slot(0), self.new.at("otadata"), options=options,
                         secrets=(self.new.bootloader, self.new.app) if self.protection.encrypted else ())

    def from_the_second_slot(self):
        return self.to_new(self.embedded(self.bundle, {}, second_slot=True))

    def in_the_way(self):
        return self.to_new(self.embedded(self.bundle, {}))

    def that_hangs(self, how):
        """Once, in the event callback, until a watchdog bites."""
        return self.to_new(self.embedded(self.bundle, {"hangs": how}, second_slot=True))

    def with_moved_nvs(self):
        settings = b"".join(flashes.flash_dumps.in_use(seed)[:flashes.SECTOR] for seed in range(4))
        flash = self.embedded(self.moving, {}, (self.old.at("nvs"), settings))
        return dataclasses.replace(self.to_new(flash), bundle=self.moving)

    def by_a_temporary_table(self):
        return Migration(self.embedded(self.same_place, {"temporary_table": 1}, single_app=True), self.same_place,
                         self.old, self.old, self.new.slot(0), self.old.at("otadata"), name="old",
                         options=("--allow-temporary-table",))

    def in_place(self):
        return self.to_new(self.embedded(self.bundle, {"in_place": 1}, single_app=True), "--allow-in-place")

    def by_http(self, server, path="system.srb", **where):
        (server.served / "system.srb").write_bytes(self.bundle.read_bytes())
        tls = {"certificate": server.ca.read_text(), "common_name": "127.0.0.1"} if server.ca else {}
        what_to_do = flashes.job("bundle", public_key=self.program.public_key, url=chips.url_at(server, path), **tls)
        return self.to_new(flashes.old_system(self.old, what_to_do, **where))
