# SPDX-License-Identifier: Apache-2.0
"""Chips that run from a given flash, tell in their output how far they are, and can be asked for their flash afterwards."""
import json
import re
import socket
import subprocess
import time

from pytest_embedded.dut_factory import DutFactory

import flashes

# The instruction clock keeps the chip's time in step with its work: without one, its tick stands still when the machine is busy.
# After a reset the emulator would go on with code of the app that ran before it. So it ends there, and is started anew.
OPTIONS = "-nographic -icount 3 -nic user,model=open_eth -no-reboot"
HOST = "10.0.2.2"  # the loopback interface of this machine, for an emulated chip
START = r"test: app (\w+) at (0x[0-9a-f]+),"


def url_at(server, path):
    """Of test/program/http_server.py."""
    return f"http{'s' if server.ca else ''}://{HOST}:{server.port}/{path}"


class Chip:
    """What both kinds have in common. A pattern is looked for in the output that no earlier one has taken."""

    def expect_start(self, name, address):
        """@param address None: any."""
        found = self.expect(START)
        assert found[1].decode() == name
        assert address in (None, int(found[2], 16))

    def expect_result(self, result="ESP_OK"):
        found = self.expect(r"test: result (\S+)\r")
        assert found[1].decode() == result

    def figures(self):
        """Of the call that ends next, by name."""
        found = self.expect(r"test: figures ms (\d+), heap before (\d+), heap least (\d+), stack (\d+)\r")
        return dict(zip(("ms", "heap before", "heap least", "stack"), map(int, found.groups())))


class Emulated(Chip):
    """An emulated one, whose power can be cut."""

    def __init__(self, emulator, target, folder, fuses=None):
        """@param fuses protection.Protection has them; None: the emulator's own, with nothing burnt."""
        self.image, self.log_path = folder / "flash.bin", folder / "output.log"
        self.command_line = [emulator, "-machine", target, "-drive", f"file={self.image},if=mtd,format=raw", *OPTIONS.split()]
        if fuses is not None:
            (folder / "efuse.bin").write_bytes(fuses)
            self.command_line += ["-drive", f"file={folder / 'efuse.bin'},if=none,format=raw,id=efuse",
                                  "-global", f"driver=nvram.{target}.efuse,property=drive,value=efuse"]
        self.process, self.taken = None, 0

    def put(self, flash):
        self.lose_power()
        self.image.write_bytes(flash)
        self.log_path.write_bytes(b"")
        self.taken = 0

    def start(self, flash):
        self.put(flash)
        self.power_on()

    def power_on(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([*self.command_line, "-qmp", f"tcp:127.0.0.1:{port},server,wait=on"],
                                            stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.monitor = self.connect(port).makefile("rw")
        self.monitor.readline()  # its greeting
        self.command("qmp_capabilities")

    def connect(self, port):
        for _ in range(3000):
            try:
                return socket.create_connection(("127.0.0.1", port))
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise RuntimeError("the emulator does not start")

    def command(self, name):
        self.monitor.write(json.dumps({"execute": name}) + "\n")
        self.monitor.flush()
        while "return" not in (answer := json.loads(self.monitor.readline())):
            assert "error" not in answer, answer

    def output(self):
        return self.log_path.read_bytes()

    def run(self, seconds, until=lambda output: None):
        """Lets the chip run, over its resets, until that has a value, or for so long.
        @return that value, or None."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            value = until(self.output())
            if value is not None:
                return value
            if ended:
                self.power_on()
            time.sleep(0.002)
        return None

    def expect(self, pattern, timeout=180):
        found = self.run(timeout, lambda output: re.search(pattern.encode(), output[self.taken:]))
        assert found is not None, f"{pattern} is not in:\n{self.output()[self.taken:].decode('utf-8', 'replace')}"
        self.taken += found.end()
        return found

    def lose_power(self):
        """Stopping waits for what was written to flash already: without that, the file is a state that no chip ever had."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.command("stop")
            except (OSError, ValueError):
                pass  # a reset of the chip has ended it meanwhile, with all that was written
            self.process.kill()
            self.process.wait()

    def flash(self):
        """What it is now. The chip stands still from here on."""
        self.lose_power()
        return self.image.read_bytes()


class Board(Chip):
    """Its whole flash is written, as one file of a build."""

    def __init__(self, build, folder):
        self.build = folder / "build"
        (self.build / "config").mkdir(parents=True)
        for name in ("config/sdkconfig.json", "migration.elf"):
            (self.build / name).write_bytes((build / name).read_bytes())
        arguments = json.loads((build / "flasher_args.json").read_text())
        arguments["flash_files"] = {"0x0": "flash.bin"}
        (self.build / "flasher_args.json").write_text(json.dumps(arguments))

    def start(self, flash):
        DutFactory.close()  # of an earlier start: it has the port
        (self.build / "flash.bin").write_bytes(flash)
        self.dut = DutFactory.create(embedded_services="esp,idf", build_dir=str(self.build))

    def expect(self, pattern, timeout=180):
        return self.dut.expect(pattern, timeout=timeout)

    def lose_power(self):
        """Nothing here can cut it: the next test writes the flash anew."""

    def flash(self):
        return self.dut.serial.dump_flash(address="0", size=str(flashes.SIZE))
