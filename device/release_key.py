"""Whose firmware this board takes. A product has its own: `latchwork package key` writes this module."""

PRODUCT = "latchwork-door"
MODULUS = b""  # of the RSA-3072 key, 384 bytes; without one no update is taken
