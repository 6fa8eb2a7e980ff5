# SPDX-License-Identifier: Apache-2.0
"""Migrations on ESP-IDF itself, each from an old system to its end, and what the flash holds then."""
import pytest

import chips
import flashes
import protection

OF_ESP_IDF = {"http": 12 << 10, "https": 60 << 10}  # bytes of heap for client, TCP and TLS
on_each_kind = pytest.mark.parametrize("kind", protection.KINDS, indirect=True)


def expect_end(chip, migration):
    """The new system starts, and finds nothing left to do."""
    chip.expect_start(migration.name, migration.app)
    chip.expect("test: plan to write 0,")
    chip.expect_result()


def check(chip, maker, migration, *slots, meanwhile=lambda: None):
    """The migration comes to its end, and leaves the flash that simulator and bundle say.
    @param slots Where the old app runs, one after the other; None: somewhere in free flash.
    @param meanwhile What happens as soon as it runs at the last of these."""
    chip.start(migration.flash)
    for slot in slots:
        chip.expect_start("old", None if slot is None else maker.old.slot(slot))
    meanwhile()
    expect_end(chip, migration)
    after = chip.flash()
    simulated = maker.program.simulate_bundle(migration.flash, migration.bundle, *migration.options)
    expected = flashes.after_first_start(simulated, migration.otadata, maker.protection)
    assert flashes.different_sectors(after, expected) == []
    assert migration.is_done(after, maker.program)


@on_each_kind
def test_bundle_in_flash_from_the_second_slot(chip, maker):
    check(chip, maker, maker.from_the_second_slot(), 1)


@on_each_kind
def test_bundle_in_flash_with_the_app_in_the_way(chip, maker):
    check(chip, maker, maker.in_the_way(), 0, 1)


@on_each_kind
def test_moved_nvs(chip, maker):
    check(chip, maker, maker.with_moved_nvs(), 0, 1)
    flash = chip.flash()
    old, new = maker.old.at("nvs"), maker.new.at("nvs")
    assert flash[new:new + 0x4000] == maker.with_moved_nvs().flash[old:old + 0x4000]


@pytest.mark.emulator
@pytest.mark.parametrize("kind", (protection.FIRST_START,), indirect=True)
def test_chip_that_its_bootloader_has_encrypted(chip, maker, old):
    """A plain chip with images for an encrypted one: the whole of a slot is encrypted then, and empty ones are not."""
    chip.start(flashes.old_system(old, flashes.job("nothing")))
    chip.expect("Flash encryption completed")
    chip.expect_start("old", old.slot(0))
    migration = maker.in_the_way()
    flash = chip.flash()[:flashes.CARGO] + migration.flash[flashes.CARGO:]
    chip.start(flash)
    for slot in 0, 1:
        chip.expect_start("old", old.slot(slot))
    expect_end(chip, migration)
    after = chip.flash()
    simulated = maker.program.simulate_bundle(flash, migration.bundle)
    # The first start has written there. To say what, espsecure will not encrypt with the key that such a chip has here.
    assert flashes.different_sectors(after, simulated) == [hex(migration.otadata)]
    assert maker.program.boots(after, maker.new.table)


def test_single_app_by_a_temporary_table(chip, maker):
    check(chip, maker, maker.by_a_temporary_table(), 0, None)


def test_single_app_in_place(chip, maker):
    check(chip, maker, maker.in_place(), 0)


@pytest.mark.emulator
@on_each_kind
def test_bundle_by_http_with_the_app_in_the_way(chip, maker, server):
    check(chip, maker, maker.by_http(server), 0, 1)


@pytest.mark.emulator
@pytest.mark.parametrize("path", ("system.srb", "norange/system.srb", "redirect?to=/system.srb", "flaky/system.srb?fail=3",
                                  "busy/system.srb?every=3"))
def test_bundle_by_http(chip, maker, server, path):
    """From servers as they are: test/program/http_server.py says what is wrong with each."""
    check(chip, maker, maker.by_http(server, path, second_slot=True), 1)


@pytest.mark.emulator
def test_bundle_by_http_from_a_server_that_starts_later(chip, maker, server):
    migration = maker.by_http(server, second_slot=True)
    server.stop()

    def comes():
        chip.expect("trying again")
        server.start()
    check(chip, maker, migration, 1, meanwhile=comes)


@pytest.mark.emulator
def test_bundle_by_http_from_a_server_that_is_gone_for_a_while(chip, maker, server):
    """A slow one: of another the whole bundle would be on its way already."""
    migration = maker.by_http(server, "slow/system.srb?ms=20", second_slot=True)

    def goes_and_comes_back():
        chip.expect("test: check 0/")
        server.stop()
        chip.expect("trying again")  # the chip does not wait for ever, and its clock may run faster than this machine's
        server.start()
    check(chip, maker, migration, 1, meanwhile=goes_and_comes_back)


@pytest.mark.parametrize("how, watchdog", (("with interrupts", "Task watchdog got triggered"),
                                           ("without interrupts", "Interrupt wdt timeout")))
def test_watchdog(chip, maker, how, watchdog):
    """The callback of the app hangs in the middle of a migration. After the reset it goes on from there."""
    migration = maker.that_hangs(how)
    chip.start(migration.flash)
    chip.expect_start("old", maker.old.slot(1))
    chip.expect("test: hangs")
    chip.expect(watchdog)
    chip.expect_start("old", maker.old.slot(1))
    expect_end(chip, migration)
    assert migration.is_done(chip.flash(), maker.program)


@pytest.mark.parametrize("slot, sequence", ((1, 2), (0, 3)))
def test_upload_of_a_courier(chip, program, maker, old, courier, slot, sequence):
    """examples/courier, which the old system's update page has put into its free slot. In the first slot it is in the way."""
    before = flashes.old_system(old, flashes.job("nothing"), second_slot=slot == 0)
    upload = program.courier(courier, maker.bundle, before)
    chip.start(flashes.flash_dumps.uploaded(before, upload.read_bytes(), old.slot(slot), sequence, at=old.at("otadata")))
    if slot == 0:
        chip.expect(f"moving the running app from {old.slot(slot):#x}")
    chip.expect("courier: done")
    chip.expect_start("new", maker.new.slot(0))
    chip.expect_result()
    after = chip.flash()
    expected = program.simulate(before, "--upload", upload)
    assert flashes.different_sectors(after, flashes.after_first_start(expected, maker.new.at("otadata"), maker.protection)) == []


@on_each_kind
def test_image_in_flash_with_the_app_in_the_way(chip, program, protected, old, new):
    """The original's way: bootloader, table and app as one image. On an encrypted chip the table has to stay what it is."""
    end = old if protected.encrypted else new
    here = ((old.bootloader_at, old.marked_bootloader()), (old.slot(0), new.app)) if protected.encrypted else ()
    image, destination = end.merged(*here), "0x0+0xf0000"
    source = f"{flashes.CARGO:#x}+{len(image):#x}"
    flash = flashes.old_system(old, flashes.job("copy", source=source, destination=destination), (flashes.CARGO, image))
    chip.start(flash)
    chip.expect_start("old", old.slot(0))
    chip.expect_start("old", old.slot(1))
    chip.expect_result()
    after = chip.flash()
    expected = program.simulate(flash, destination, f"flash:{source}", "--new-partition-table", hex(end.table))
    assert flashes.different_sectors(after, expected) == []
    chip.start(after)
    chip.expect_start("new", end.slot(0))


@pytest.mark.emulator
@on_each_kind
def test_image_by_http(chip, program, old, server):
    """A bootloader, which writes its own name into the log."""
    image, destination = program.write("bootloader.bin", old.marked_bootloader()), f"0x0+{old.table:#x}"
    (server.served / "bootloader.bin").write_bytes(image.read_bytes())
    url = chips.url_at(server, "bootloader.bin")
    flash = flashes.old_system(old, flashes.job("download", url=url, destination=destination))
    chip.start(flash)
    chip.expect("2nd stage bootloader")
    chip.expect_result()
    after = chip.flash()
    assert flashes.different_sectors(after, program.simulate(flash, destination, image)) == []
    chip.start(after)
    chip.expect("2nd stage BOOTLOADER")
    chip.expect_start("old", old.slot(0))
    chip.expect_result()


@pytest.mark.emulator
@pytest.mark.parametrize("path", ("system.srb", "redirect?to=/system.srb"))
def test_bundle_by_https(chip, maker, tls_server, path):
    check(chip, maker, maker.by_http(tls_server, path, second_slot=True), 1)


@pytest.mark.emulator
@pytest.mark.parametrize("scheme", ("http", "https"))
def test_figures_are_those_of_the_documents(request, chip, maker, scheme):
    """Stack and heap that docs/integration.md says to suffice; what ESP-IDF takes for connections comes on top."""
    server = request.getfixturevalue({"http": "server", "https": "tls_server"}[scheme])
    chip.start(maker.by_http(server, second_slot=True).flash)
    chip.expect_start("old", maker.old.slot(1))
    figures = chip.figures()
    print(f"\n{scheme}: {figures}", flush=True)
    assert figures["stack"] <= 4096
    assert figures["heap before"] - figures["heap least"] <= (48 << 10) + OF_ESP_IDF[scheme]
