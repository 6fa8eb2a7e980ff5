# SPDX-License-Identifier: Apache-2.0
"""Dumps of chips that encrypt their flash, made with espsecure of small systems of dummy images, and eFuses from espefuse."""
import json
import pathlib
import struct

import espressif
import flash_dumps

FLASH_SIZE = 1 << 20  # all that these systems need: each dump is decrypted, and copied, very often
TABLE = 0x8000
OTADATA = 0xD000
SLOTS = (0x10000, 0x30000)
ROWS = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, OTADATA, 0x2000), (b"ota_0", 0, 0x10, SLOTS[0], 0x20000),
        (b"ota_1", 0, 0x11, SLOTS[1], 0x20000))

ENCRYPT = """
import io, json, os, sys
import espsecure
dump, key, out, xts, config, regions = sys.argv[1:]
plain, cells = open(dump, "rb").read(), bytearray(open(dump, "rb").read())
for start, size in json.loads(regions):
    for at in range(start, start + size, 0x1000):
        sector = plain[at:at + 0x1000]
        if sector != b"\\xff" * 0x1000:
            encrypted = io.BytesIO()
            encrypted.name = os.devnull
            data = io.BytesIO(sector)
            data.name = dump
            with open(key, "rb") as file:
                espsecure.encrypt_flash_data(file, encrypted, at, int(config, 16), xts == "xts", data)
            cells[at:at + 0x1000] = encrypted.getvalue()
open(out, "wb").write(cells)
"""

summaries = {}


class Chip:
    """What differs between chips, and how they encrypt."""

    def __init__(self, name, chip_id, rodata, code, bootloader, key, scheme, burn=(), config="f"):
        self.name, self.chip_id, self.rodata, self.code, self.bootloader = name, chip_id, rodata, code, bootloader
        self.key, self.scheme, self.burn, self.config = bytes((i * 29 + 7) % 256 for i in range(key)), scheme, burn, config


CHIPS = (
    Chip("esp32", 0, 0x3F400020, 0x40080000, 0x1000, 32, "AES-256",
         (("burn-key", "flash_encryption", "KEY", "burn-efuse", "FLASH_CRYPT_CNT", "1", "FLASH_CRYPT_CONFIG", "0xf"),)),
    Chip("esp32", 0, 0x3F400020, 0x40080000, 0x1000, 24, "AES-256",
         (("burn-efuse", "CODING_SCHEME", "1"),
          ("burn-key", "flash_encryption", "KEY", "burn-efuse", "FLASH_CRYPT_CNT", "1", "FLASH_CRYPT_CONFIG", "0xf"))),
    Chip("esp32c3", 5, 0x3C000020, 0x40380000, 0, 32, "XTS-AES-128",
         (("burn-key", "BLOCK_KEY0", "KEY", "XTS_AES_128_KEY", "burn-efuse", "SPI_BOOT_CRYPT_CNT", "1"),)),
    Chip("esp32c2", 12, 0x3C000020, 0x40380000, 0, 16, "XTS-AES-128",
         (("burn-key", "BLOCK_KEY0", "KEY", "XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS",
           "burn-efuse", "SPI_BOOT_CRYPT_CNT", "1"),)),
    Chip("esp32s3", 9, 0x3C000020, 0x40378000, 0, 64, "XTS-AES-256",
         (("burn-key", "BLOCK_KEY0", "KEY", "XTS_AES_256_KEY", "burn-efuse", "SPI_BOOT_CRYPT_CNT", "1"),)),
)


def app(chip, version):
    """flash_dumps.tiny_app() for another chip."""
    image = bytearray(flash_dumps.tiny_app(version))
    struct.pack_into("<H", image, 12, chip.chip_id)
    struct.pack_into("<I", image, 4, chip.code)
    struct.pack_into("<I", image, 24, chip.rodata)
    length, = struct.unpack_from("<I", image, 28)
    struct.pack_into("<I", image, 32 + length, chip.code)
    return flash_dumps.reseal(image)


def bootloaders(chip, dummy_images):
    """Two of them, which differ in a byte."""
    dummy = (pathlib.Path(dummy_images) / f"{chip.name}.bin").read_bytes()
    image = bytearray(flash_dumps.image_at(dummy, chip.bootloader))
    image[3] &= 0x0F  # its size of flash: 1 MB
    old = flash_dumps.reseal(image)
    new = bytearray(old)
    new[-100] ^= 0x55
    return old, flash_dumps.reseal(new)


def plain(chip, dummy_images):
    """A device that runs version 1.0 from its first slot."""
    return flash_dumps.flash((chip.bootloader, bootloaders(chip, dummy_images)[0]), (TABLE, flash_dumps.table(ROWS)[:0xC00]),
                             (0x9000, flash_dumps.in_use(1)[:0x1000]), (OTADATA, flash_dumps.otadata(1)),
                             (SLOTS[0], app(chip, "1.0")), size=FLASH_SIZE)


def encrypt(chip, dump, key, out):
    """What the chip's flash holds of it: bootloader, table, otadata and slots encrypted, erased sectors and NVS as they are."""
    return encrypt_regions(chip, dump, key, out, (OTADATA, 0x2000), *((slot, 0x20000) for slot in SLOTS))


def encrypt_regions(chip, dump, key, out, *more):
    """The boot path up to the table, and more regions, each address and size."""
    regions = [(chip.bootloader, TABLE + 0x1000 - chip.bootloader), *more]
    espressif.run("encrypt", dump, key, out, "aes" if chip.scheme == "AES-256" else "xts", chip.config, json.dumps(regions), code=ENCRYPT)
    return out


def summary(name, burn, folder):
    """What espefuse prints of a virtual chip in which this is burnt, by one run of it after another: once for the same."""
    known = (name, str([[word.read_bytes() if isinstance(word, pathlib.Path) else word for word in words] for words in burn]))
    if known not in summaries:
        fuses = folder / "virtual.fuses"
        fuses.unlink(missing_ok=True)
        for words in (*burn, ("summary", "--format", "json")):
            said = espressif.run("espefuse", "--chip", name, "--virt", "--path-efuse-file", fuses, "--do-not-confirm", *words)
        summaries[known] = said
    return summaries[known]


def as_of_version_4(text):
    """The same as esptool 4 prints it: without raw values."""
    fields = json.loads(text[text.index("{\n"):])
    for field in fields.values():
        del field["raw_value"]
    return 'espefuse.py v4.8.1\nConnecting....\n\n=== Run "summary" command ===\n' + json.dumps(fields, indent=4) + "\n\n"


def make_system(chip, folder, dummy_images, pack):
    """Into a folder: the plain dump of a device, the encrypted one, the key, and a bundle with a new bootloader and app.
    @param pack Runs the program with these arguments."""
    folder.mkdir()
    for name, data in (("plain.bin", plain(chip, dummy_images)), ("key", chip.key),
                       ("loader.bin", bootloaders(chip, dummy_images)[1]), ("table.bin", flash_dumps.table(ROWS)[:0xC00]),
                       ("otadata.bin", flash_dumps.otadata(2)), ("app.bin", app(chip, "2.0"))):
        (folder / name).write_bytes(data)
    encrypt(chip, folder / "plain.bin", folder / "key", folder / "cells.bin")
    pack("pack", "-o", folder / "new.srb", "--chip", chip.name, hex(chip.bootloader), folder / "loader.bin", hex(TABLE),
         folder / "table.bin", hex(OTADATA), folder / "otadata.bin", hex(SLOTS[1]), folder / "app.bin")
