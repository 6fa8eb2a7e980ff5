# SPDX-License-Identifier: Apache-2.0
"""Migrations on ESP-IDF itself, each from an old system to its end, and what the flash holds then."""
import pytest

import chips
import flashes

OF_ESP_IDF = {"http": 12 << 10, "https": 60 << 10}  # bytes of heap for client, TCP and TLS


def expect_end(chip, migration):
    """The new system starts, and finds nothing left to do."""
    chip.expect_start(migration.name, flashes.NEW_APP)
    chip.expect("test: plan to write 0,")
    chip.expect_result()


def check(chip, program, migration, *places, meanwhile=lambda: None):
    """The migration comes to its end, and leaves the flash that simulator and bundle say.
    @param places Where the old app runs, one after the other; None: somewhere in free flash.
    @param meanwhile What happens as soon as it runs at the last of these."""
    chip.start(migration.flash)
    for place in places:
        chip.expect_start("old", place)
    meanwhile()
    expect_end(chip, migration)
    after = chip.flash()
    simulated = program.simulate_bundle(migration.flash, migration.bundle, *migration.options)
    assert flashes.different_sectors(after, flashes.after_first_start(simulated, migration.otadata)) == []
    assert migration.is_done(after, program)


def test_bundle_in_flash_from_the_second_slot(chip, program, maker):
    check(chip, program, maker.from_the_second_slot(), flashes.SLOT_1)


def test_bundle_in_flash_with_the_app_in_the_way(chip, program, maker):
    check(chip, program, maker.in_the_way(), flashes.SLOT_0, flashes.SLOT_1)


def test_moved_nvs(chip, program, maker):
    check(chip, program, maker.with_moved_nvs(), flashes.SLOT_0, flashes.SLOT_1)
    flash = chip.flash()
    moved = slice(flashes.NEW_NVS, flashes.NEW_NVS + flashes.NVS[4])
    assert flash[moved] == maker.with_moved_nvs().flash[flashes.NVS[3]:][:flashes.NVS[4]]


def test_single_app_by_a_temporary_table(chip, program, maker):
    check(chip, program, maker.by_a_temporary_table(), flashes.SLOT_0, None)


def test_single_app_in_place(chip, program, maker):
    check(chip, program, maker.in_place(), flashes.SLOT_0)


@pytest.mark.emulator
def test_bundle_by_http_with_the_app_in_the_way(chip, program, maker, server):
    check(chip, program, maker.by_http(server), flashes.SLOT_0, flashes.SLOT_1)


@pytest.mark.emulator
@pytest.mark.parametrize("path", ("system.srb", "norange/system.srb", "redirect?to=/system.srb", "flaky/system.srb?fail=3",
                                  "busy/system.srb?every=3"))
def test_bundle_by_http(chip, program, maker, server, path):
    """From servers as they are: test/program/http_server.py says what is wrong with each."""
    check(chip, program, maker.by_http(server, path, second_slot=True), flashes.SLOT_1)


@pytest.mark.emulator
def test_bundle_by_http_from_a_server_that_starts_later(chip, program, maker, server):
    migration = maker.by_http(server, second_slot=True)
    server.stop()

    def comes():
        chip.expect("trying again")
        server.start()
    check(chip, program, migration, flashes.SLOT_1, meanwhile=comes)


@pytest.mark.emulator
def test_bundle_by_http_from_a_server_that_is_gone_for_a_while(chip, program, maker, server):
    """A slow one: of another the whole bundle would be on its way already."""
    migration = maker.by_http(server, "slow/system.srb?ms=20", second_slot=True)

    def goes_and_comes_back():
        chip.expect("test: check 0/")
        server.stop()
        chip.expect("trying again")  # the chip does not wait for ever, and its clock may run faster than this machine's
        server.start()
    check(chip, program, migration, flashes.SLOT_1, meanwhile=goes_and_comes_back)


@pytest.mark.parametrize("how, watchdog", (("with interrupts", "Task watchdog got triggered"),
                                           ("without interrupts", "Interrupt wdt timeout")))
def test_watchdog(chip, program, maker, how, watchdog):
    """The callback of the app hangs in the middle of a migration. After the reset it goes on from there."""
    migration = maker.that_hangs(how)
    chip.start(migration.flash)
    chip.expect_start("old", flashes.SLOT_1)
    chip.expect("test: hangs")
    chip.expect(watchdog)
    chip.expect_start("old", flashes.SLOT_1)
    expect_end(chip, migration)
    assert migration.is_done(chip.flash(), program)


@pytest.mark.parametrize("slot, sequence", ((flashes.SLOT_1, 2), (flashes.SLOT_0, 3)))
def test_upload_of_a_courier(chip, program, maker, old, courier, slot, sequence):
    """examples/courier, which the old system's update page has put into its free slot. In the first slot it is in the way.
    It confirms itself in any case, the simulation only where the bootloader waits for that."""
    before = flashes.old_system(old, flashes.job("nothing"), second_slot=slot == flashes.SLOT_0)
    upload = program.courier(courier, maker.bundle, before)
    chip.start(flashes.flash_dumps.uploaded(before, upload.read_bytes(), slot, sequence, at=flashes.OTADATA))
    if slot == flashes.SLOT_0:
        chip.expect(f"moving the running app from {slot:#x}")
    chip.expect("courier: done")
    chip.expect_start("new", flashes.NEW_APP)
    chip.expect_result()
    after = chip.flash()
    simulated = program.simulate(before, "--upload", upload)
    expected = flashes.confirmed(simulated, flashes.OTADATA + (sequence - 2) * flashes.SECTOR)
    assert flashes.different_sectors(after, flashes.after_first_start(expected)) == []


def test_image_in_flash_with_the_app_in_the_way(chip, program, old, new):
    """The original's way: bootloader, table and app as one image."""
    image, destination = flashes.merged(new), "0x0+0xc0000"
    source = f"{flashes.CARGO:#x}+{len(image):#x}"
    flash = flashes.old_system(old, flashes.job("copy", source=source, destination=destination), (flashes.CARGO, image))
    chip.start(flash)
    chip.expect_start("old", flashes.SLOT_0)
    chip.expect_start("old", flashes.SLOT_1)
    chip.expect_result()
    after = chip.flash()
    expected = program.simulate(flash, destination, f"flash:{source}", "--new-partition-table", hex(flashes.NEW_TABLE))
    assert flashes.different_sectors(after, expected) == []
    chip.start(after)
    chip.expect_start("new", flashes.NEW_APP)


@pytest.mark.emulator
def test_image_by_http(chip, program, old, server):
    """A bootloader, which writes its own name into the log."""
    image, destination = program.write("bootloader.bin", flashes.marked_bootloader(old)), "0x0+0x8000"
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
    chip.expect_start("old", flashes.SLOT_0)
    chip.expect_result()


@pytest.mark.emulator
@pytest.mark.parametrize("path", ("system.srb", "redirect?to=/system.srb"))
def test_bundle_by_https(chip, program, maker, tls_server, path):
    check(chip, program, maker.by_http(tls_server, path, second_slot=True), flashes.SLOT_1)


@pytest.mark.emulator
@pytest.mark.parametrize("scheme", ("http", "https"))
def test_figures_are_those_of_the_documents(request, chip, maker, scheme):
    """Stack and heap that docs/integration.md says to suffice; what ESP-IDF takes for connections comes on top."""
    server = request.getfixturevalue({"http": "server", "https": "tls_server"}[scheme])
    chip.start(maker.by_http(server, second_slot=True).flash)
    chip.expect_start("old", flashes.SLOT_1)
    figures = chip.figures()
    print(f"\n{scheme}: {figures}", flush=True)
    assert figures["stack"] <= 4096
    assert figures["heap before"] - figures["heap least"] <= (48 << 10) + OF_ESP_IDF[scheme]
