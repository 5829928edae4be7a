"""The HTTP application: routes, problems, OpenAPI."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from cloud_api import problems
from cloud_api.edge import Edge
from cloud_api.problems import ProblemDocument
from cloud_api.routes import (
    action_attempts,
    credentials,
    devices,
    doors,
    events,
    gateways,
    health,
    keys,
    organisations,
    packages,
    revocations,
    schedules,
    sites,
    stream,
    tokens,
    users,
)
from cloud_api.services import Cloud

DESCRIPTION = """
Door access: sites, doors, devices, users, keys, PINs and cards, remote unlock, firmware and the audit log.

* **Authentication**: `Authorization: Bearer lw_…`. A token belongs to one organisation; what belongs to
another one is `404`.
* **Errors**: every refusal is `application/problem+json` (RFC 9457) of one shape; switch on its `code`.
* **Retries**: send an `Idempotency-Key` with a POST; the same key and body get the same answer for a day.
* **Lists**: cursor pages; pass `next_cursor` back as `cursor`.
* **Commands**: an unlock answers an *action attempt*; it succeeds only when the device has proved it.
* **Live events**: WebSocket `/v1/stream?after=<event id>`; nothing is missed over a reconnect.
"""

_ROUTERS = (
    organisations,
    sites,
    doors,
    devices,
    gateways,
    users,
    keys,
    credentials,
    packages,
    revocations,
    schedules,
    events,
    action_attempts,
    tokens,
    stream,
)


def _operation_id(route: APIRoute) -> str:
    return route.name


class Api(FastAPI):
    """FastAPI, whose OpenAPI document also holds the problem shape that all operations refer to."""

    def openapi(self) -> dict[str, Any]:
        """The document; built once."""
        if self.openapi_schema is None:
            document = super().openapi()
            schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"] |= {**schema.pop("$defs"), "ProblemDocument": schema}
        return super().openapi()


def create_app(cloud: Cloud) -> FastAPI:
    """The application of one cloud."""
    app = Api(
        title="Latchwork",
        version="1",
        description=DESCRIPTION,
        docs_url=None,  # Swagger's page loads its scripts from a CDN
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    app.state.cloud = cloud
    problems.install(app)
    app.add_middleware(Edge, metrics=cloud.metrics)
    for module in _ROUTERS:
        app.include_router(module.router)
    app.include_router(health.router)
    return app
