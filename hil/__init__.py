"""The bench: simulated boards, radio, faults, traces and the demo. Nothing imports it."""
