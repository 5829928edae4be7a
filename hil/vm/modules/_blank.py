"""A module whose table is taken by another: see _micropython."""
