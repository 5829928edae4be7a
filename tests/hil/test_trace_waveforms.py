"""Recordings of other tools, and broken ones: what can be read is read, and nothing ends the reader."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.trace import read_vcd

_FOREIGN = """$date Tue Mar  4 09:26:53 2025 $end
$version
   Another simulator
$end
$timescale
  10ns
$end
$scope module top $end
$scope begin unit $end
$var wire 1 ! clk $end
$var reg 8 " data [7:0] $end
$upscope $end
$var real 64 # volts $end
$var wire 1 ! clk_alias $end
$upscope $end
$enddefinitions $end
#0
$dumpvars
0!
bxxxxxxxx "
r0 #
$end
#100
1!
b10100101 "
R1.25 #
#50
0!
#300
$dumpoff x! bx " $end
p0 0 6 !
1unknown
#400
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.vcd"
    path.write_text(_FOREIGN)
    return path


def test_scopes_ranges_aliases_reals_and_units_are_understood(foreign: Path) -> None:
    waveforms = read_vcd(foreign)
    assert list(waveforms.traces) == ["top.unit.clk", "top.unit.data", "top.volts", "top.clk_alias"]
    assert waveforms.traces["top.unit.data"].values[1] == "10100101"
    assert waveforms.traces["top.volts"].values == ["0", "1.25"]
    assert waveforms.traces["top.clk_alias"].values == waveforms.traces["top.unit.clk"].values
    assert waveforms.end_us == pytest.approx(4.0)


def test_a_time_that_runs_back_is_held(foreign: Path) -> None:
    assert read_vcd(foreign).traces["top.unit.clk"].times_us == pytest.approx([0, 1, 1, 3])


def test_a_file_cut_anywhere_is_read_as_far_as_it_goes(foreign: Path) -> None:
    for length in range(len(_FOREIGN)):
        foreign.write_text(_FOREIGN[:length])
        read_vcd(foreign)


def test_numbers_beyond_reason_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "huge.vcd"
    nines = "9" * 5000
    path.write_text(f"$timescale {nines} s $end $var wire {nines} ! a $end #{nines} 1! #7 0!")
    assert read_vcd(path).traces["a"].values == ["1", "0"]


@given(junk=st.lists(st.sampled_from(_FOREIGN.split()) | st.text(max_size=6), max_size=60))
def test_no_file_ends_the_reader(tmp_path_factory: pytest.TempPathFactory, junk: list[str]) -> None:
    path = tmp_path_factory.mktemp("vcd") / "junk.vcd"
    path.write_bytes(" ".join(junk).encode("utf-8", "surrogatepass"))
    for trace in read_vcd(path).traces.values():
        assert trace.times_us == sorted(trace.times_us)
