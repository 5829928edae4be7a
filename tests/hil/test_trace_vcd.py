"""The VCD a recording becomes: what a viewer reads back is what the boards did."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.trace import VcdError, VcdWriter, read_vcd
from hil.trace.vcd import REORDER_MAX_CHANGES, REORDER_WINDOW_US
from tests.programs import program


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "door.vcd"


def test_time_zero_is_the_earliest_change(path: Path) -> None:
    with VcdWriter(path) as writer:
        relay = writer.signal("door-1.relay")
        writer.change(relay, 0, 5_000_000)
        writer.change(relay, 1, 5_007_300)
        writer.change(relay, 0, 8_007_300)
    waveforms = read_vcd(path)
    assert waveforms.traces["door-1.relay"].times_us == [0, 7_300, 3_007_300]
    assert waveforms.traces["door-1.relay"].values == ["0", "1", "0"]
    assert waveforms.start_us == 5_000_000


def test_a_given_start_is_time_zero_and_earlier_changes_are_the_first_levels(path: Path) -> None:
    with VcdWriter(path, start_us=1_000) as writer:
        relay = writer.signal("relay")
        writer.change(relay, 1, 400)
        writer.change(relay, 0, 1_500)
    assert read_vcd(path).traces["relay"].times_us == [0, 500]


def test_a_signal_declared_after_changes_is_unknown_until_its_first(path: Path) -> None:
    with VcdWriter(path) as writer:
        writer.change(writer.signal("door-1.relay"), 1, 0)
        writer.change(writer.signal("door-1.relay"), 0, 900_000)
        writer.change(writer.signal("door-2.relay"), 1, 950_000)
    trace = read_vcd(path).traces["door-2.relay"]
    assert (trace.at(949_999), trace.at(950_000)) == ("x", "1")


def test_changes_out_of_order_within_the_window_are_put_in_order(path: Path) -> None:
    with VcdWriter(path, start_us=0) as writer:
        relay, dps = writer.signal("relay"), writer.signal("dps")
        writer.change(relay, 1, 20_000)
        writer.change(dps, 1, 15_000)
        writer.change(relay, 0, 10_000)
    waveforms = read_vcd(path)
    assert waveforms.traces["relay"].times_us == [0, 10_000, 20_000]
    assert waveforms.traces["dps"].times_us == [0, 15_000]


def test_a_change_older_than_the_window_takes_the_last_written_time(path: Path) -> None:
    with VcdWriter(path, start_us=0) as writer:
        relay, dps = writer.signal("relay"), writer.signal("dps")
        writer.change(relay, 1, 100_000)
        writer.change(relay, 0, 100_000 + REORDER_WINDOW_US + 1)
        writer.change(dps, 1, 50_000)
    assert read_vcd(path).traces["dps"].edges("1") == [100_000]


def test_the_reorder_window_is_bounded(path: Path) -> None:
    with VcdWriter(path, start_us=0) as writer:
        relay = writer.signal("relay")
        for count in range(3 * REORDER_MAX_CHANGES):
            writer.change(relay, count % 2, 10)
        assert len(writer._window) <= REORDER_MAX_CHANGES


def test_the_same_value_again_is_not_a_change(path: Path) -> None:
    with VcdWriter(path, start_us=0) as writer:
        relay = writer.signal("relay")
        for t in range(1, 50):
            writer.change(relay, 1, t)
    assert path.read_text().count("#") == 2


def test_end_gives_the_last_level_its_length(path: Path) -> None:
    writer = VcdWriter(path, start_us=0)
    writer.change(writer.signal("relay"), 1, 10)
    writer.close(end_us=2_000)
    writer.close()
    assert read_vcd(path).end_us == 2_000


def test_unknown_high_impedance_and_vectors_are_kept(path: Path) -> None:
    with VcdWriter(path, start_us=0) as writer:
        line, state = writer.signal("line"), writer.signal("state", width=4)
        for t, value in enumerate(["z", None, True, "X", 0], 1):
            writer.change(line, value, t)
        for t, value in enumerate([5, "1xz0", -1], 1):
            writer.change(state, value, t)
    waveforms = read_vcd(path)
    assert waveforms.traces["line"].values == ["x", "z", "x", "1", "x", "0"]
    assert waveforms.traces["state"].values == ["x", "101", "1xz0", "1111"]


@pytest.mark.parametrize("value", [2, -2, "2", "", "10", 1 << 70])
def test_a_value_that_does_not_fit_is_refused(path: Path, value: int | str) -> None:
    with VcdWriter(path) as writer, pytest.raises(VcdError):
        writer.change(writer.signal("relay"), value, 0)


@pytest.mark.parametrize("name", ["", ".", "a..b", " ", "door."])
def test_a_name_without_characters_is_refused(path: Path, name: str) -> None:
    with VcdWriter(path) as writer, pytest.raises(VcdError):
        writer.signal(name)


def test_a_name_is_declared_once_and_only_as_one_thing(path: Path) -> None:
    with VcdWriter(path) as writer:
        assert writer.signal("door 1.relay") is writer.signal("door 1.relay")
        with pytest.raises(VcdError):
            writer.signal("door 1.relay", width=2)
        with pytest.raises(VcdError):
            writer.signal("door_1.relay")


def test_a_hostile_name_cannot_leave_its_declaration(path: Path) -> None:
    with VcdWriter(path) as writer:
        writer.change(writer.signal("$end\n$enddefinitions.rel ay\x00ü"), 1, 0)
        writer.change(writer.signal("dps"), 0, 0)
    assert set(read_vcd(path).traces) == {"dps", "_end__enddefinitions.rel_ay_"}


def test_a_closed_recording_refuses_changes(path: Path) -> None:
    writer = VcdWriter(path)
    relay = writer.signal("relay")
    writer.close()
    with pytest.raises(VcdError):
        writer.change(relay, 1, 0)


def test_an_impossible_timescale_is_refused(path: Path) -> None:
    with pytest.raises(VcdError):
        VcdWriter(path, timescale_us=7)


def test_a_coarser_timescale_keeps_the_times(path: Path) -> None:
    with VcdWriter(path, timescale_us=1000, start_us=0) as writer:
        writer.change(writer.signal("relay"), 1, 12_999)
    assert read_vcd(path).traces["relay"].times_us == [0, 12_000]


def test_identifier_codes_are_unique_and_cannot_be_read_as_a_value(path: Path) -> None:
    with VcdWriter(path) as writer:
        codes = [writer.signal(f"s{i}").code for i in range(8000)]
    assert len(set(codes)) == len(codes)
    assert not [code for code in codes if code[0] in "01xXzZbBrRsS#$"]


@given(text=st.text(max_size=40))
def test_any_string_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("vcd") / "s.vcd"
    with VcdWriter(path, start_us=0) as writer:
        writer.change(writer.signal("step", kind="string"), text, 5)
    expected = text.encode("utf-8", "replace").decode()
    assert read_vcd(path).traces["step"].at(5) == expected


_CHANGES = st.lists(
    st.tuples(st.sampled_from(["a.x", "a.y", "b.x"]), st.sampled_from("01xz"), st.integers(0, 49_999)),
    max_size=60,
)


@settings(deadline=None)
@given(changes=_CHANGES)
def test_what_is_read_is_what_was_recorded_in_order(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str, int]]
) -> None:
    path = tmp_path_factory.mktemp("vcd") / "p.vcd"
    with VcdWriter(path, start_us=0) as writer:
        for name, value, t in changes:
            writer.change(writer.signal(name), value, t)
    waveforms = read_vcd(path)
    for name in {name for name, _, _ in changes}:
        mine = sorted((t, i, value) for i, (n, value, t) in enumerate(changes) if n == name)
        for t in range(0, 50_000, 7_001):
            before = [value for at, _, value in mine if at <= t]
            assert waveforms.traces[name].at(t) == (before[-1] if before else "x")
    times = [int(t) for t in re.findall(r"^#(\d+)$", path.read_text(), re.M)]
    assert times == sorted(set(times))


def test_sigrok_reads_the_levels(path: Path) -> None:
    sigrok = program("sigrok-cli")
    with VcdWriter(path, start_us=0) as writer:
        relay, dps = writer.signal("door-1.relay"), writer.signal("door-1.dps")
        writer.change(writer.signal("step", kind="string"), "Unlock the door", 5)
        for t, signal, value in [(0, relay, 0), (0, dps, 0), (20, relay, 1), (40, dps, 1), (60, relay, 0)]:
            writer.change(signal, value, t * 1000)
        writer.close(100_000)
    done = subprocess.run(
        [sigrok, "-i", str(path), "-I", "vcd:downsample=10000", "-O", "bits:width=64"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    bits = dict(line.replace(" ", "").split(":") for line in done.stdout.splitlines() if ":0" in line)
    assert bits == {"relay": "0011110000", "dps": "0000111111"}
