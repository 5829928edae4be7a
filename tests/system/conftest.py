"""Failures in the shared world are explained like failures in a test."""

import pytest

pytest.register_assert_rewrite("tests.system.whole")
