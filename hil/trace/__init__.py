"""Traces: what the bench records of a run, in the formats of the field's own viewers."""

from hil.trace.vcd import Signal, VcdError, VcdWriter, reference
from hil.trace.waveforms import Trace, Waveforms, read_vcd

__all__ = ["Signal", "Trace", "VcdError", "VcdWriter", "Waveforms", "read_vcd", "reference"]
