"""The radio's medium for the tests of what is on it."""

from collections.abc import AsyncIterator

import pytest

from hil.radio.medium import Medium


@pytest.fixture
async def medium() -> AsyncIterator[Medium]:
    medium = Medium()
    yield medium
    await medium.aclose()
