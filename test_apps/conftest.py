# SPDX-License-Identifier: Apache-2.0
"""Where builds and tools are, and the chip that the tests run on: an emulated one, or a board by --embedded-services esp,idf."""
import pathlib

import pytest

import chips
import flashes
import migrations
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
def old(request, target_name):
    return request.config.option.builds.absolute() / f"build_{target_name}_old"


@pytest.fixture(scope="session")
def new(request, target_name):
    return request.config.option.builds.absolute() / f"build_{target_name}_new"


@pytest.fixture(scope="session")
def courier(request, target_name):
    """The app of examples/courier."""
    app = request.config.option.builds.absolute() / f"build_{target_name}_courier" / "courier.bin"
    if not app.exists():
        pytest.skip("no build of examples/courier by ESP-IDF")
    return app


@pytest.fixture(scope="session")
def program(request, target_name, tmp_path_factory):
    return flashes.Program(request.config.option.self_reflasher, tmp_path_factory.mktemp("program"), target_name)


@pytest.fixture(scope="session")
def maker(program, old, new):
    return migrations.Maker(program, old, new)


@pytest.fixture
def chip(request, old, target_name, tmp_path):
    """One that runs a whole migration: chips.Chip."""
    options = request.config.option
    if "esp" in options.embedded_services.split(","):
        if request.node.get_closest_marker("emulator") is not None:
            pytest.skip("no emulator: the tests run on a board")
        chip = chips.Board(old, tmp_path)
    else:
        chip = chips.Emulated(options.qemu_prog_path or "qemu-system-riscv32", target_name, tmp_path)
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
