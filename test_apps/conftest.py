# SPDX-License-Identifier: Apache-2.0
"""Where builds and tools are, and the chip that the tests run on: an emulated one, or a board by --embedded-services esp,idf."""
import pathlib

import pytest

import chips
import flashes
import migrations
import protection
import servers  # in the folder that `flashes` adds

HERE = pathlib.Path(__file__).parent


def pytest_addoption(parser):
    group = parser.getgroup("self-reflasher")
    group.addoption("--builds", type=pathlib.Path, default=HERE / "migration",
                    help="Folder with the builds, build_TARGET_old, _new and _courier (default: %(default)s)")
    group.addoption("--self-reflasher", default=HERE.parent / "build" / "self-reflasher",
                    help="The program (default: %(default)s)")
    group.addoption("--kills", type=int, default=20, help="Power losses for each kind of migration (default: %(default)s)")
    group.addoption("--seed", type=int, default=1, help="Of the moments at which the power goes (default: %(default)s)")
    group.addoption("--keep", type=pathlib.Path, default=HERE / "build_kept",
                    help="Folder for the flash of each chip that does not boot (default: %(default)s)")


@pytest.fixture(scope="session")
def target_name(request):
    return request.config.option.target or "esp32c3"


@pytest.fixture(scope="session")
def kind(request):
    """What the chip protects: of protection.KINDS; a test that says nothing has a plain one."""
    return getattr(request, "param", "plain")


@pytest.fixture(scope="session")
def protected(request, kind, target_name, tmp_path_factory):
    if kind != "plain" and target_name != "esp32c3":
        pytest.skip("eFuses for the emulated ESP32-C3 only")
    return protection.Protection(kind, tmp_path_factory.mktemp("protection"), target_name)


def build(request, target_name, protected, name):
    folder = request.config.option.builds.absolute() / f"build_{target_name}_{name}{protected.suffix}"
    if protected.suffix and not (folder / "flasher_args.json").exists():
        pytest.skip(f"no build {folder.name} by ESP-IDF")
    return flashes.Build(folder, protected)


@pytest.fixture(scope="session")
def old(request, target_name, protected):
    return build(request, target_name, protected, "old")


@pytest.fixture(scope="session")
def new(request, target_name, protected):
    return build(request, target_name, protected, "new")


@pytest.fixture(scope="session")
def courier(request, target_name):
    """The app of examples/courier."""
    app = request.config.option.builds.absolute() / f"build_{target_name}_courier" / "courier.bin"
    if not app.exists():
        pytest.skip("no build of examples/courier by ESP-IDF")
    return app


@pytest.fixture(scope="session")
def program(request, target_name, protected, tmp_path_factory):
    return flashes.Program(request.config.option.self_reflasher, tmp_path_factory.mktemp("program"), target_name, protected)


@pytest.fixture(scope="session")
def maker(program, old, new):
    return migrations.Maker(program, old, new)


def emulator_of(request):
    return request.config.option.qemu_prog_path or "qemu-system-riscv32"


@pytest.fixture(scope="session")
def encrypts_rightly(request, old, protected, target_name, tmp_path_factory):
    """Emulators that drop every second row: https://github.com/espressif/qemu/issues/123."""
    if not protected.encrypted:
        return True
    chip = chips.Emulated(emulator_of(request), target_name, tmp_path_factory.mktemp("probe"), protected.fuses)
    try:
        chip.start(flashes.old_system(old, flashes.job("probe", destination=hex(old.slot(1)))))
        return chip.expect(r"test: result (\S+)\r")[1] == b"ESP_OK"
    finally:
        chip.lose_power()


@pytest.fixture
def chip(request, old, protected, target_name, tmp_path):
    """One that runs a whole migration: chips.Chip."""
    options = request.config.option
    if "esp" in options.embedded_services.split(","):
        if request.node.get_closest_marker("emulator") is not None:
            pytest.skip("no emulator: the tests run on a board")
        if protected.fuses is not None:
            pytest.skip("no emulator: what a board has burnt stays burnt")
        chip = chips.Board(old.folder, tmp_path)
    else:
        if not request.getfixturevalue("encrypts_rightly"):
            pytest.skip("the emulator encrypts every second row wrong: docs/testing.md")
        chip = chips.Emulated(emulator_of(request), target_name, tmp_path, protected.fuses)
    yield chip
    chip.lose_power()


def serve(folder, tls=None):
    folder.mkdir()
    with servers.Moody(folder, tls) as server:
        server.served = folder
        yield server


@pytest.fixture
def server(tmp_path):
    """Serves the folder `served`."""
    yield from serve(tmp_path / "served")


@pytest.fixture
def tls_server(tmp_path):
    """The same, with a certificate for 127.0.0.1."""
    yield from serve(tmp_path / "tls_served", tmp_path / "tls")
