#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many devices at once against one nginx: so many `self-reflasher simulate` processes, each with a flash of its own,
fetch one signed bundle over TLS and migrate from WLED to ESPHome.

Fails unless each of them ends with the right flash, and nginx has served nothing but ranges of a static file.

usage: fleet.py PROGRAM FIXTURES COUNT
"""
import collections
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import flash_dumps
import servers

SKIPPED = 77


def device(number, system):
    """No two hold the same."""
    flash = bytearray(system)
    flash[0x9000:0x9000 + 8192] = flash_dumps.in_use(number + 1000)
    return bytes(flash)


def start(program, folder, server, number):
    out = (folder / f"{number}.json").open("w")
    return subprocess.Popen(
        [program, "simulate", "--flash", folder / f"{number}.bin", "--out", folder / f"{number}.out", "--url",
         server.url("bundle.srb"), "--ca", server.ca, "--public-key", folder / "public.pem", "--json"],
        stdout=out, stderr=subprocess.STDOUT)


def problem_of(folder, number, expected):
    """None, or what went wrong."""
    answer = json.loads((folder / f"{number}.json").read_text())
    if answer["result"] != "ESP_OK" or answer["boot"]["app_offset"] != 0x10000:
        return f"{answer['result']}: {answer['message']}"
    if (folder / f"{number}.out").read_bytes() != expected:
        return "wrong content of flash"
    return None


def run(program, fixtures, count, folder):
    served = folder / "served"
    served.mkdir()
    subprocess.run([program, "keygen", "--out", folder / "key.pem", "--public", folder / "public.pem"], check=True)
    subprocess.run([program, "pack", "-o", served / "bundle.srb", "--sign", folder / "key.pem", "--chip", "esp32",
                    "--manifest", fixtures / "esphome/manifest.json"], check=True, stdout=subprocess.DEVNULL)
    image = (fixtures / flash_dumps.ESPHOME).read_bytes()
    image = image.ljust(-(-len(image) // flash_dumps.SECTOR) * flash_dumps.SECTOR, b"\xff")
    system = flash_dumps.wled(fixtures)
    for number in range(count):
        (folder / f"{number}.bin").write_bytes(device(number, system))
    with servers.Nginx(served, folder / "nginx") as nginx:
        begin = time.monotonic()
        processes = [start(program, folder, nginx, number) for number in range(count)]
        statuses = [process.wait() for process in processes]
        seconds = time.monotonic() - begin
        requests = nginx.requests()
    failures = []
    for number, status in enumerate(statuses):
        why = problem_of(folder, number, image + system[len(image):]) if status in (0, 1) else f"status {status}"
        if why is not None:
            failures.append(f"device {number}: {why}")
    report(folder, count, seconds, requests)
    wrong = [entry for entry in requests if entry[1] != 206 or entry[3] != "GET"]
    return failures + [f"nginx: {entry}" for entry in wrong]


def report(folder, count, seconds, requests):
    answers = [json.loads((folder / f"{number}.json").read_text()) for number in range(count)]
    per_connection = collections.Counter(connection for connection, *_ in requests)
    print(f"{count} devices in {seconds:.1f} s: {len(requests)} requests over {len(per_connection)} connections, "
          f"{sum(sent for _, _, sent, *_ in requests)} bytes served")
    print(f"retries: {sum(answer['retries'] for answer in answers)}, "
          f"largest peak heap: {max(answer['peak_heap'] for answer in answers)} bytes, "
          f"largest process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss} KiB")


def main():
    program, fixtures, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    fixtures = pathlib.Path(os.environ.get("SELF_REFLASHER_FIXTURES") or fixtures)
    if servers.NGINX is None or not fixtures.exists():
        print("skipped: no nginx or no fixtures")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        failures = run(program, fixtures, count, pathlib.Path(folder))
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
