"""The radio's medium for the tests of what is on it, and an air for those of its members."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hil.air.folder import Airfield
from hil.radio.medium import Medium
from tests.hil.airs import eventually, servers


@pytest.fixture
async def medium() -> AsyncIterator[Medium]:
    medium = Medium()
    yield medium
    await medium.aclose()


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Airfield]:
    """Of a folder of its own; the test fails if it leaves a server or a socket behind."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LATCHWORK_AIR", "here")
    field = Airfield("here")
    yield field
    eventually(lambda: not field.socket.exists() and not servers(field))
