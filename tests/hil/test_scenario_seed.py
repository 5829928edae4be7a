"""One seed twice brings the same faults about, another seed others: on the air, on the link, in the flash, of the supply."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hil.board.way import Way
from hil.radio.loss import Losses
from hil.scenario.api import Scenario
from hil.scenario.bench import Bench
from hil.scenario.dice import Dice, branch
from hil.scenario.load import Case, load
from hil.scenario.perform import perform
from hil.scenario.world import World

BOARDS = """
name: Chance
parameters: {port: 1}
boards:
  beacon:
    program: |
      import bluetooth
      from time import sleep_ms
      ble = bluetooth.BLE()
      ble.active(True)
      ble.gap_advertise(30_000, b"\\x02\\x01\\x06")
      print("ready")
      while True:
          sleep_ms(50)
  board:
    networked: true
    program: |
      import bluetooth, os, socket
      from machine import Pin
      from time import sleep_ms
      heard = []
      ble = bluetooth.BLE()
      ble.active(True)
      ble.irq(lambda event, data: heard.append(1) if event == 5 else None)
      go = Pin(14, Pin.IN, Pin.PULL_UP)

      def started():
          while go.value():
              sleep_ms(2)
          while not go.value():
              sleep_ms(2)

      def wrong():
          with open("/zeros", "rb") as f:
              return [at for at, byte in enumerate(f.read()) if byte]

      def write(number):
          with open("/log", "a") as f:
              f.write("%d\\n" % number)

      if "log" in os.listdir("/"):
          print("written", open("/log").read().split()[-1])
          os.remove("/log")
      with open("/zeros", "wb") as f:
          f.write(bytes(8192))
      print("ready")
      started()
      for _ in range(20):
          try:
              print("wrong", wrong())
          except OSError as e:
              print("wrong", e)
      print("read")
      started()
      s = socket.socket()
      s.connect(socket.getaddrinfo("127.0.0.1", ${port})[0][-1])
      for _ in range(15):
          s.write(b"x" * 100)
          s.read(100)
      ble.gap_scan(0, 30000, 30000)
      while len(heard) < 15:
          sleep_ms(5)
      ble.gap_scan(None)
      print("done")
      started()
      for number in range(60):
          write(number)
"""
STEPS = """
steps:
  - wait-serial: {board: beacon, text: ready}
  - wait-serial: {board: board, text: ready}
  - fault: {bad-blocks: {blocks: [], noise-ppm: 20, board: board}}
  - press: {board: board, time: 20ms}
  - wait-serial: {board: board, text: read}
  - fault: {bad-blocks: {blocks: [], board: board}}
  - fault: {radio-loss: 0.5}
  - fault: {link: {board: board, latency: 1ms, jitter: 4ms, loss: 0.05}}
  - press: {board: board, time: 20ms}
  - wait-serial: {board: board, text: done, within: 30s}
  - fault: {power-cut: {board: board, write: 1, upto: 100, where: within}}
  - press: {board: board, time: 20ms}
  - expect-power: {board: board, state: off}
  - power: {board: board, state: on}
  - wait-serial: {board: board, regex: written \\d+}
  - wait-serial: {board: board, text: ready}
"""


@dataclass
class Drawn:
    """What befell one run."""

    radio: dict[tuple[str, str, str], list[bool]] = field(default_factory=lambda: defaultdict(list))
    link: list[float] = field(default_factory=list)
    console: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def watched(drawn: Drawn, patch: pytest.MonkeyPatch) -> None:
    """Write down what the bench's own dice say, of each packet."""
    lost, arrival = Losses.lost, Way.arrival

    def note_loss(self: Losses, probability: float, sender: str, receiver: str, stream: str) -> bool:
        fate = lost(self, probability, sender, receiver, stream)
        if probability > 0:
            drawn.radio[sender, receiver, stream].append(fate)
        return fate

    def note_time(self: Way, now: float, *rest: Any) -> float:
        at = arrival(self, now, *rest)
        drawn.link.append(round(at - now, 6))
        return at

    patch.setattr(Losses, "lost", note_loss)
    patch.setattr(Way, "arrival", note_time)


async def run(bench: Bench, case: Case, seed: int) -> Drawn:
    drawn = Drawn()
    world = World(bench, case.header, case.path.parent, seed)
    with pytest.MonkeyPatch.context() as patch:
        watched(drawn, patch)
        try:
            await world.start()
            await perform(Scenario(world), case.steps)
            lines = world.unit("board").target.console.text.splitlines()
        finally:
            await world.stop()
    drawn.console = [line for line in lines if line.startswith(("wrong", "written"))]
    return drawn


def same(a: list[bool], b: list[bool]) -> bool:
    """As far as both runs went: how many packets there were is the clock's doing."""
    both = min(len(a), len(b))
    return a[:both] == b[:both]


async def test_a_seed_brings_the_same_faults_about_and_another_one_others(tmp_path: Path) -> None:
    path = tmp_path / "chance.yaml"
    path.write_text(BOARDS + STEPS)
    async with echo() as port, Bench(tmp_path / "bench") as bench:
        (case,) = load(path, {"port": str(port)}).cases
        one, again, other = [await run(bench, case, seed) for seed in (5, 5, 6)]
    heard = ("beacon", "board", "advertising")
    assert len(one.link) >= 30
    assert len(one.radio[heard]) >= 15
    assert any(line not in ("wrong []", one.console[-1]) for line in one.console), "nothing was read wrong"
    assert all(same(fates, again.radio[way]) for way, fates in one.radio.items())
    assert (one.link, one.console) == (again.link, again.console)
    assert not same(one.radio[heard], other.radio[heard])
    assert one.link != other.link
    assert one.console[:-1] != other.console[:-1]
    assert one.console[-1] != other.console[-1], "the power was cut at the same write"


def test_each_draw_is_a_new_one_and_branches_do_not_draw_from_each_other() -> None:
    async def race(first: int) -> dict[int, list[float]]:
        dice, drawn = Dice(3), dict[int, list[float]]()

        async def lane(number: int) -> None:
            branch(number)
            if number != first:
                await asyncio.sleep(0)
            drawn[number] = [dice.for_("delay").random() for _ in range(3)]

        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(lane(number))
        return drawn

    one, other = asyncio.run(race(0)), asyncio.run(race(1))
    assert one == other
    assert len({*one[0], *one[1]}) == 6
