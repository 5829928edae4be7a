"""Verbs for what is on the air: where boards and phones are, and unlocking over Bluetooth."""

import asyncio
import time
from typing import Annotated, Literal

from pydantic import Field

from hil.phone import DoorAnswerForged, DoorHungUp, DoorKey, DoorNotFound, DoorTimeout, Phone, PhoneError
from hil.rig import Position, Unwired
from hil.rig.hints import near
from hil.scenario.quantities import Duration
from hil.scenario.verb import StepFailed, verb
from hil.scenario.verbs_board import BoardName, BoardVerbs
from protocol.access import STATUS_NAMES
from protocol.handshake import ACTION_STATUS, ACTION_UNLOCK

FAILURES: dict[type[PhoneError], str] = {
    DoorNotFound: "not_found",
    DoorTimeout: "no_answer",
    DoorHungUp: "hung_up",
    DoorAnswerForged: "forged",
}
ANSWERS = (*STATUS_NAMES.values(), *FAILURES.values())
UNLOCK_S = 10.0
MIN_UNLOCK_S, AGAIN_S = 0.5, 0.1
PhoneName = Annotated[str | None, Field(description="Absent: the first.")]
Answer = Annotated[str, Field(json_schema_extra={"enum": sorted(ANSWERS)})]


class RadioVerbs(BoardVerbs):
    """Part of the Python API."""

    @verb
    async def place(
        self,
        what: Annotated[str, Field(description="A phone or a board.")],
        x: Annotated[float, Field(description="Metres.")],
        y: float,
        z: float = 1.0,
    ) -> None:
        """Carry a phone or a board somewhere."""
        if what in self.world.phones:
            self.world.phones[what].adapter.place(Position(x, y, z))
            return
        if what not in self.world.units:
            known = [*self.world.phones, *self.world.units]
            raise StepFailed(f"a phone or a board {what}", f"neither{near(what, known)}")
        try:
            self.world.units[what].target.radio.place(Position(x, y, z))
        except Unwired as error:
            raise StepFailed("a radio", str(error)) from None

    @verb
    async def ble_unlock(
        self,
        board: BoardName = None,
        phone: PhoneName = None,
        expect: Annotated[Answer, Field(description="The door's answer, or why there is none.")] = "granted",
        action: Annotated[
            Literal["unlock", "status"], Field(description="`status` asks and opens nothing.")
        ] = "unlock",
        within: Duration = UNLOCK_S,
    ) -> None:
        """A phone walks up to a door and proves its key, with no network."""
        who, door = self.world.phone(phone), self.world.unit(board).name
        if (who.name, door) not in self.world.keys:
            raise StepFailed(f"a key of {who.name} for {door}", "none: name the door under the phone's keys")
        key = DoorKey.parse(self.world.keys[who.name, door])
        code = ACTION_UNLOCK if action == "unlock" else ACTION_STATUS
        seen = await self._asked(who, door, key, code, within)
        if seen != expect:
            raise StepFailed(f"{expect} from {door}", seen)

    async def _asked(self, who: Phone, door: str, key: DoorKey, action: int, within: float) -> str:
        """The door's answer, or the failure's name. A link that ends before the proof is sent is made anew, as apps do."""
        scribe = self.world.bench.scribe
        ends = time.monotonic() + within
        while True:
            began = time.monotonic()
            try:
                result = await who.unlock(key, max(ends - began, MIN_UNLOCK_S), action)
            except PhoneError as error:
                scribe.said(who.name, door, str(error), "ble", outcome="lost")
                again = isinstance(error, DoorHungUp) and not error.may_have_opened
                if again and time.monotonic() < ends:
                    await asyncio.sleep(AGAIN_S)
                    continue
                return FAILURES[type(error)]
            scribe.unlocked(who.name, door, began, result)
            return result.status
