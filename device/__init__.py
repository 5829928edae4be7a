"""The firmware of the door controller: everything that is copied to a board, and nothing else."""
