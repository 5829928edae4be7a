"""The pytest plugin: boards, phones and a site as fixtures, in any project.

It is loaded by every pytest run where the bench is installed, so it imports nothing of it until a fixture is used.
"""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.pytest_fixtures import Bed, Beds, BoardHandle, Dut, PhoneHandle, SiteHandle

_BED = "_latchwork_bed"
MARKERS = (
    "board(description='strike_door', name='front', firmware=None, **fields): a board of the test; may be repeated."
    " firmware: 'door', 'none' (MicroPython), or as the fixtures need it.",
    "flash_image(what, board=None): what is on a board's flash: a map of paths to texts, a folder, a program (*.py), or a whole"
    " image.",
    "latchwork_fault(name, board=None, **fields): a fault of scenarios that is there when the test begins.",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("latchwork", "boards of the Latchwork bench")
    group.addoption("--latchwork-seed", type=int, help="what faults are drawn from; told when a test fails")
    group.addoption("--latchwork-air", metavar="NAME", help="an air shared with boards of other processes")


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)


@pytest.fixture(scope="session")
def _latchwork_beds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Beds]":
    from hil.pytest_fixtures import Beds

    options = request.config.option
    with Beds(tmp_path_factory.mktemp("latchwork"), options.latchwork_seed, options.latchwork_air) as beds:
        yield beds


@pytest.fixture
def latchwork_bed(request: pytest.FixtureRequest, _latchwork_beds: "Beds") -> "Iterator[Bed]":
    """The boards and phones that this test's markers and fixtures ask for; the other fixtures are views of it."""
    from hil.pytest_markers import Misuse

    wanted = {
        name: [(mark.args, mark.kwargs) for mark in reversed(list(request.node.iter_markers(name)))]
        for name in ("board", "flash_image", "latchwork_fault")
    }
    folder = Path(request.path).parent
    with contextlib.ExitStack() as stack:
        try:
            bed = stack.enter_context(_latchwork_beds.made(wanted, frozenset(request.fixturenames), folder))
        except Misuse as error:
            pytest.fail(str(error), pytrace=False)
        setattr(request.node, _BED, bed)
        yield bed


@pytest.fixture
def board(latchwork_bed: "Bed") -> "BoardHandle":
    """The first board: ``power``, ``console``, ``pins``, ``flash``, ``radio``, ``reader``."""
    return latchwork_bed.board()


@pytest.fixture
def boards(latchwork_bed: "Bed") -> "Mapping[str, BoardHandle]":
    """All boards by name, each as ``board``, with its console as ``dut``."""
    return latchwork_bed.boards()


@pytest.fixture
def dut(latchwork_bed: "Bed") -> "Dut":
    """The console of the first board: ``expect``, ``expect_exact``, ``write``."""
    return latchwork_bed.board().dut


@pytest.fixture
def phone(latchwork_bed: "Bed") -> "PhoneHandle":
    """A phone with a key for every door: ``unlock``, ``place``."""
    return latchwork_bed.phone()


@pytest.fixture
def site(latchwork_bed: "Bed") -> "SiteHandle":
    """A cloud and a gateway, whose door the board is: ``api``, ``door_id``, ``device_id``."""
    return latchwork_bed.site()


@pytest.fixture
def scenario(latchwork_bed: "Bed") -> Any:
    """All verbs of scenarios: ``scenario.expect_pin("relay", 1, within=1)``, ``scenario.fault.kill("gateway")``."""
    return latchwork_bed.scenario


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the boards had printed, and the seed."""
    report = yield
    bed: Bed | None = getattr(item, _BED, None)
    if report.failed and bed is not None:
        report.sections += bed.sections()
    return report
