"""Connection events, losses and interference, on a clock of their own."""

import asyncio
import itertools
from typing import Any

import pytest
from bumble import hci
from bumble.device import ConnectionParametersPreferences

from hil.radio.link import MAX_PDUS, OPEN
from hil.radio.loss import Losses, Noise
from hil.radio.medium import Medium
from hil.radio.path_loss import PathLoss, Position
from hil.radio.station import Station
from tests.hil.test_radio_medium import advertise, characteristic, end_of, station, writable
from tests.hil.virtual_time import run

WRITES = 20


async def linked(medium: Medium, interval_ms: float, latency: int = 0) -> tuple[Station, Any]:
    """A door, and a phone's connection to it."""
    door, phone = await station(medium, 1), await station(medium, 2)
    await advertise(door)
    wanted = ConnectionParametersPreferences(
        connection_interval_min=interval_ms,
        connection_interval_max=interval_ms,
        max_latency=latency,
        supervision_timeout=2000,
    )
    preferences = {hci.HCI_LE_1M_PHY: wanted}
    connection = await phone.device.connect_le(
        door.device.random_address, connection_parameters_preferences=preferences
    )
    return door, connection


async def write_times(target: Any, count: int = WRITES, pause_s: float = 0.0) -> list[float]:
    """When each of some writes, one after the other, was answered."""
    times = []
    for _ in range(count):
        await asyncio.sleep(pause_s)
        await target.write_value(b"x" * 20, with_response=True)
        times.append(asyncio.get_running_loop().time())
    return times


def steps(times: list[float]) -> list[float]:
    """Milliseconds between one and the next."""
    return [round((b - a) * 1000, 2) for a, b in itertools.pairwise(times)]


@pytest.mark.parametrize("interval_ms", [7.5, 15.0, 50.0])
def test_a_write_and_its_answer_take_one_connection_interval(interval_ms: float) -> None:
    async def measure() -> list[float]:
        door, connection = await linked(Medium(paced=True), interval_ms)
        written = writable(door)
        times = await write_times(await characteristic(connection))
        assert len(written) == WRITES
        return times

    assert steps(run(measure())) == [interval_ms] * (WRITES - 1)


def test_with_a_latency_the_central_waits_for_the_event_in_which_the_peripheral_listens() -> None:
    async def measure() -> list[float]:
        door, connection = await linked(Medium(paced=True), 15, latency=3)
        writable(door)
        return await write_times(await characteristic(connection), pause_s=(OPEN + 0.01) * 0.015)

    assert steps(run(measure())) == [60.0] * (WRITES - 1)


def test_a_write_that_comes_up_when_its_event_is_over_waits_for_the_next_and_the_answer_for_another() -> None:
    async def measure() -> list[float]:
        door, connection = await linked(Medium(paced=True), 50)
        writable(door)
        return await write_times(await characteristic(connection), pause_s=0.201)

    assert steps(run(measure())) == [300.0] * (WRITES - 1)


def test_an_event_has_room_for_so_many_pdus() -> None:
    async def measure() -> list[float]:
        medium = Medium(paced=True)
        door, connection = await linked(medium, 30)
        written = writable(door)
        target = await characteristic(connection)
        times: list[float] = []
        loop = asyncio.get_running_loop()
        for _ in range(4 * MAX_PDUS):
            await target.write_value(b"x")
        while len(written) > len(times) or len(times) < 4 * MAX_PDUS:
            times += [loop.time()] * (len(written) - len(times))
            await asyncio.sleep(0.001)
        return times

    times = run(measure())
    assert [sum(times[0] + k * 0.03 <= t < times[0] + (k + 1) * 0.03 for t in times) for k in range(4)] == [
        MAX_PDUS
    ] * 4


def test_new_parameters_count_from_their_update_on() -> None:
    async def measure() -> list[float]:
        door, connection = await linked(Medium(paced=True), 15)
        writable(door)
        target = await characteristic(connection)
        changed = asyncio.Event()
        connection.once(connection.EVENT_CONNECTION_PARAMETERS_UPDATE, changed.set)
        await connection.update_parameters(100, 100, 0, 2000)
        await changed.wait()
        await write_times(target, 1)
        return await write_times(target)

    assert steps(run(measure())) == [100.0] * (WRITES - 1)


def lossy_writes(seed: int, probability: float = 0.3) -> tuple[list[float], list[bytes]]:
    async def measure() -> tuple[list[float], list[bytes]]:
        medium = Medium(paced=True, seed=seed)
        door, connection = await linked(medium, 15)
        written = writable(door)
        target = await characteristic(connection)
        medium.lose(probability)
        return steps(await write_times(target)), written

    return run(measure())


def test_what_is_lost_is_sent_again_in_the_next_event_and_a_seed_replays() -> None:
    first, written = lossy_writes(1)
    assert len(written) == WRITES
    assert {step % 15 for step in first} == {0.0}
    assert sum(first) > 15 * (WRITES - 1)
    assert lossy_writes(1)[0] == first
    assert lossy_writes(2)[0] != first


@pytest.mark.parametrize("paced", [True, False])
def test_a_link_on_which_all_is_lost_ends_by_its_supervision_timeout(paced: bool) -> None:
    async def measure() -> tuple[float, int]:
        medium = Medium(paced=paced)
        _, connection = await linked(medium, 30)
        lost = end_of(connection)
        began = asyncio.get_running_loop().time()
        medium.lose(1.0, ("station-1", "station-2"))
        return await lost, round(asyncio.get_running_loop().time() - began, 1)

    assert run(measure()) == (hci.HCI_CONNECTION_TIMEOUT_ERROR, 2.0)


def test_a_link_that_is_idle_and_lossy_lives_on() -> None:
    async def measure() -> None:
        medium = Medium(paced=True)
        door, connection = await linked(medium, 30)
        writable(door)
        target = await characteristic(connection)
        medium.lose(0.5)
        await asyncio.sleep(60)
        await target.write_value(b"x", with_response=True)
        medium.lose(0)
        times = await write_times(target)
        assert steps(times) == [30.0] * (WRITES - 1)

    run(measure())


def test_dice_thrown_anew_fall_as_the_first_time() -> None:
    losses = Losses(0, PathLoss())
    first = [losses.lost(0.5, "a", "b", "data") for _ in range(50)]
    losses.reseed(1)
    assert [losses.lost(0.5, "a", "b", "data") for _ in range(50)] != first
    losses.reseed(0)
    assert [losses.lost(0.5, "a", "b", "data") for _ in range(50)] == first


def test_interference_hurts_who_is_near_it() -> None:
    near, far = Position(1, 0), Position(200, 0)
    losses = Losses(0, PathLoss())
    losses.noise["wifi"] = Noise(Position(0, 0), duty=0.5, share=0.28)
    assert losses.probability("a", "b", -60, near) == pytest.approx(0.14)
    assert losses.probability("a", "b", -60, far) == 0
    assert losses.probability("a", "b", -20, far) == 0


def test_a_signal_at_the_edge_of_the_range_is_lost_at_times() -> None:
    losses = Losses(0, PathLoss())
    edge, inside = (losses.probability("a", "b", rssi, None) for rssi in (-95, -89))
    assert (edge, inside) == (pytest.approx(0.308), 0)


def test_noise_that_is_switched_off_is_gone() -> None:
    medium = Medium()
    medium.interfere("oven", Noise(Position(0, 0)))
    assert medium.losses.probability("a", "b", -80, Position(1, 0)) == 0.5
    medium.interfere("oven", None)
    assert medium.losses.probability("a", "b", -80, Position(1, 0)) == 0


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_a_probability_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Medium().lose(wrong)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Noise(Position(0, 0), duty=wrong)
