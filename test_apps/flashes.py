# SPDX-License-Identifier: Apache-2.0
"""Contents of flash before a migration, made of what ESP-IDF has built, and after it, as the program says."""
import json
import pathlib
import struct
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / "test" / "program"))
import flash_dumps  # noqa: E402

SIZE = flash_dumps.FLASH_SIZE
SECTOR = flash_dumps.SECTOR
CARGO = 0x300000  # free in the old system, and in the new one
JOB = 0x3FF000
ENTRY = 32  # bytes of an entry of otadata
JOB_ROW = (b"job", 1, 0x40, JOB, SECTOR)


class Build:
    """What ESP-IDF has built, signed where chips demand that, and where in flash it has what."""

    def __init__(self, folder, protection):
        self.folder, self.protection = folder, protection
        self.arguments = json.loads((folder / "flasher_args.json").read_text())
        options = json.loads((folder / "config" / "sdkconfig.json").read_text())
        self.bootloader_at = options["BOOTLOADER_OFFSET_IN_FLASH"]
        self.bootloader, self.app = (protection.sign(self.unsigned(which)) for which in ("bootloader", "app"))
        self.table = int(self.arguments["partition-table"]["offset"], 0)
        self.rows = {}  # by name: as flash_dumps.table() takes them
        entries = (folder / "partition_table" / "partition-table.bin").read_bytes()
        for kind, subtype, at, size, name, _ in struct.iter_unpack("<2xBBII16sI", entries[:entries.index(b"\xeb\xeb")]):
            label = name.rstrip(b"\0")
            self.rows[label.decode()] = (label, kind, subtype, at, size)

    def unsigned(self, which):
        return (self.folder / {"bootloader": "bootloader/bootloader.bin", "app": "migration.bin"}[which]).read_bytes()

    def at(self, name):
        return self.rows[name][3]

    def slot(self, number):
        return self.at(f"ota_{number}")

    def images(self):
        """What `idf.py flash` writes, and the bootloader, which it leaves out with Secure Boot: pairs of offset and content."""
        kept = [(int(offset, 0), (self.folder / name).read_bytes()) for offset, name in self.arguments["flash_files"].items()
                if name not in ("bootloader/bootloader.bin", "migration.bin")]
        return [(self.bootloader_at, self.bootloader), *kept, (self.slot(0), self.app)]

    def single_app_table(self):
        return (self.rows["nvs"], self.rows["phy_init"], (b"factory", 0, 0, self.slot(0), 0x100000), JOB_ROW)

    def moved_app_table(self, app):
        return (self.rows["nvs"], self.rows["otadata"], (b"ota_0", 0, 0x10, app, 0x160000), JOB_ROW)

    def marked_bootloader(self):
        """The build's own, which tells another name in its log."""
        bootloader = self.unsigned("bootloader")
        assert bootloader.count(b"2nd stage bootloader") == 1
        image = flash_dumps.reseal(bootloader.replace(b"2nd stage bootloader", b"2nd stage BOOTLOADER"))
        return self.protection.sign(image)

    def merged(self, *more):
        """All that is flashed as one image, from the start of the flash."""
        parts = [*self.images(), *more]
        end = max(offset + len(content) for offset, content in parts)
        return flash_dumps.flash(*parts)[:end]


def job(call, **lines):
    """What main.c does at each start."""
    escaped = {name: str(value).replace("\n", "\\n") for name, value in {"call": call, **lines}.items()}
    text = "".join(f"{name}={value}\n" for name, value in escaped.items()).encode()
    assert len(text) < SECTOR - 2
    return text.ljust(SECTOR - 1, b"\0") + b"\xff"  # job_is_first_time()


def old_system(build, what_to_do, *more, second_slot=False, single_app=False):
    """The old system, as it was flashed, or from its second slot, or in a table without a second one.
    @param more Further pairs of offset and content, which no chip encrypts."""
    parts, erased = build.images(), []
    if second_slot:
        erased += [(build.slot(0), b"\xff" * build.rows["ota_0"][4])]
        parts = [part for part in parts if part[0] != build.slot(0)]
        parts += [(build.slot(1), build.app), (build.at("otadata"), flash_dumps.otadata(2))]
    if single_app:
        erased += [(build.at("otadata"), b"\xff" * 2 * SECTOR)]
        parts = [part for part in parts if part[0] != build.at("otadata")]
        parts += [(build.table, flash_dumps.table(build.single_app_table()))]
    cells = [(offset, build.protection.flashed(offset, content)) for offset, content in parts]
    return flash_dumps.flash(*cells, *erased, *more, (JOB, what_to_do))


def different_sectors(one, other):
    return [hex(at) for at in range(0, SIZE, SECTOR) if one[at:at + SECTOR] != other[at:at + SECTOR]]


def after_first_start(flash, otadata, protection):
    """A bootloader that finds otadata blank, and no factory app, writes there which app it has started."""
    entry = flash_dumps.otadata(1)[:24] + b"\2\0\0\0" + flash_dumps.otadata(1)[28:ENTRY]
    return flash[:otadata] + protection.cells(otadata, entry).ljust(SECTOR, b"\xff") + flash[otadata + SECTOR:]


class Program:
    """self-reflasher, and files for it in one folder."""

    def __init__(self, path, folder, chip, protection):
        self.path, self.folder, self.chip, self.protection = path, folder, chip, protection
        self.private_key, self.key_file = folder / "key.pem", folder / "public.pem"
        self.run("keygen", "-o", self.private_key, "--public", self.key_file)
        self.public_key = self.key_file.read_text()

    def run(self, *arguments, status=0):
        """@return all that it printed."""
        result = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=600)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def pack(self, build, name, *options):
        """Secure Boot projects have their bootloader, and the signed app, beside the build: there all is given as files."""
        if self.protection.signed:
            return self.pack_files(name, build.table, *build.images(), options=options)
        bundle = self.folder / name
        self.run("pack", "-o", bundle, "--build-dir", build.folder, "--sign", self.private_key, *options)
        return bundle

    def pack_files(self, name, table, *parts, options=()):
        bundle = self.folder / name
        files = [argument for offset, content in parts
                 for argument in (f"{offset:#x}", self.write(f"{offset:#x}.bin", content))]
        self.run("pack", "--chip", self.chip, "--partition-table", hex(table), "-o", bundle, "--sign", self.private_key, *options,
                 *files)
        return bundle

    def courier(self, app, bundle, flash):
        """One file for the update page of the system in this flash."""
        upload = self.folder / "upload.bin"
        self.run("courier", "-o", upload, "--app", app, "--bundle", bundle, "--flash", self.write("before.bin", flash))
        return upload

    def simulate(self, flash, *arguments):
        """The flash after a migration on the simulated chip."""
        before, after = self.write("before.bin", flash), self.folder / "after.bin"
        self.run("simulate", "-f", before, "-o", after, *self.protection.options, *arguments)
        return after.read_bytes()

    def simulate_bundle(self, flash, bundle, *arguments):
        return self.simulate(flash, "--bundle", bundle, "--public-key", self.key_file, *arguments)

    def refusal(self, flash, bundle, *arguments):
        """What the simulated chip says to a bundle that it does not take."""
        before = self.write("before.bin", flash)
        return self.run("simulate", "-f", before, *self.protection.options, "--bundle", bundle, "--public-key", self.key_file,
                        *arguments, status=1)

    def extract(self, flash, bundle):
        """What the bundle makes of this flash, by the bundle alone."""
        before, after = self.write("before.bin", flash), self.folder / "extracted.bin"
        self.run("extract", "-o", after, "--base", before, *self.protection.options, bundle)
        return after.read_bytes()

    def boots(self, flash, table):
        """What the boot model says of this flash.
        @param table Where the bootloader in it looks for the partition table."""
        dump = self.write("boot.bin", flash)
        result = subprocess.run([self.path, "boot", "--json", "--chip", self.chip, "--partition-table", hex(table),
                                 *map(str, self.protection.options), str(dump)],
                                capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode in (0, 1), result.stderr
        return result.returncode == 0
