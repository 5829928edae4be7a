"""Verbs for the operator's side: the cloud's API, its live stream, its audit log, and what devices tell of themselves."""

import asyncio
import time
from typing import Annotated, Any, Literal

import httpx
from pydantic import Field

from hil.rig.hints import near
from hil.scenario.bench import Json
from hil.scenario.matching import NAME, gist, lacks, matches
from hil.scenario.quantities import Duration, shown
from hil.scenario.verb import StepFailed, rule, verb
from hil.scenario.verbs_board import BoardName
from hil.scenario.verbs_radio import PhoneName, RadioVerbs
from hil.scenario.world import World
from hil.stack.api import complaint

EVENT_S = 15.0
POLL_S = 0.05
MAX_SHOWN = 8  # events in a failure
EventType = Annotated[str, Field(pattern="^[a-z0-9_]{1,64}$", description="Such as `door_forced`.")]
Fields = Annotated[
    dict[str, Any],
    Field(description="What it must have besides: `status: granted`, `data: {cause: brown_out}`."),
]


class CloudVerbs(RadioVerbs):
    """Part of the Python API."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._told: set[str] = set()  # events that a step has waited for

    @verb
    async def api(
        self,
        path: Annotated[
            str,
            Field(
                pattern="^/",
                description="`{front}` is the id of the door, `{front.device}` of its device, `{anna.key}` of the "
                "phone's key, `{site}` of the site, and what an earlier step saved.",
            ),
        ],
        method: Literal["GET", "POST", "PATCH", "DELETE"] = "GET",
        body: Annotated[dict[str, Any] | None, Field(description="The same names stand in it.")] = None,
        status: Annotated[int, Field(ge=100, le=599, description="Absent: any 2xx.")] = 0,
        expect: Annotated[
            dict[str, Any], Field(description="Fields that the answer must have, with the same names.")
        ] = {},  # noqa: B006
        save: Annotated[
            dict[str, str], Field(description="Names for fields of the answer: `user: id`.")
        ] = {},  # noqa: B006
        within: Annotated[Duration, Field(description="Ask again until it is as expected.")] = 0.0,
    ) -> Json:
        """Call the cloud's API as an operator. An attempt that is pending is waited for."""
        ends, wanted = time.monotonic() + within, self._named(expect)
        while True:
            got, answer = await self._called(method, self._named(path), self._named(body))
            wrong = self._unexpected(got, answer, status, wanted)
            if wrong is None:
                break
            if time.monotonic() >= ends:
                raise wrong
            await asyncio.sleep(POLL_S)
        for name, field in save.items():
            if field not in answer:
                raise StepFailed(f"a field {field} to save", f"{', '.join(answer)}")
            self.world.names[name] = str(answer[field])
        return answer

    @verb
    async def cloud_unlock(
        self,
        board: BoardName = None,
        expect: Annotated[
            str, Field(description="`succeeded`, `failed`, `expired`, or the error of one that failed.")
        ] = "succeeded",
    ) -> None:
        """The operator opens a door from the cloud, and hears how it ended."""
        door = self.world.door(board)
        got, attempt = await self._called("POST", f"/v1/doors/{door.door_id}/unlock", None)
        seen = [str(attempt.get("status", got)), str(attempt.get("error"))]
        if expect not in seen:
            raise StepFailed(f"an attempt that {expect}", ", ".join(seen))

    @verb
    async def expect_event(
        self,
        type: EventType,
        board: BoardName = None,
        fields: Fields = {},  # noqa: B006
        within: Duration = EVENT_S,
    ) -> None:
        """An event on the cloud's live stream, once; each is told to one step only."""
        log, wanted = self.world.bench.log, {"type": type, **fields, **self._of(board)}

        def fits(event: Json) -> bool:
            return event["id"] not in self._told and matches(event, wanted)

        try:
            event = await log.wait(fits, within, self.world.first_event)
        except TimeoutError:
            seen = self._of_this_case(log.events[self.world.first_event :])
            raise StepFailed(
                f"an event {gist(wanted)} within {shown(within)}", _listed(seen, fields)
            ) from None
        self._told.add(event["id"])

    @verb
    async def expect_audit(
        self,
        type: EventType,
        board: BoardName = None,
        fields: Fields = {},  # noqa: B006
        count: Annotated[int | None, Field(ge=0, description="So many; absent: at least one.")] = None,
        within: Duration = EVENT_S,
    ) -> None:
        """Records in the cloud's audit log, once it holds all that the door has journalled until now."""
        door, wanted = self.world.door(board), {"type": type, **fields}
        ends = time.monotonic() + within
        while True:
            events = await self.world.site.api.events(device_id=door.device_id)
            found = [event for event in events if matches(event, wanted)]
            if found if count is None else len(found) == count and await self._all_there(door.device_id):
                return
            if time.monotonic() >= ends:
                expected = f"{'' if count is None else f'{count} times '}{gist(wanted)} in the audit log"
                raise StepFailed(
                    f"{expected} within {shown(within)}", f"{len(found)}; {_listed(events, fields)}"
                )
            await asyncio.sleep(POLL_S)

    @verb
    async def expect_device(
        self,
        board: BoardName = None,
        fields: Annotated[
            dict[str, Any], Field(description="Of `GET /v1/devices/{id}`: `connected: false`.")
        ] = {"connected": True, "in_sync": True},  # noqa: B006
        within: Duration = 30.0,
    ) -> None:
        """The cloud's view of a board. Without fields: it is connected, and runs its newest configuration."""
        await self.api(f"/v1/devices/{self.world.door(board).device_id}", expect=fields, within=within)

    @verb
    async def give_key(
        self,
        phone: PhoneName = None,
        doors: Annotated[list[str], Field(description="Boards; absent: every door.")] = [],  # noqa: B006
        terms: Annotated[
            dict[str, Any], Field(description="More fields of `POST /v1/keys`: `one_time: true`.")
        ] = {},  # noqa: B006
    ) -> None:
        """Give a phone a key, in place of what it has for these doors. The doors hear nothing of it."""
        names = doors or [unit.name for unit in self.world.units.values() if unit.door]
        await self.world.give_key(self.world.phone(phone).name, names, self._named(terms))

    @verb
    async def revoke_key(self, phone: PhoneName = None) -> None:
        """Revoke the phone's key, and wait until every door of it that is connected knows."""
        who = self.world.phone(phone).name
        if who not in self.world.key_ids:
            raise StepFailed(f"a key of {who}", "none")
        await self._called("POST", f"/v1/keys/{self.world.key_ids[who]}/revoke", None)
        for owner, name in self.world.keys:
            if owner == who:
                await self._told_device(name)

    @verb
    @rule(lambda given: "" if bool(given.pin) != (given.card is not None) else "give either a pin or a card")
    async def give_credential(
        self,
        user: Annotated[str, Field(description="A name; a new user if it is new.")],
        pin: Annotated[str, Field(pattern=r"^(\d{4,8})?$", description="4 to 8 digits.")] = "",
        card: Annotated[int | None, Field(ge=0, le=65535, description="Number of a card of 26 bits.")] = None,
        facility: Annotated[int, Field(ge=0, le=255)] = 1,
        board: BoardName = None,
        terms: Annotated[dict[str, Any], Field(description="More fields of `POST /v1/credentials`.")] = {},  # noqa: B006
    ) -> None:
        """Give a user a PIN or a card, and wait until the door has its new table of users."""
        door = self.world.door(board)
        if f"{user}.user" not in self.world.names:
            made = await self.world.site.api.post("/v1/users", {"name": user})
            self.world.names[f"{user}.user"] = str(made["id"])
        what: Json = {"pin": pin} if pin else {"card": {"bits": 26, "facility": facility, "number": card}}
        body = {"user_id": self.world.names[f"{user}.user"], "door_ids": [door.door_id], **what}
        await self.world.site.api.post("/v1/credentials", body | self._named(terms))
        await self._has_files(door.device_id)

    @verb
    async def policy(
        self,
        fields: Annotated[
            dict[str, Any], Field(description="Fields of `PATCH /v1/doors/{id}`: `open_s: 2`.")
        ],
        board: BoardName = None,
    ) -> None:
        """Change a door's policy, and wait until the door has it."""
        door = self.world.door(board)
        await self.world.site.api.patch(f"/v1/doors/{door.door_id}", self._named(fields))
        await self._told_device(board)

    @verb
    async def update(
        self,
        firmware: Annotated[Literal["good", "broken"], Field(description="`broken` cannot start.")] = "good",
        version: Annotated[int, Field(ge=1, le=0xFFFFFFFF)] = 2,
        trial: Annotated[Duration, Field(ge=2, le=7200, description="In which it proves healthy.")] = 12.0,
        board: BoardName = None,
    ) -> None:
        """Offer a board a signed firmware over the air. How it ends is an event: `update_confirmed`, `update_rolled_back`."""
        if not self.world.header.boards[self.world.unit(board).name].updates:
            raise StepFailed("a board that trusts the vendor", "one that does not: give it updates: true")
        vendor, api = self.world.bench.vendor, self.world.site.api
        data = await asyncio.to_thread(vendor.packed, firmware, version, int(trial))
        made = await api.upload("/v1/packages", data)
        path = f"/v1/devices/{self.world.door(board).device_id}/update"
        await api.post(path, {"package_id": made["id"]})

    async def _told_device(self, board: str | None) -> None:
        device = await self.world.site.api.get(f"/v1/devices/{self.world.door(board).device_id}")
        if device["connected"]:
            await self.expect_device(board)

    async def _has_files(self, device_id: str) -> None:
        ends = time.monotonic() + EVENT_S
        while time.monotonic() < ends:
            device = await self.world.site.api.get(f"/v1/devices/{device_id}")
            files = [file for file in device["files"] if file["kind"] == "users"]
            if files and all(file["version"] == file["reported_version"] for file in files):
                return
            await asyncio.sleep(POLL_S)
        raise StepFailed(f"the table of users at the door within {shown(EVENT_S)}", "an older one, or none")

    async def _all_there(self, device_id: str) -> bool:
        device = await self.world.site.api.get(f"/v1/devices/{device_id}")
        return bool(device["verified_seq"] >= (device["journal_seq"] or 0))

    async def _called(self, method: str, path: str, body: Json | None) -> tuple[int, Json]:
        """Status and answer; of an attempt, once it has ended."""
        api = self.world.site.api
        try:
            status, answer = await api.call(method, path, body)
        except httpx.TransportError as error:
            raise StepFailed(
                f"an answer to {method} {path}", f"{type(error).__name__} {error}".strip()
            ) from None
        if status == 202 and answer.get("status") == "pending":
            answer = await api.finished(answer)
        return status, answer

    @staticmethod
    def _unexpected(got: int, answer: Json, status: int, expect: Json) -> StepFailed | None:
        if got != status and (status or got >= 300):
            return StepFailed(f"status {status or '2xx'}", f"{got}: {complaint(answer)}")
        missing = lacks(answer, expect)
        return StepFailed(gist(expect), gist(missing)) if missing else None

    def _of(self, board: str | None) -> Json:
        """Events of whoever is meant: of every board of the case if there is one only."""
        unit = self.world.unit(board)
        return {"device_id": unit.door.device_id} if unit.door is not None else {}

    def _of_this_case(self, events: list[Json]) -> list[Json]:
        mine = {unit.door.device_id for unit in self.world.units.values() if unit.door}
        return [event for event in events if event["device_id"] in mine]

    def _named(self, value: Any) -> Any:
        """With the names in it replaced; raises StepFailed."""
        if isinstance(value, dict):
            return {key: self._named(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._named(item) for item in value]
        return NAME.sub(lambda match: self._name(match[1]), value) if isinstance(value, str) else value

    def _name(self, name: str) -> str:
        if name not in self.world.names:
            raise StepFailed(f"a name {name}", f"none{near(name, self.world.names)}")
        return self.world.names[name]


def _listed(events: list[Json], wanted: Json) -> str:
    """The last ones, by what is asked of them."""
    keys = dict.fromkeys(["type", "status", *wanted])
    shown_ones = [gist({key: event[key] for key in keys if event.get(key)}) for event in events]
    more = f"{len(shown_ones) - MAX_SHOWN} more, then " if len(shown_ones) > MAX_SHOWN else ""
    return more + ("; ".join(shown_ones[-MAX_SHOWN:]) or "no event")
