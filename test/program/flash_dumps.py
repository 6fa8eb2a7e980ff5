# SPDX-License-Identifier: Apache-2.0
"""Contents of a flash of an ESP32: 4 MiB made of published firmware, 16 MiB made of dummy images."""
import hashlib
import pathlib
import struct
import zlib

FLASH_SIZE = 4 << 20
BIG_FLASH_SIZE = 16 << 20
SECTOR = 0x1000
WLED_SYSTEM = "wled/binaries/esp32_bootloader_v4.bin"
WLED_APP = "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin"
WLED_0_14_4 = "wled-0.14.4/WLED_0.14.4_ESP32.bin"
SMALL_SLOTS = (0x10000, 0x150000)  # those of Arduino's default table
ESPHOME = "esphome/esp32.bin"
MERGED_NUTTX = "mcuboot-nuttx/app_upd.merged.bin"


def otadata(sequence):
    """Both sectors; the slot with number (sequence - 1) boots."""
    number = struct.pack("<I", sequence)
    entry = number + b"\xff" * 24 + struct.pack("<I", zlib.crc32(number, 0xFFFFFFFF))
    return entry.ljust(2 * SECTOR, b"\xff")


def flash(*parts, size=FLASH_SIZE):
    """Pairs of offset and content; a later one overwrites an earlier one."""
    content = bytearray(b"\xff" * size)
    for offset, data in parts:
        content[offset:offset + len(data)] = data
    return bytes(content)


def in_use(seed):
    """A page or two of what a device has in its NVS."""
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(256))


def wled(fixtures):
    """WLED, which runs from its second slot, where another system can leave it alone."""
    app = (pathlib.Path(fixtures) / WLED_APP).read_bytes()
    return flash((0, (pathlib.Path(fixtures) / WLED_SYSTEM).read_bytes()), (0x9000, in_use(1)), (0xE000, otadata(2)),
                 (0x10000, app), (0x190000, app))


def esphome(fixtures):
    """ESPHome, which runs from its second slot, too."""
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


def image_at(content, offset):
    """The ESP image that starts here, at its true length."""
    at = offset + 24
    for _ in range(content[offset + 1]):
        length, = struct.unpack_from("<I", content, at + 4)
        at += 8 + length
    end = offset + (at - offset) // 16 * 16 + 16
    return bytes(content[offset:end + (32 if content[offset + 23] == 1 else 0)])


def tiny_app(version, size=3 * SECTOR):
    """An ESP-IDF app of so many whole sectors with nothing in it to run."""
    text = version.encode()
    descriptor = struct.pack("<II8x32s32s32x32s32s80x", 0xABCD5432, 0, text, b"tiny", b"v5.5", in_use(text[0])[:32])
    image = struct.pack("<BBBBIB3xHBHH4xB", 0xE9, 2, 2, 0x40, 0x40080000, 0xEE, 0, 0, 0, 0xFFFF, 1)
    data = b"".join(in_use(text[0] + 256 * i) for i in range(size // (2 * SECTOR) + 1))
    for address, content in ((0x3F400020, descriptor + data[:size - 0x1100 - 256]), (0x40080000, in_use(7)[:0x400])):
        image += struct.pack("<II", address, len(content)) + content
    return reseal(image + b"\0" * (16 - len(image) % 16) + b"\0" * 32)


SETTINGS = b"\0allow_in_place\0allow_temporary_table\0public_key\0"


def carrier(code_size=180 << 10, empty_segments=0, magic=b"SRCRGO\r\n", settings=SETTINGS):
    """An ESP-IDF app with as much code as the courier example may have, the bytes by which it is known that it looks for a cargo,
    and the names of what it asks for there; with that many segments more that have no content."""
    descriptor = struct.pack("<II8x32s32s32x32s32s80x", 0xABCD5432, 0, b"1.0", b"courier", b"v5.5", in_use(3)[:32])
    image = struct.pack("<BBBBIB3xHBHH4xB", 0xE9, 3 + empty_segments, 2, 0x20, 0x40080000, 0xEE, 0, 0, 0, 0xFFFF, 1)
    for address, data in ((0x3F400020, descriptor + (magic + settings + in_use(9))[:0x1000]), (0x40080000, in_use(7)[:0x400])):
        image += struct.pack("<II", address, len(data)) + data
    code = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(code_size // 32))
    image += struct.pack("<II", 0x400D0000 + (len(image) + 8) % 0x10000, len(code)) + code
    image += struct.pack("<II", 0x40090000, 0) * empty_segments
    return reseal(image + b"\0" * (16 - len(image) % 16) + b"\0" * 32)


def with_cargo(app, settings, bundle):
    """What docs/cargo-format.md says of an app with settings, as pairs in their order, and a bundle."""
    texts = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in settings)
    cargo = struct.pack("<8sHHIII8x", b"SRCRGO\r\n", 1, 32, 0, len(texts), len(bundle)) + texts
    cargo += b"\0" * (-len(cargo) % 4) + bundle + b"\0" * (-len(bundle) % 4)
    at = 24
    for _ in range(app[1]):
        at += 8 + int.from_bytes(app[at + 4:at + 8], "little")
    image = bytearray(app[:at] + struct.pack("<II", 0, len(cargo)) + cargo)
    image[1] += 1
    image[23] = 1
    return reseal(image + b"\0" * (16 - len(image) % 16) + b"\0" * 32)


def uploaded(content, app, slot, sequence, at=0xE000):
    """A flash in whose slot an app was stored by the system that runs, and that was selected."""
    end = slot + -(-len(app) // SECTOR) * SECTOR
    stored = content[:slot] + app.ljust(end - slot, b"\xff") + content[end:]
    entries = otadata(sequence)[:SECTOR]
    other = at + (SECTOR if stored[at:at + 4] != b"\xff" * 4 else 0)
    return stored[:other] + entries + stored[other + SECTOR:]


def big_bootloader(bootloader, change):
    """One for 16 MiB; of another code for each change."""
    image = bytearray(bootloader)
    image[3] = 0x40 | image[3] & 0x0F
    image[0x1234] ^= change
    return reseal(image)


def table(rows):
    """Label, type, subtype, address, size."""
    entries = b"".join(struct.pack("<HBBII16sI", 0x50AA, kind, subtype, address, size, label, 0)
                       for label, kind, subtype, address, size in rows)
    return (entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()).ljust(SECTOR, b"\xff")


def wled_in_small_slots(fixtures, number, file_system_size, files):
    """WLED in one of two slots of 1.25 MB, as Arduino's default table has them, and nothing in the other one. No published image
    has WLED with that table; in Arduino's, the file system has 0x170000 bytes."""
    rows = ((b"nvs", 1, 2, 0x9000, 0x5000), (b"otadata", 1, 0, 0xE000, 0x2000), (b"app0", 0, 0x10, SMALL_SLOTS[0], 0x140000),
            (b"app1", 0, 0x11, SMALL_SLOTS[1], 0x140000), (b"spiffs", 1, 0x82, 0x290000, file_system_size))
    return flash((0, (pathlib.Path(fixtures) / WLED_SYSTEM).read_bytes()), (0x8000, table(rows)), (0x9000, in_use(1)),
                 (0xE000, otadata(1 + number)), (SMALL_SLOTS[number], (pathlib.Path(fixtures) / WLED_0_14_4).read_bytes()),
                 (0x290000, files))


def big_table(slot_size, storage):
    """Two large slots, and data after them to the end."""
    rows = ((b"nvs", 1, 2, 0x9000, 0x4000), (b"otadata", 1, 0, 0xD000, 0x2000), (b"ota_0", 0, 0x10, 0x10000, slot_size),
            (b"ota_1", 0, 0x11, 0x10000 + slot_size, slot_size),
            (b"storage", 1, 0x82, storage, BIG_FLASH_SIZE - storage))
    return table(rows)


def big(bootloader):
    """Slots of 6 MiB, the app in the second one; a file system past the first 12 MiB."""
    return flash((0x1000, big_bootloader(bootloader, 0)), (0x8000, big_table(6 << 20, 0xC10000)), (0x9000, in_use(1)),
                 (0xD000, otadata(2)), (0x610000, tiny_app("1.0")), (0xC10000, in_use(2) * 4), size=BIG_FLASH_SIZE)
