"""Boards that stay on the bench: a process of its own for each, commands that reach it by name."""
