"""``latchwork scenario run``: its exit codes, what it tells of a failure, what it writes, and that nothing outlives it."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml
from typer.testing import CliRunner

from hil.cli import app
from hil.report import Message, Step
from hil.report.model import NOT_REACHED
from hil.scenario.outcome import Outcome, story
from hil.trace import read_vcd
from tests.programs import program
from tests.system.processes import descendants, gone

LATCHWORK = str(Path(sys.executable).with_name("latchwork"))
DEADLINE_S = 90
# A board without firmware: these are about the runner, and a board starts in a moment.
LAMP = """
name: Lamp
boards:
  lamp:
    program: |
      import time
      from machine import Pin
      led, button = Pin(2, Pin.OUT, value=0), Pin(14, Pin.IN, Pin.PULL_UP)
      print("ready")
      while True:
          led.value(not button.value())
          time.sleep_ms(2)
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str


def scenario(folder: Path, steps: str, head: str = LAMP, name: str = "lamp.yaml") -> Path:
    path = folder / name
    path.write_text(f"{head}steps:\n{textwrap.indent(textwrap.dedent(steps), '  ')}\n")
    return path


def latchwork(*arguments: object) -> Ran:
    """In this process: starting the command costs more than a scenario does."""
    done = CliRunner().invoke(app, ["scenario", *map(str, arguments)])
    return Ran(done.exit_code, done.stdout, done.stderr)


LIT = """
- wait-serial: ready
- press: {button: rex, time: 0}
- expect-pin: {part: led, value: 1, within: 5s}
"""
DARK = "- wait-serial: ready\n- expect-pin: {part: led, value: 1, within: 50ms}"


def test_what_passes_writes_junit_html_and_waveforms(tmp_path: Path) -> None:
    path = scenario(tmp_path, LIT, LAMP + "parameters: {a: 1}\nmatrix: {a: [1, 2]}\n")
    junit, html, vcd = tmp_path / "out" / "j.xml", tmp_path / "r.html", tmp_path / "r.vcd"
    ran = latchwork("run", path, "--junit", junit, "--html", html, "--vcd", vcd, "--seed", 5)
    assert ran.code == 0, ran.out + ran.err
    assert "2 passed, 0 failed" in ran.out
    (suite,) = JUnitXml.fromfile(str(junit))
    assert (suite.tests, suite.failures, suite.errors) == (2, 0, 0)
    assert [case.name for case in suite] == ["Lamp (a=1)", "Lamp (a=2)"]
    seeds = ElementTree.parse(junit).findall(".//testcase/properties/property[@name='seed']")
    assert [found.get("value") for found in seeds] == ["5", "5"]
    led = read_vcd(vcd).traces["lamp.led"]
    assert len(led.edges("1")) == 2
    page = html.read_text()
    assert "wait-serial ready" in page
    assert "<svg" in page


def test_sigrok_reads_what_a_board_did(tmp_path: Path) -> None:
    """All of it: its reader ends a recording silently at a record that it does not know."""
    vcd = tmp_path / "r.vcd"
    assert latchwork("run", scenario(tmp_path, LIT), "--vcd", vcd).code == 0
    command = [program("sigrok-cli"), "-i", str(vcd), "-I", "vcd:downsample=100", "-O", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    channels = [name for name, trace in read_vcd(vcd).traces.items() if trace.kind == "wire"]
    rows = [line.split(",") for line in done.stdout.splitlines() if line[:1] in "01"]
    assert {row[channels.index("lamp.led")] for row in rows} == {"0", "1"}


def test_a_failure_tells_what_was_expected_and_seen_the_console_and_how_to_see_it_again(
    tmp_path: Path,
) -> None:
    path, junit = scenario(tmp_path, DARK), tmp_path / "j.xml"
    ran = latchwork("run", path, "--junit", junit, "--seed", 77)
    assert ran.code == 1
    for told in (
        "FAILED   Lamp",
        f"line {path.read_text().splitlines().index('  - expect-pin: {part: led, value: 1, within: 50ms}') + 1}:",
        "expected  led.level = 1 within 50ms",
        "saw       0 all the time",
        "console of lamp, its end:\n    | ready\n  seed 77",  # and nothing of how the program got there
        f"latchwork scenario run {path} --seed 77",
    ):
        assert told in ran.out
    (suite,) = JUnitXml.fromfile(str(junit))
    assert suite.failures == 1
    (case,) = suite
    assert "saw 0 all the time" in case.result[0].message
    assert "ready\n" in case.system_out


def test_the_report_of_a_failure_has_its_console_and_how_to_see_it_again(tmp_path: Path) -> None:
    path, html = scenario(tmp_path, DARK), tmp_path / "r.html"
    assert latchwork("run", path, "--html", html, "--seed", 77).code == 1
    page = html.read_text()
    assert "console of lamp</dt><dd><code>ready</code>" in page
    assert f"latchwork scenario run {path} --seed 77" in page


def test_what_the_api_refuses_is_told_with_its_place_and_field(tmp_path: Path) -> None:
    head = "name: Refused\nsite: true\nboards: {lamp: {program: pass}}\n"
    steps = "- api: {path: /v1/users, method: POST, body: {name: ''}}"
    ran = latchwork("run", scenario(tmp_path, steps, head))
    assert ran.code == 1
    assert "  at line 5: api path /v1/users" in ran.out
    assert "saw       422: /body/name: " in ran.out


@pytest.mark.parametrize("state", ["reset", "cycle", "brown-out"])
def test_what_was_printed_before_a_reset_is_not_what_is_waited_for_behind_it(
    tmp_path: Path, state: str
) -> None:
    head = LAMP.replace("import time\n", "import machine, time\n").replace(
        'print("ready")', "print('cause', machine.reset_cause())"
    )
    steps = f"- delay: 50ms\n- power: {state}\n- wait-serial: {{regex: 'cause (\\d)', within: 5s}}\n"
    steps += "- write-serial: \"\\x03\"\n- wait-serial: {regex: 'cause', within: 100ms}"
    ran = latchwork("run", scenario(tmp_path, steps, head))
    assert ran.code == 1, ran.out  # there is no second one
    assert "5/6] ok" in ran.out
    assert "6/6] FAILED" in ran.out


def test_titles_that_a_waveform_file_cannot_tell_apart_run_side_by_side(tmp_path: Path) -> None:
    names = ("門を開く", "窓を開く", "Lamp", "Lamp")
    files = [
        scenario(tmp_path, LIT, LAMP.replace("name: Lamp", f"name: {name}"), f"{number}.yaml")
        for number, name in enumerate(names)
    ]
    html, vcd = tmp_path / "r.html", tmp_path / "r.vcd"
    ran = latchwork("run", *files, "-j", 4, "--html", html, "--vcd", vcd)
    assert ran.code == 0, ran.out
    traces = read_vcd(vcd).traces
    assert [len(traces[f"{scope}.lamp.led"].edges("1")) for scope in ("_", "_-2", "Lamp", "Lamp-2")] == [
        1
    ] * 4
    assert all(f"{name}: lamp" in html.read_text() for name in (*names[:2], "Lamp (2.yaml)", "Lamp (3.yaml)"))


def test_a_time_out_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    path = scenario(tmp_path, "- delay: 1h", LAMP + "timeout: 200ms\n")
    ran = latchwork("run", path)
    assert ran.code == 42
    assert "TIMEOUT  Lamp" in ran.out
    line = path.read_text().splitlines().index("  - delay: 1h") + 1
    assert f"  at line {line}: delay 1h\n  saw       the steps took longer than 200ms" in ran.out
    both = latchwork("run", path, scenario(tmp_path, DARK, name="dark.yaml"))
    assert both.code == 1


def test_mistakes_and_wrong_options_are_told_before_anything_is_run(tmp_path: Path) -> None:
    wrong = scenario(tmp_path, "- expct-pin: {part: led}", name="wrong.yaml")
    right = scenario(tmp_path, LIT)
    for arguments, told in (
        (["run", right, wrong], "did you mean expect-pin?"),
        (["lint", right, wrong], f"{wrong}:{wrong.read_text().count(chr(10))}:5: unknown step expct-pin"),
        (["run", tmp_path / "nowhere.yaml"], "No such file"),
        (["run", right, "--set", "speed=1"], "--set speed: no such parameter"),
        (["run", right, "--set", "speed"], "write NAME=VALUE"),
        (["run", right, "--junit", tmp_path], "Is a directory"),
    ):
        ran = latchwork(*arguments)
        assert (ran.code, told in ran.err, ran.out) == (2, True, ""), ran
    assert latchwork("lint", right).code == 0


def test_a_vm_that_crashes_is_told_and_ends_the_scenario(tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        """
        - wait-serial: ready
        - write-serial: "\\x03"
        - wait-serial: ">>> "
        - write-serial: "print('last words'); import uctypes; uctypes.bytearray_at(8, 8)[0] = 1\\r\\n"
        - delay: 1h
        """,
    )
    ran = latchwork("run", path)
    assert ran.code == 1, ran.out
    assert "the VM of lamp ended by signal 11" in ran.out
    assert "| last words" in ran.out


def test_the_seed_of_the_command_is_stronger_than_that_of_the_file(tmp_path: Path) -> None:
    path = scenario(tmp_path, "- delay: {time: 1ms, upto: 20ms}", LAMP + "seed: 3\n")
    assert "seed 3)" in latchwork("run", path).out
    assert "seed 9)" in latchwork("run", path, "--seed", 9).out


def test_a_full_disk_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    path = scenario(tmp_path, LIT)
    command = f"ulimit -f 8; exec {LATCHWORK} scenario run {path} --html {tmp_path / 'r.html'}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "File too large" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


async def test_nothing_outlives_a_run_that_is_killed_and_two_run_side_by_side(tmp_path: Path) -> None:
    waiting = scenario(tmp_path, "- wait-serial: ready\n- delay: 1h", LAMP + "timeout: 1h\n", "waiting.yaml")
    process = await asyncio.create_subprocess_exec(
        LATCHWORK, "scenario", "run", str(waiting), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while b"wait-serial" not in await asyncio.wait_for(process.stdout.readline(), DEADLINE_S):
        pass
    children = descendants(process.pid)
    assert len(children) >= 2, "a zygote and a VM"
    other = await asyncio.to_thread(latchwork, "run", scenario(tmp_path, DARK))
    assert other.code == 1, other.out
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await gone(children)


@pytest.mark.parametrize("command", ["schema", "list"])
def test_what_is_there_is_told(command: str) -> None:
    ran = latchwork(command)
    assert ran.code == 0
    assert "expect-pin" in ran.out or "unlock_offline.yaml" in ran.out


def test_the_story_of_a_run_is_what_was_said_during_its_cases() -> None:
    def outcome(*spans: tuple[float, float]) -> Outcome:
        steps = [
            Step(name="", title="", ok=True, started_ms=began, duration_ms=took) for began, took in spans
        ]
        steps.append(Step(name="", title="", ok=False, started_ms=0, duration_ms=0, error=NOT_REACHED))
        return Outcome("", Path(), 1, {}, steps=steps)

    said = [
        Message(t_ms=t_ms, source="a", target="b", label="", kind="mqtt") for t_ms in (5, 15, 25, 35, 45, 99)
    ]
    cases = [outcome((10, 5), (16, 10)), outcome((40, 10)), Outcome("", Path(), 1, {})]
    assert [message.t_ms for message in story(said, cases)] == [15, 25, 45]
