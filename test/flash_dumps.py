# SPDX-License-Identifier: Apache-2.0
"""Contents of a 4 MiB flash of an ESP32, made of published firmware."""
import hashlib
import pathlib
import struct
import zlib

FLASH_SIZE = 4 << 20
SECTOR = 0x1000
WLED_SYSTEM = "wled/binaries/esp32_bootloader_v4.bin"
WLED_APP = "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin"
ESPHOME = "esphome/esp32.bin"
MERGED_NUTTX = "mcuboot-nuttx/app_upd.merged.bin"


def otadata(sequence):
    """Both sectors; the slot with number (sequence - 1) boots."""
    number = struct.pack("<I", sequence)
    entry = number + b"\xff" * 24 + struct.pack("<I", zlib.crc32(number, 0xFFFFFFFF))
    return entry.ljust(2 * SECTOR, b"\xff")


def flash(*parts):
    """Pairs of offset and content; a later one wins."""
    content = bytearray(b"\xff" * FLASH_SIZE)
    for offset, data in parts:
        content[offset:offset + len(data)] = data
    return bytes(content)


def in_use(seed):
    """A page or two of what a device has in its NVS."""
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(256))


def wled(fixtures):
    """WLED, which runs from its second slot, where a third system can leave it alone."""
    app = (pathlib.Path(fixtures) / WLED_APP).read_bytes()
    return flash((0, (pathlib.Path(fixtures) / WLED_SYSTEM).read_bytes()), (0x9000, in_use(1)), (0xE000, otadata(2)),
                 (0x10000, app), (0x190000, app))


def esphome(fixtures):
    """ESPHome, likewise."""
    image = (pathlib.Path(fixtures) / ESPHOME).read_bytes()
    return flash((0, image), (0x9000, in_use(2)), (0xE000, otadata(2)), (0x1D0000, image[0x10000:]))


def reseal(image):
    """An ESP image with checksum and digest that fit its content."""
    image = bytearray(image)
    checksum, at = 0xEF, 24
    for _ in range(image[1]):
        length, = struct.unpack_from("<I", image, at + 4)
        for byte in image[at + 8:at + 8 + length]:
            checksum ^= byte
        at += 8 + length
    end = at + 16 - at % 16
    image[end - 1] = checksum
    image[end:end + 32] = hashlib.sha256(image[:end]).digest()
    return bytes(image)
