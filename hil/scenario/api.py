"""The Python API of scenarios: every step of a YAML file as a method.

    await scenario.ble_unlock("front", expect="granted")
    await scenario.expect_pin("relay", 1, within=0.5)
    await scenario.fault.kill("gateway")

Durations are seconds. What is not as expected raises ``StepFailed``.
"""

from hil.scenario.faults import Faults
from hil.scenario.verb import Verb, verbs_of
from hil.scenario.verbs_cloud import CloudVerbs
from hil.scenario.verbs_door import DoorVerbs
from hil.scenario.world import World


class Scenario(CloudVerbs, DoorVerbs):
    """What is done to a world, and expected of it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.fault = Faults(world)


VERBS: dict[str, Verb] = verbs_of(Scenario)
FAULTS: dict[str, Verb] = verbs_of(Faults, "fault")
