"""Programs of the system that some tests need: there, or a skip; where CI=true, there or a failure."""

import os
import shutil

import pytest

PACKAGES = {
    "mosquitto": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
    "mosquitto_pub": "mosquitto-clients",
    "sigrok-cli": "sigrok-cli",
    "chromium": "chromium",
}


def program(name: str) -> str:
    """Path of a program."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is missing: install the package {PACKAGES[name]}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
