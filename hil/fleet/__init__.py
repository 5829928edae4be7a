"""Thousands of boards with the real firmware, each with a certificate of its own, against one site."""
