"""Settings of all tests: Hypothesis runs without deadlines, for tests never assert on time."""

from hypothesis import settings

settings.register_profile("latchwork", deadline=None, print_blob=True)
settings.load_profile("latchwork")
