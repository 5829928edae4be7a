"""The report of a run: what was done, what was said on which wire, and what the doors did."""

from hil.report.html import render_html
from hil.report.model import Message, Number, Recording, Report, Step, write_json

__all__ = ["Message", "Number", "Recording", "Report", "Step", "render_html", "write_json"]
