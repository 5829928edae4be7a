"""/health and /metrics: for load balancers and Prometheus; no token, no tenant data."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import text

from cloud_api.routes.context import CloudDep

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """Whether this instance can do its work."""

    status: str = Field(examples=["ok"], description="`ok` or `degraded`.")
    store: bool
    broker: bool


@router.get("/health")
async def health(cloud: CloudDep, response: Response) -> Health:
    """200 when store and broker answer, else 503."""
    await cloud.db.read(lambda session: session.execute(text("SELECT 1")))
    broker = cloud.link.connected.is_set()
    response.status_code = 200 if broker else 503
    return Health(status="ok" if broker else "degraded", store=True, broker=broker)


@router.get("/metrics", response_class=Response)
async def metrics(cloud: CloudDep) -> Response:
    """Prometheus text format."""
    return Response(cloud.metrics.render(), media_type="text/plain; version=0.0.4")
