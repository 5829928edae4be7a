"""The pytest plugin in a project of somebody else: its fixtures, its failures, and what it costs who does not use it."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

DEADLINE_S = 110

BOARDS = """
    import re
    import pytest

    BLINK = '''
    import time
    from machine import Pin
    led, button = Pin(2, Pin.OUT), Pin(14, Pin.IN, Pin.PULL_UP)
    print("up 42")
    while True:
        led.value(not button.value())
        time.sleep_ms(2)
    '''

    def test_a_board_is_at_its_prompt(dut):
        dut.write("print(6 * 7)")
        assert dut.expect(r"\\n(\\d+)")[1] == "42"
        dut.write("import sys; print('plat', sys.platform)")
        assert dut.expect_exact(["nothing", "plat esp32"]) == "plat esp32"
        dut.write(b"print('a1', 'b2')\\r")
        a, b = dut.expect([re.compile("A(1)", re.I), rb"b(2)"], expect_all=True)[:2]
        with pytest.raises(Exception, match="no 'never' on the console in 0.01 s"):
            dut.expect("never", timeout=0.01)
        dut.write("while True: pass\\r\\r")
        dut.write("\\x03")
        dut.expect("KeyboardInterrupt")

    @pytest.mark.flash_image({"main.py": BLINK, "lib/answer.py": "print('imported')"})
    def test_a_program_is_on_its_flash(board, dut, scenario):
        assert dut.expect("up (\\\\d+)").group(1) == "42"
        board.pins.set("rex", "pressed", 1)
        scenario.expect_pin("led", 1, within=5)
        with pytest.raises(Exception, match="expected led.level = 0; saw 1"):
            scenario.expect_pin("led", 0)
        board.power.cycle()
        dut.expect_exact("up 42")
        dut.write("\\x03")
        dut.expect(">>> $")
        dut.write("import answer")
        dut.expect("imported")

    @pytest.mark.board("reader_door", "left")
    @pytest.mark.board("strike_full", "right", at=[3, 0])
    @pytest.mark.latchwork_fault("power-cut", write=1, board="right")
    def test_two_boards_and_a_fault(board, scenario):
        assert board.name == "left"
        scenario.write_serial("import time; time.sleep_ms(50); open('/x', 'w').close()\\r\\n", board="right")
        scenario.expect_power("off", within=10, board="right")
        assert board.power.is_on

    def test_that_fails(dut):
        dut.write("print('last', 'words')")
        dut.expect_exact("last words")
        assert False
"""

DOOR = """
    import pytest
    pytest_plugins = []

    @pytest.mark.board(policy={"open_s": 0.5})
    async def test_a_door_opens(board, dut, phone, site, scenario):
        assert phone.unlock().granted
        board.pins.wait("relay", "contact", 1, 5.0)
        scenario.expect_audit("access_granted", count=1)
        scenario.fault.kill("gateway")
        assert phone.status().status == "granted"
        assert site.api.get(f"/v1/doors/{site.door_id()}")["open_s"] == 0.5

    def test_the_gateway_is_back_for_the_next_test(site, board):
        assert site.api.get(f"/v1/devices/{site.device_id()}")["connected"]
"""


MISUSE = """
    import pytest

    @pytest.mark.board("nosuch")
    def test_description(dut): pass

    @pytest.mark.board("esp32", polcy={})
    def test_field(dut): pass

    @pytest.mark.board("esp32", "a")
    @pytest.mark.board("esp32", name="a")
    def test_name(dut): pass

    @pytest.mark.flash_image("nosuch")
    def test_image(dut): pass

    @pytest.mark.flash_image()
    def test_no_image(dut): pass

    @pytest.mark.flash_image({}, board="back")
    def test_image_of(dut): pass

    @pytest.mark.flash_image(3)
    def test_number(dut): pass

    @pytest.mark.latchwork_fault("power-cot")
    def test_fault(dut): pass

    @pytest.mark.latchwork_fault("power-cut", wrte=1)
    def test_fault_field(dut): pass
"""
TOLD = [
    "board front: no description nosuch; there are esp32",
    "board front: unknown field polcy: did you mean policy?",
    "board: there are two of the name a",
    "flash_image of front: ",
    "flash_image missing 1 required positional argument: 'what'",
    "flash_image: no board back; there are front",
    "flash_image: a map of paths to texts, a folder, a program, or an image, not 3",
    "latchwork_fault: no fault 'power-cot': did you mean power-cut?",
    "latchwork_fault power-cut: got an unexpected keyword argument 'wrte'; it takes write, upto, where, board",
]

FAILURES = r"""
    import pytest

    @pytest.mark.flash_image(what={"main.py": "print('hello')"})
    def test_text(dut):
        dut.expect_exact("hello\r\n")
        dut.expect_exact("never\r\n", timeout=0.01)

    def test_pattern(dut):
        dut.expect("(", timeout=0.01)

    @pytest.mark.board("esp32", name="a")
    @pytest.mark.board("strike_door", name="b")
    def test_step(boards, scenario):
        boards["a"].dut.write("print('of', 'a')")
        assert boards["a"].dut.expect(r"of \w\r\n")
        scenario.expect_pin("nosuch", 1, board="b")
"""


def project(folder: Path, source: str, *options: str, ini: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    (folder / "test_it.py").write_text(textwrap.dedent(source))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--strict-markers", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S)


def test_a_marker_that_asks_for_what_there_is_not_is_told_in_one_line(tmp_path: Path) -> None:
    done = project(tmp_path, MISUSE)
    assert f"{len(TOLD)} errors" in done.stdout, done.stdout + done.stderr
    assert [told for told in TOLD if told not in done.stdout] == []
    assert "Traceback" not in done.stdout
    assert "hil/" not in done.stdout


def test_a_failure_is_shown_in_the_test_and_not_inside_the_bench(tmp_path: Path) -> None:
    done = project(tmp_path, FAILURES)
    assert "3 failed" in done.stdout, done.stdout + done.stderr
    assert r"no 'never\r\n' on the console in 0.01 s" in done.stdout
    assert "'(' is no regular expression" in done.stdout
    assert "expected a pin nosuch.level; saw b has no part nosuch" in done.stdout
    assert "hil/" not in done.stdout
    assert "raw REPL" not in done.stdout


def test_boards_of_another_project(tmp_path: Path) -> None:
    done = project(tmp_path, BOARDS, "--latchwork-seed", "12")
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "console of front" in done.stdout
    assert "last words" in done.stdout.partition("console of front")[2]
    assert "again: --latchwork-seed 12" in done.stdout


def test_doors_of_a_project_whose_tests_are_coroutines(tmp_path: Path) -> None:
    done = project(tmp_path, DOOR, ini="asyncio_mode = auto")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_wrong_marker_is_told(tmp_path: Path) -> None:
    source = """
        import pytest

        @pytest.mark.board("strike_dor")
        def test_no_such_board(board):
            pass

        @pytest.mark.latchwork_fault("power-ct")
        def test_no_such_fault(board):
            pass

        @pytest.mark.flash_image("nowhere.py")
        def test_no_such_file(board):
            pass
    """
    done = project(tmp_path, source)
    assert "3 errors" in done.stdout
    for told in (
        "no description strike_dor: did you mean strike_door?",
        "no fault 'power-ct': did you mean power-cut?",
        "nowhere.py",
    ):
        assert told in done.stdout


def test_who_does_not_use_it_pays_nothing(tmp_path: Path) -> None:
    source = """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.hasplugin("latchwork")
            loaded = [name for name in sys.modules if name.startswith("hil") or name in ("bumble", "pydantic")]
            assert sorted(loaded) == ["hil", "hil.pytest_plugin"]
    """
    done = project(tmp_path, source)
    assert "1 passed" in done.stdout, done.stdout


def test_boards_of_a_project_are_on_the_air_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    source = """
        import json, subprocess, sys

        LOOK = [sys.executable, "-c", "from hil.cli import app; app()", "air", "show", "kitchen", "--json"]

        def test_it(board, dut):
            dut.write("import bluetooth; ble = bluetooth.BLE(); ble.active(True); ble.gap_advertise(20000); 6 * 7")
            dut.expect_exact("\\n42")
            seen = json.loads(subprocess.run(LOOK, capture_output=True, check=True).stdout)
            assert [member["name"] for member in seen["members"]] == [board.name]
            assert [radio["advertising"] for radio in seen["radios"]] == [True]
    """
    done = project(tmp_path, source, "--latchwork-air", "kitchen")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
