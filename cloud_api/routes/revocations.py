"""/v1/doors/{id}/revocations: what a phone carries to a door that has no network."""

import hashlib
import time
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.security.http import HTTPBase
from pydantic import BaseModel, Field

from cloud_api import carriers
from cloud_api.db.models import Door
from cloud_api.files import File
from cloud_api.fleet import Line
from cloud_api.problems import Problem, not_found
from cloud_api.routes.context import CloudDep, bearer, own, resource_router
from cloud_api.routes.schemas import PROBLEM, DoorPath
from cloud_api.services import Cloud
from protocol.envelope import LABEL_OFFER, seal
from protocol.host.transfers import build_carried_offer

router = resource_router("doors")

_carrier = HTTPBase(
    scheme=carriers.SCHEME,
    scheme_name="Carrier",
    auto_error=False,
    description="A phone's proof that it holds a key of the door: "
    "`Carrier <token>.<caveats>.<unix seconds>.<MAC>`, hex but for the seconds; "
    'MAC = HMAC-SHA256(K, "carry" | door id, 8 bytes | seconds, 4 bytes)[:16], K the key after its caveats.',
)


class CargoOut(BaseModel):
    """What a phone hands to the door as it is; it can open neither part."""

    door_id: str
    sequence: int = Field(
        description="A door that tells a lower revocation sequence, by CHAL or RESULT, lacks this list."
    )
    offer: str = Field(description="Sealed for the door's device.")
    file: str = Field(description="The list, hex; at most 12036 bytes.")


@router.get(
    "/doors/{id}/revocations",
    responses={304: {"description": "The phone has this list already."}, 429: PROBLEM},
    response_model=CargoOut,
    dependencies=[Depends(_carrier), Depends(bearer)],
)
async def get_revocations(
    door_id: DoorPath,
    cloud: CloudDep,
    request: Request,
    response: Response,
    if_none_match: Annotated[str | None, Header(max_length=200)] = None,
) -> CargoOut | Response:
    """The list of what a door must refuse, for a phone that passes by it. Ask with the phone's own key, or an API token.

    `404`: nothing was ever revoked at this door. Ask again with `If-None-Match` before each walk: `304` has no body.
    """
    await _authorise(cloud, request.headers.get("authorization"), door_id)
    line = await cloud.fleet.door(door_id)
    if line is None:
        raise not_found("device of a door")
    if not _may_carry(line, time.monotonic()):
        raise Problem(
            429, "too_many_carriers", "Too many requests for this door's list.", headers={"Retry-After": "1"}
        )
    file = await _list_of(cloud, line.device_id)
    tag = f'"{file.version}-{hashlib.sha256(file.data).hexdigest()[:16]}"'
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    payload = build_carried_offer(line.device_id, file.kind, file.version, file.data)
    offer = seal(line.config_key, LABEL_OFFER, payload)
    return CargoOut(door_id=door_id, sequence=file.version, offer=offer, file=file.data.hex())


async def _authorise(cloud: Cloud, header: str | None, door_id: str) -> None:
    scheme, _, credentials = (header or "").partition(" ")
    if scheme.lower() == carriers.SCHEME.lower():
        proof = carriers.parse_proof(credentials.strip())
        await cloud.db.read(lambda session: carriers.check_proof(session, cloud.vault, door_id, proof))
        return
    caller = await cloud.tokens.from_header(header)
    await cloud.db.read(lambda session: own(session, Door, door_id, caller))


async def _list_of(cloud: Cloud, device_id: str) -> File:
    found = await cloud.db.read(lambda session: carriers.stored(session, device_id))
    if found is not None:
        return found
    return await cloud.db.write(lambda session: carriers.build(session, cloud.vault, device_id))


def _may_carry(line: Line, now: float) -> bool:
    """A token bucket."""
    line.carries = min(carriers.CARRY_BURST, line.carries + (now - line.carried_at) * carriers.CARRY_PER_S)
    line.carried_at = now
    if line.carries < 1:
        return False
    line.carries -= 1
    return True
