# SPDX-License-Identifier: Apache-2.0
"""What a chip has burnt, and what follows for its flash: cells that are encrypted with a key of the tests, and signed images."""
import contextlib
import functools
import io
import os
import subprocess
import sys

KINDS = ("plain", "encrypted", "signed", "encrypted_signed")
FIRST_START = "encrypted_at_first_start"  # by the bootloader, with a key that it makes itself
OF_ENCRYPTION, OF_SECURE_BOOT = 0, 1  # the key blocks that are used here
WRITE_UNIT = 32  # bytes, which the chip encrypts at a time
# Registers of the ESP32-C3's eFuses: the emulator's file has those from FIRST to END.
FIRST, READ_DISABLED, KEYS, END = 0x2C, 0x30, 0x9C, 0x17C


def espsecure(*arguments):
    subprocess.run([sys.executable, "-m", "espsecure", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


class Key:
    """For RSA-3072 signatures of Secure Boot V2."""

    def __init__(self, folder, name):
        self.folder, self.path, self.digest = folder, folder / f"{name}.pem", folder / f"{name}.digest"
        espsecure("generate-signing-key", "--version", "2", "--scheme", "rsa3072", self.path)
        espsecure("digest-sbv2-public-key", "--keyfile", self.path, "-o", self.digest)

    @functools.lru_cache(maxsize=None)
    def sign(self, image):
        unsigned, signed = self.folder / "unsigned.bin", self.folder / "signed.bin"
        unsigned.write_bytes(image)
        espsecure("sign-data", "--version", "2", "--keyfile", self.path, "-o", signed, unsigned)
        return signed.read_bytes()


class Protection:
    """Of one kind: `plain` has nothing burnt."""

    def __init__(self, kind, folder, chip):
        self.kind, self.chip, self.folder = kind, chip, folder
        self.encrypted, self.signed, self.at_first_start = "encrypted" in kind, "signed" in kind, kind == FIRST_START
        self.suffix = "" if kind == "plain" else "_encrypted" if self.at_first_start else f"_{kind}"  # of the names of builds
        self.options, self.fuses = (), None  # of the program; for the emulator
        if self.signed:
            self.key, self.foreign_key = Key(folder, "signing"), Key(folder, "foreign")
        if self.encrypted:
            self.flash_key = folder / "flash.key"
            # A key that is protected is nothing but zeros to the emulator, from the moment when the bootloader has burnt it.
            self.flash_key.write_bytes(bytes(32) if self.at_first_start else bytes((i * 29 + 7) % 256 for i in range(32)))
        if self.encrypted or self.signed:
            self.burn(folder / "virtual.fuses", folder / "efuses.json")

    def burn(self, virtual, summary):
        def espefuse(*arguments):
            subprocess.run([sys.executable, "-m", "espefuse", "--chip", self.chip, "--virt", "--path-efuse-file", virtual,
                            "--do-not-confirm", *arguments], check=True, stdout=subprocess.DEVNULL)

        espefuse("burn-efuse", "WAFER_VERSION_MINOR_LO", "3")
        self.fuses = self.as_emulated(virtual.read_bytes()[::-1], has_key=False)
        if self.encrypted:
            espefuse("burn-key", f"BLOCK_KEY{OF_ENCRYPTION}", self.flash_key, "XTS_AES_128_KEY",
                     "burn-efuse", "SPI_BOOT_CRYPT_CNT", "1")
        if self.signed:
            espefuse("burn-key", f"BLOCK_KEY{OF_SECURE_BOOT}", self.key.digest, "SECURE_BOOT_DIGEST0",
                     "burn-efuse", "SECURE_BOOT_EN", "1")
        espefuse("summary", "--format", "json", "--file", summary)
        self.options = ("--efuses", summary, *(("--flash-key", self.flash_key) if self.encrypted else ()))
        if not self.at_first_start:
            self.fuses = self.as_emulated(virtual.read_bytes()[::-1], has_key=self.encrypted)

    def as_emulated(self, registers, has_key):
        """The emulator encrypts with what can be read of a key block, byte for byte. A chip takes the bytes in the other order,
        and nobody can read the block: so the key lies open here, and turned."""
        registers = bytearray(registers)
        if has_key:
            registers[READ_DISABLED] &= 0x80
            start = KEYS + OF_ENCRYPTION * 32
            registers[start:start + 32] = self.flash_key.read_bytes()
        return bytes(registers[FIRST:END]).ljust(1024, b"\0")

    def sign(self, image):
        return self.key.sign(image) if self.signed else image

    def flashed(self, offset, content):
        """What the flash holds where this content was put over a cable."""
        return content if self.at_first_start else self.cells(offset, content)

    def cells(self, offset, content):
        """What the flash holds where the chip reads this content through its cache."""
        if not self.encrypted:
            return content
        return self.encrypt(offset, content + b"\xff" * (-len(content) % WRITE_UNIT))

    @functools.lru_cache(maxsize=None)
    def encrypt(self, offset, content):
        import espsecure as of_esptool  # it takes a second, and plain chips do without

        plain, cells = io.BytesIO(content), io.BytesIO()
        plain.name, cells.name = "plain", os.devnull
        with self.flash_key.open("rb") as key, contextlib.redirect_stdout(io.StringIO()):
            of_esptool.encrypt_flash_data(key, cells, offset, 0xF, True, plain)
        return cells.getvalue()
