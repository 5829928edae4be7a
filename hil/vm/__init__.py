"""Simulated boards: a MicroPython VM per board, and the model it is wired to."""
