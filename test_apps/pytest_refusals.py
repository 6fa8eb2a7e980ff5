# SPDX-License-Identifier: Apache-2.0
"""What a chip that protects its flash refuses: before anything is erased, and for the reason that the simulated one gives."""
import pytest

import flashes
import protection

ENCRYPTED = pytest.mark.parametrize("kind", [kind for kind in protection.KINDS if "encrypted" in kind], indirect=True)
SIGNED = pytest.mark.parametrize("kind", [kind for kind in protection.KINDS if "signed" in kind], indirect=True)
REFUSED = "ESP_ERR_SELF_REFLASHER_REFUSED"


def check(chip, maker, flash, bundle, reason, *options, slot=1):
    """The bundle lies in this flash, and the old app runs from this slot."""
    chip.start(flash)
    chip.expect_start("old", maker.old.slot(slot))
    told = chip.expect(r"test: refused: ([^\r\n]+)\r")[1].decode()
    chip.expect_result(REFUSED)
    assert reason in told
    assert told in " ".join(maker.program.refusal(flash, bundle, *options).split())
    assert flashes.different_sectors(chip.flash(), flash) == []


def check_images(chip, maker, bootloader, app, reason):
    """Of these two and the rest of the new system."""
    new = maker.new
    rest = [part for part in new.images() if part[0] not in (new.bootloader_at, new.slot(0))]
    moves = ("--move", "nvs") if maker.protection.encrypted else ()  # as in migrations.Maker
    bundle = maker.program.pack_files("refused.srb", new.table, (new.bootloader_at, bootloader), *rest, (new.slot(0), app),
                                      options=moves)
    check(chip, maker, maker.embedded(bundle, {}, second_slot=True), bundle, reason)


@SIGNED
@pytest.mark.parametrize("key, reason", (("foreign", "not in the eFuses"), ("none", "signature")))
@pytest.mark.parametrize("which", ("bootloader", "app"))
def test_images_that_the_chip_would_not_start(chip, maker, protected, new, which, key, reason):
    sign = protected.foreign_key.sign if key == "foreign" else lambda image: image
    images = {"bootloader": new.bootloader, "app": new.app, which: sign(new.unsigned(which))}
    check_images(chip, maker, images["bootloader"], images["app"], reason)


@ENCRYPTED
def test_a_table_at_another_offset(chip, maker, new, program):
    parts = [(0xA000 if offset == new.table else offset, content) for offset, content in new.images()]
    bundle = program.pack_files("table.srb", 0xA000, *parts)
    check(chip, maker, maker.embedded(bundle, {}, second_slot=True), bundle, "table")


@ENCRYPTED
def test_data_that_stays_and_would_be_decrypted_in_another_way(chip, maker, new, old, program):
    bundle = program.pack_files("stays.srb", new.table, *new.images())
    settings = (old.at("nvs") + flashes.SECTOR * 2, flashes.flash_dumps.in_use(1)[:flashes.SECTOR])
    check(chip, maker, maker.embedded(bundle, {}, settings, second_slot=True), bundle, "encrypt")


@ENCRYPTED
def test_a_single_app_in_place_or_by_a_temporary_table(chip, maker):
    migration = maker.by_a_temporary_table()
    flash = maker.embedded(migration.bundle, {"temporary_table": 1, "in_place": 1}, single_app=True)
    check(chip, maker, flash, migration.bundle, "not with flash encryption", "--allow-in-place", *migration.options, slot=0)


def refuse_image(chip, old, image, destination, error):
    """@return the flash before, which is the one after it, too, and where in it the image lies"""
    source = f"{flashes.CARGO:#x}+{len(image):#x}"
    flash = flashes.old_system(old, flashes.job("copy", source=source, destination=destination), (flashes.CARGO, image),
                               second_slot=True)
    chip.start(flash)
    chip.expect_result(error)
    assert flashes.different_sectors(chip.flash(), flash) == []
    return flash, source


@ENCRYPTED
def test_an_image_that_changes_the_table(chip, program, old, new):
    destination = "0x0+0xf0000"
    flash, source = refuse_image(chip, old, new.merged(), destination, "ESP_ERR_NOT_SUPPORTED")
    program.run("simulate", "-f", program.write("before.bin", flash), *program.protection.options, destination, f"flash:{source}",
                status=1)


@SIGNED
def test_a_bootloader_by_a_foreign_key_as_an_image(chip, protected, old):
    image = protected.foreign_key.sign(old.unsigned("bootloader"))
    refuse_image(chip, old, image, f"0x0+{old.table:#x}", "ESP_ERR_SELF_REFLASHER_NOT_SIGNED")
