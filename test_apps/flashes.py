# SPDX-License-Identifier: Apache-2.0
"""Contents of flash before a migration, made of what ESP-IDF has built, and after it, as the program says."""
import json
import pathlib
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / "test" / "program"))
import flash_dumps  # noqa: E402

SIZE = flash_dumps.FLASH_SIZE
SECTOR = flash_dumps.SECTOR
TABLE, OTADATA, SLOT_0, SLOT_1 = 0x8000, 0xD000, 0x10000, 0x110000  # of the old system: migration/partitions_old.csv
NEW_TABLE, NEW_NVS, NEW_OTADATA, NEW_APP = 0xA000, 0xB000, 0xF000, 0x20000  # of the new one
CARGO = 0x300000  # free in the old system, and not touched by the new one
JOB = 0x3FF000
NVS, PHY, JOB_ROW = (b"nvs", 1, 2, 0x9000, 0x4000), (b"phy_init", 1, 1, 0xF000, 0x1000), (b"job", 1, 0x40, JOB, SECTOR)
SINGLE_APP_TABLE = (NVS, PHY, (b"factory", 0, 0, SLOT_0, 0x100000), JOB_ROW)
MOVED_APP_TABLE = (NVS, (b"otadata", 1, 0, OTADATA, 2 * SECTOR), (b"ota_0", 0, 0x10, NEW_APP, 0x180000), JOB_ROW)


def images(build):
    """What `idf.py flash` writes: pairs of offset and content."""
    flashed = json.loads((build / "flasher_args.json").read_text())["flash_files"]
    return [(int(offset, 0), (build / name).read_bytes()) for offset, name in flashed.items()]


def app_of(build):
    return next(build.glob("migration.bin")).read_bytes()


def job(call, **lines):
    """What main.c does at each start."""
    escaped = {name: str(value).replace("\n", "\\n") for name, value in {"call": call, **lines}.items()}
    text = "".join(f"{name}={value}\n" for name, value in escaped.items()).encode()
    assert len(text) < SECTOR - 2
    return text.ljust(SECTOR - 1, b"\0") + b"\xff"  # job_is_first_time()


def old_system(build, what_to_do, *more, second_slot=False, single_app=False):
    """The old system, as it was flashed, or from its second slot, or in a table without a second one.
    @param more Further pairs of offset and content."""
    parts = images(build)
    if second_slot:
        parts += [(SLOT_0, b"\xff" * len(app_of(build))), (SLOT_1, app_of(build)), (OTADATA, flash_dumps.otadata(2))]
    if single_app:
        parts += [(OTADATA, b"\xff" * 2 * SECTOR), (TABLE, flash_dumps.table(SINGLE_APP_TABLE))]
    return flash_dumps.flash(*parts, *more, (JOB, what_to_do))


def different_sectors(one, other):
    return [hex(at) for at in range(0, SIZE, SECTOR) if one[at:at + SECTOR] != other[at:at + SECTOR]]


def merged(build):
    """All that is flashed as one image, from the start of the flash."""
    end = max(offset + len(content) for offset, content in images(build))
    return flash_dumps.flash(*images(build))[:end]


def marked_bootloader(build):
    """The build's own, which tells another name in its log."""
    bootloader = (build / "bootloader" / "bootloader.bin").read_bytes()
    assert bootloader.count(b"2nd stage bootloader") == 1
    return flash_dumps.reseal(bootloader.replace(b"2nd stage bootloader", b"2nd stage BOOTLOADER"))


def after_first_start(flash, otadata=NEW_OTADATA):
    """A bootloader that finds otadata blank, and no factory app, writes there which app it has started."""
    entry = flash_dumps.otadata(1)[:24] + b"\2\0\0\0" + flash_dumps.otadata(1)[28:32]
    return flash[:otadata] + entry + flash[otadata + len(entry):]


def confirmed(flash, entry):
    """The app that this entry of otadata selects has said that it is good."""
    return flash[:entry + 24] + b"\2\0\0\0" + flash[entry + 28:]


class Program:
    """self-reflasher, and files for it in one folder."""

    def __init__(self, path, folder, chip):
        self.path, self.folder, self.chip = path, folder, chip
        self.private_key, self.key_file = folder / "key.pem", folder / "public.pem"
        self.run("keygen", "-o", self.private_key, "--public", self.key_file)
        self.public_key = self.key_file.read_text()

    def run(self, *arguments, status=0):
        result = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=600)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def pack(self, build, name, *options):
        bundle = self.folder / name
        self.run("pack", "-o", bundle, "--build-dir", build, "--sign", self.private_key, *options)
        return bundle

    def pack_files(self, name, *parts):
        bundle = self.folder / name
        files = [argument for offset, content in parts
                 for argument in (f"{offset:#x}", self.write(f"{offset:#x}.bin", content))]
        self.run("pack", "--chip", self.chip, "-o", bundle, "--sign", self.private_key, *files)
        return bundle

    def courier(self, app, bundle, flash):
        """One file for the update page of the system in this flash."""
        upload = self.folder / "upload.bin"
        self.run("courier", "-o", upload, "--app", app, "--bundle", bundle, "--flash", self.write("before.bin", flash))
        return upload

    def simulate(self, flash, *arguments):
        """The flash after a migration on the simulated chip."""
        before, after = self.write("before.bin", flash), self.folder / "after.bin"
        self.run("simulate", "-f", before, "-o", after, *arguments)
        return after.read_bytes()

    def simulate_bundle(self, flash, bundle, *arguments):
        return self.simulate(flash, "--bundle", bundle, "--public-key", self.key_file, *arguments)

    def extract(self, flash, bundle):
        """What the bundle makes of this flash, by the bundle alone."""
        before, after = self.write("before.bin", flash), self.folder / "extracted.bin"
        self.run("extract", "-o", after, "--base", before, bundle)
        return after.read_bytes()

    def boots(self, flash, table):
        """What the boot model says of this flash.
        @param table Where the bootloader in it looks for the partition table."""
        dump = self.write("boot.bin", flash)
        result = subprocess.run([self.path, "boot", "--json", "--chip", self.chip, "--partition-table", hex(table), str(dump)],
                                capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode in (0, 1), result.stderr
        return result.returncode == 0
