"""Scenarios: what is done to boards, and what is expected of them, in a YAML file or from Python by the same verbs."""
