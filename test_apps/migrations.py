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
    options: tuple = ()  # of `simulate`
    new_bootloader: bytes = b""  # which looks for the table at another place; empty: it stays
    name: str = "new"  # of the app at the end
    otadata: int = flashes.NEW_OTADATA  # of the system at the end

    def table_of(self, flash):
        """Where the bootloader in this flash looks for the table."""
        has_new = self.new_bootloader and flash.startswith(self.new_bootloader)
        return flashes.NEW_TABLE if has_new else flashes.TABLE

    def is_done(self, after, program):
        """Whether the flash holds what the bundle says, after the first start of the new system."""
        expected = flashes.after_first_start(program.extract(after, self.bundle), self.otadata)
        return flashes.different_sectors(after, expected) == []


class Maker:
    """Makes them, of two builds."""

    def __init__(self, program, old, new):
        self.program, self.old, self.new_bootloader = program, old, dict(flashes.images(new))[0]
        self.bundle = program.pack(new, "system.srb")
        self.moving = program.pack(new, "moving.srb", "--move", "nvs")
        # Bootloader and code of the app stay: both find the table at its place only.
        self.same_place = program.pack_files(
            "same_place.srb", (0, dict(flashes.images(old))[0]),
            (flashes.TABLE, flashes.flash_dumps.table(flashes.MOVED_APP_TABLE)),
            (flashes.OTADATA, b"\xff" * 2 * flashes.SECTOR), (flashes.NEW_APP, flashes.app_of(old)))

    def embedded(self, bundle, job, *more, **where):
        """The bundle lies in free flash."""
        content = bundle.read_bytes()
        source = f"{flashes.CARGO:#x}+{len(content):#x}"
        what_to_do = flashes.job("bundle", public_key=self.program.public_key, source=source, **job)
        return flashes.old_system(self.old, what_to_do, (flashes.CARGO, content), *more, **where)

    def to_new(self, flash, *options):
        return Migration(flash, self.bundle, options, self.new_bootloader)

    def from_the_second_slot(self):
        return self.to_new(self.embedded(self.bundle, {}, second_slot=True))

    def in_the_way(self):
        return self.to_new(self.embedded(self.bundle, {}))

    def that_hangs(self, how):
        """Once, in the event callback, until a watchdog bites."""
        return self.to_new(self.embedded(self.bundle, {"hangs": how}, second_slot=True))

    def with_moved_nvs(self):
        settings = b"".join(flashes.flash_dumps.in_use(seed)[:flashes.SECTOR] for seed in range(4))
        return dataclasses.replace(self.to_new(self.embedded(self.moving, {}, (flashes.NVS[3], settings))), bundle=self.moving)

    def by_a_temporary_table(self):
        return Migration(self.embedded(self.same_place, {"temporary_table": 1}, single_app=True), self.same_place,
                         ("--allow-temporary-table",), name="old", otadata=flashes.OTADATA)

    def in_place(self):
        return self.to_new(self.embedded(self.bundle, {"in_place": 1}, single_app=True), "--allow-in-place")

    def by_http(self, server, path="system.srb", **where):
        (server.served / "system.srb").write_bytes(self.bundle.read_bytes())
        tls = {"certificate": server.ca.read_text(), "common_name": "127.0.0.1"} if server.ca else {}
        what_to_do = flashes.job("bundle", public_key=self.program.public_key, url=chips.url_at(server, path), **tls)
        return self.to_new(flashes.old_system(self.old, what_to_do, **where))
