"""Provisioning, and provisioning again, with the power cut at every write: whole, or asked for again."""

import sys

import flash as f

from device import identity, provision
from device.journal_store import JournalStore
from device.policy import ConfigKeeper

BASE = f.MOUNT + "/lw"
BUNDLES = []
for path in sys.argv[1:3]:
    with open(path) as file:
        BUNDLES.append(file.read())


class Counters:
    """Nothing may be counted: a configuration that does not open is a half-written one."""

    def up(self, reason):
        raise AssertionError(reason)


def whole():
    """Everything that a boot needs is there and fits together."""
    me = identity.Identity(BASE)
    config = ConfigKeeper(BASE + "/config", me.config_key, me.device_id, Counters(), me.epoch, None)
    assert config.current.version > 0
    JournalStore(BASE + "/journal", me.begin_boot())


def work(bundle):
    def apply(done):
        provision.apply(bundle, BASE)
        done.append(bundle)

    return apply


def check(done):
    if done:
        assert identity.is_provisioned(BASE)
    if identity.is_provisioned(BASE):
        whole()
    provision.apply(BUNDLES[1], BASE)
    whole()


chip = f.Flash(60)
f.format_and_mount(chip)
f.unplug(chip)
cuts = f.cut_at_every_write(chip, work(BUNDLES[0]), check)
chip.unplugged = False
f.mount(chip)
provision.apply(BUNDLES[0], BASE)
f.unplug(chip)
print("cuts", cuts + f.cut_at_every_write(chip, work(BUNDLES[1]), check))
