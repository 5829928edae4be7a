"""/v1/gateways: enrolment by certificate request; the gateway keeps its private keys to itself."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.authority import BadRequestError, server_name
from cloud_api.clock import from_ms
from cloud_api.db.models import Event, Gateway, Site
from cloud_api.device_config import configuration_changed
from cloud_api.events import add_cloud_event
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.problems import Location, Problem
from cloud_api.registry import build_registry
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.devices import BrokerOut
from cloud_api.routes.schemas import Body, GatewayPath, SiteId
from protocol.host.cloud_messages import Registry
from protocol.topics import shard_of

router = resource_router("gateways")

Csr = Annotated[str, Field(max_length=8192, description="PKCS #10 request, PEM, P-256.")]


class GatewayIn(Body):
    """An enrolment."""

    site_id: SiteId
    host: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9.:-]{1,255}$", description="Where devices find the site broker.")
    ]
    port: Annotated[int, Field(ge=1, le=65535)]
    client_csr: Csr
    broker_csr: Csr
    backup_broker_pin: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="SPKI SHA-256 of the spare key.")
    ]


class GatewayEnrolled(BaseModel):
    """What a gateway needs to start."""

    gateway_id: str
    site_id: str
    shard: int
    ca: str = Field(description="PEM.")
    client_certificate: str = Field(description="PEM; at the cloud broker.")
    broker_certificate: str = Field(description="PEM; of the site broker.")
    cloud_broker: BrokerOut
    registry: dict[str, Any]


class GatewayOut(BaseModel):
    """A gateway."""

    id: str = Field(examples=["gw_a87ff679a2f3e71d"])
    site_id: str
    status: str = Field(examples=["active"], description="`active` or `retired`.")
    host: str
    port: int
    last_seen_at: datetime | None
    created_at: datetime


def _show(row: Gateway) -> GatewayOut:
    return GatewayOut(
        id=row.id,
        site_id=row.site_id,
        status=row.status,
        host=row.host,
        port=row.port,
        last_seen_at=from_ms(row.last_seen_at) if row.last_seen_at else None,
        created_at=from_ms(row.created_at),
    )


@router.post("/gateways", status_code=201)
async def enrol_gateway(
    body: GatewayIn, cloud: CloudDep, caller: Caller, response: Response
) -> GatewayEnrolled:
    """Enrol the gateway of a site. A site has one active gateway: retire the old one first."""
    who = identity("gw", caller)
    try:
        client = cloud.authority.sign_client(body.client_csr, who["id"])
        broker = cloud.authority.sign_server(body.broker_csr, body.host)
    except BadRequestError as error:
        place = Location(pointer=f"/body/{error.field}", detail=str(error))
        raise Problem(
            422, "invalid_request", "The certificate request cannot be signed.", errors=[place]
        ) from None
    if broker.pin == body.backup_broker_pin:
        place = Location(
            pointer="/body/backup_broker_pin", detail="must be the pin of another key than broker_csr"
        )
        raise Problem(422, "invalid_request", "Two pins of one key are no backup.", errors=[place])

    def work(session: Session) -> tuple[Registry, Event]:
        own(session, Site, body.site_id, caller)
        active = select(Gateway.id).where(Gateway.site_id == body.site_id, Gateway.status == "active")
        if session.scalar(active) is not None:
            raise Problem(409, "site_has_gateway", "The site has a gateway: retire it first.")
        row = Gateway(
            **who,
            site_id=body.site_id,
            status="active",
            pin=client.pin,
            host=body.host,
            port=body.port,
            broker_pin=broker.pin,
            backup_broker_pin=body.backup_broker_pin,
            audit_seq=0,
        )
        session.add(row)
        # The devices know the old broker's two keys: the new one goes on with the backup, and brings the next pair.
        configuration_changed(session, site_ids=[body.site_id])
        facts = {"gateway_id": row.id, "by": caller.token_id}
        event = add_cloud_event(
            session, caller.organisation_id, "gateway_enrolled", site_id=body.site_id, data=facts
        )
        return build_registry(session, body.site_id), event

    registry, event = await cloud.db.write(work, durable=True)
    cloud.hub.publish([event])
    response.headers["Location"] = f"/v1/gateways/{who['id']}"
    return GatewayEnrolled(
        gateway_id=who["id"],
        site_id=body.site_id,
        shard=shard_of(body.site_id),
        ca=cloud.authority.ca_pem,
        client_certificate=client.pem,
        broker_certificate=broker.pem,
        cloud_broker=BrokerOut(
            host=cloud.settings.host,
            port=cloud.settings.mqtt_port,
            server_name=server_name(cloud.settings.host),
            pins=cloud.authority.broker_pins,
        ),
        registry=registry.model_dump(mode="json"),
    )


@router.get("/gateways")
async def list_gateways(
    cloud: CloudDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[GatewayOut]:
    """List gateways, oldest first."""
    mine = select(Gateway).where(Gateway.organisation_id == caller.organisation_id)
    return await cloud.db.read(lambda session: fetch_page(session, mine, Gateway.ord, limit, cursor, _show))


@router.get("/gateways/{id}")
async def get_gateway(gateway_id: GatewayPath, cloud: CloudDep, caller: Caller) -> GatewayOut:
    """Read a gateway."""
    return await cloud.db.read(lambda session: _show(own(session, Gateway, gateway_id, caller)))


@router.post("/gateways/{id}/retire")
async def retire_gateway(gateway_id: GatewayPath, cloud: CloudDep, caller: Caller) -> GatewayOut:
    """Retire a gateway: its session at our broker is cut, and it is admitted no more."""

    def work(session: Session) -> tuple[GatewayOut, list[Event]]:
        row = own(session, Gateway, gateway_id, caller)
        if row.status == "retired":
            return _show(row), []
        row.status = "retired"
        facts = {"gateway_id": row.id, "by": caller.token_id}
        event = add_cloud_event(
            session, caller.organisation_id, "gateway_retired", site_id=row.site_id, data=facts
        )
        return _show(row), [event]

    gateway, events = await cloud.db.write(work, durable=True)
    cloud.hub.publish(events)
    await cloud.doorkeeper.kick(gateway_id)
    return gateway
