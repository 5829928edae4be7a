"""Links of one radio share its time, on a clock of their own."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bumble import hci
from bumble.device import ConnectionParametersPreferences

from hil.radio.link import MAX_PDUS, Link
from hil.radio.medium import Medium
from hil.radio.station import Station
from tests.hil.test_radio_medium import advertise, end_of, station
from tests.hil.virtual_time import run

OCTETS = 251
AIR_S = ((OCTETS + 14) * 8 + 80 + 300) * 1e-6  # of one such PDU: 2.5 ms
INTERVAL_S, SECONDS = 0.03, 6.0


async def connected(phone: Station, door: Station, interval_s: float = INTERVAL_S) -> Any:
    """The phone's connection; nothing is said on it."""
    await advertise(door)
    wanted = ConnectionParametersPreferences(
        connection_interval_min=interval_s * 1000,
        connection_interval_max=interval_s * 1000,
        supervision_timeout=2000,
    )
    address = door.device.random_address
    return await phone.device.connect_le(
        address, connection_parameters_preferences={hci.HCI_LE_1M_PHY: wanted}
    )


async def pdus(links: list[Link], side: int = 1, seconds: float = SECONDS) -> list[int]:
    """How many full PDUs arrived on each link of those whose one side always has more."""
    counts = [0] * len(links)

    def counted(number: int) -> Callable[[], None]:
        def count() -> None:
            counts[number] += 1

        return count

    for _ in range(round(seconds / 0.0075)):
        for number, link in enumerate(links):
            source = tuple(link.ends)[side]
            while link.waiting(source) < 2 * MAX_PDUS:
                link.send(source, OCTETS, counted(number))
        await asyncio.sleep(0.0075)
    return counts


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_links_of_one_central_have_one_radios_time_between_them(number: int, side: int) -> None:
    async def measure() -> list[int]:
        medium = Medium(paced=True)
        phone = await station(medium, 1)
        for other in range(number):
            await connected(phone, await station(medium, 2 + other))
        return await pdus(medium.links_of(phone.controller), side)

    counts = run(measure())
    events = SECONDS / INTERVAL_S
    alone = MAX_PDUS * events
    if number <= 2:  # two events of six PDUs fit one after the other
        assert counts == [pytest.approx(alone, rel=0.03)] * number
    fair = INTERVAL_S / AIR_S * events / number
    assert sum(counts) <= SECONDS / AIR_S
    assert min(counts) > 0.7 * min(alone, fair)


def test_a_station_with_two_centrals_serves_both_though_their_events_meet() -> None:
    async def measure() -> tuple[list[int], list[bool]]:
        medium = Medium(paced=True)
        door = await station(medium, 1)
        ends = [end_of(await connected(await station(medium, 2 + other), door)) for other in range(2)]
        links = medium.links_of(door.controller)
        links[1]._anchor = links[0]._anchor  # two clocks that know nothing of each other
        return await pdus(links), [end.done() for end in ends]

    counts, ended = run(measure())
    assert not any(ended)
    assert min(counts) > 0.9 * MAX_PDUS * SECONDS / INTERVAL_S / 2


def test_a_station_that_is_busy_with_a_link_advertises_and_hears_less() -> None:
    async def measure(busy: bool) -> tuple[int, int]:
        medium = Medium(paced=True)
        door, phone, other = [await station(medium, number) for number in (1, 2, 3)]
        await connected(phone, door)
        heard = []
        for scanner, advertiser in ((other, door), (door, other)):
            await advertise(advertiser)
            seen: list[Any] = []
            scanner.device.on("advertisement", seen.append)
            await scanner.device.start_scanning(active=False, filter_duplicates=False)
            if busy:
                await pdus(medium.links_of(door.controller))
            else:
                await asyncio.sleep(SECONDS)
            await scanner.device.stop_scanning()
            await advertiser.device.stop_advertising()
            heard.append(len(seen))
        return heard[0], heard[1]

    idle, busy = run(measure(False)), run(measure(True))
    free = 1 - MAX_PDUS * AIR_S / INTERVAL_S  # half of the time
    for before, now in zip(idle, busy, strict=True):
        assert now == pytest.approx(before * free, rel=0.25)
