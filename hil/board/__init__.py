"""The model of one board: its pins, its door, its console, its memory, and the VM that runs its firmware."""
