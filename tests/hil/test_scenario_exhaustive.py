"""The exhaustive mode: a power cut at each write finds what only one of them breaks; and steps in steps."""

from pathlib import Path

import pytest

from tests.hil.test_scenario_run import LAMP, latchwork, scenario

# Two files that must be the same, written when the button is pressed.
PAIR = """
name: A pair of files
boards:
  pair:
    program: |
      import os, time
      from machine import Pin

      def read(name):
          try:
              with open(name) as f:
                  return f.read()
          except OSError:
              return ""

      def write(name, text):
          with open(name, "w") as f:
              f.write(text)

      button = Pin(14, Pin.IN, Pin.PULL_UP)
      print("same" if read("/a") == read("/b") else "torn")
      n = len(read("/a"))
      while True:
          if not button.value():
              n += 1
              {change}
              print("written")
              while not button.value():
                  time.sleep_ms(2)
          time.sleep_ms(2)
exhaustive: {{where: [before, within], limit: {limit}}}
timeout: 60s
"""
STEPS = """
- press: {button: rex, time: 0}
- wait-serial: {text: written, within: 5s}
- release: rex
"""
AFTERWARDS = "afterwards:\n  - release: rex\n  - wait-serial: {regex: '^same', within: 5s}\n"
CARELESS = "write('/a', 'x' * n); write('/b', 'x' * n)"
ONE_FILE = "write('/c', 'x' * n)"


def pair(folder: Path, change: str, limit: int = 60) -> Path:
    return scenario(folder, STEPS, PAIR.format(change=change, limit=limit) + AFTERWARDS, "pair.yaml")


def test_a_cut_between_two_writes_is_found_and_told_with_its_place(tmp_path: Path) -> None:
    ran = latchwork("run", pair(tmp_path, CARELESS))
    assert ran.code == 1, ran.out
    assert "expected  '^same' on the console" in ran.out
    assert "after a power cut before write " in ran.out
    assert "torn" in ran.out


def test_what_a_board_says_before_a_lap_ends_none_of_its_steps(tmp_path: Path) -> None:
    """The button is still held when the board comes back, so that it writes, and says so, before it is released."""
    afterwards = AFTERWARDS.replace("  - release: rex\n", "  - delay: 300ms\n  - release: rex\n")
    path = scenario(tmp_path, STEPS, PAIR.format(change=CARELESS, limit=60) + afterwards, "pair.yaml")
    ran = latchwork("run", path)
    assert ran.code == 1, ran.out
    assert "after a power cut before write " in ran.out


def test_what_withstands_every_cut_passes_and_tells_how_many_they_were(tmp_path: Path) -> None:
    ran = latchwork("run", pair(tmp_path, ONE_FILE))
    assert ran.code == 0, ran.out
    assert "cuts before a write, " in ran.out
    assert "cuts within a write" in ran.out


@pytest.mark.parametrize(
    ("change", "limit", "told"),
    [("pass", 60, "a write to cut the power at"), (ONE_FILE, 1, "at most 1 writes")],
)
def test_steps_that_write_nothing_or_too_much_are_told(
    tmp_path: Path, change: str, limit: int, told: str
) -> None:
    ran = latchwork("run", pair(tmp_path, change, limit))
    assert ran.code == 1
    assert told in ran.out


def test_steps_are_repeated_and_done_at_the_same_time(tmp_path: Path) -> None:
    ran = latchwork(
        "run",
        scenario(
            tmp_path,
            """
            - wait-serial: ready
            - repeat:
                times: 3
                steps:
                  - parallel:
                      - press: {button: rex, time: 50ms}
                      - expect-pin: {part: led, value: 1, within: 5s}
                  - expect-pin: {part: led, value: 0, within: 5s}
            - parallel:
                - delay: 1h
                - expect-pin: {part: led, value: 1, within: 10ms}
            """,
            LAMP,
        ),
    )
    assert ran.code == 1
    assert "ok" in ran.out.splitlines()[2]
    assert "expected  led.level = 1 within 10ms" in ran.out


def test_a_cut_outlives_the_resets_before_its_write(tmp_path: Path) -> None:
    head = """
name: Writes as it starts
boards:
  pair:
    program: |
      with open("/x", "w") as f:
          f.write("1")
      print("wrote")
exhaustive: {where: [before]}
"""
    steps = "- power: reset\n- wait-serial: {text: wrote, within: 5s}\n"
    ran = latchwork("run", scenario(tmp_path, steps, head, "start.yaml"))
    assert ran.code == 0, ran.out
    assert "cuts before a write" in ran.out
