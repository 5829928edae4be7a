"""One running cloud: store, broker with its admission, workers, HTTPS. Made, watched and stopped in that
order.

Everything runs in this process except nats-server, which dies with it (parent-death signal). Killing the
process at any moment is safe: what was acknowledged is on disk, what was not comes again, and no command is
ever published twice.
"""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from cloud_api import commands, device_config, presence, time_zones
from cloud_api.app import create_app
from cloud_api.attempts import Waiters
from cloud_api.auth import Tokens
from cloud_api.authority import LOCALHOST, Authority
from cloud_api.db.database import open_database
from cloud_api.db.migrate import migrate
from cloud_api.doorkeeper import Doorkeeper
from cloud_api.drops import Drops
from cloud_api.fleet import Fleet
from cloud_api.idempotency import purge
from cloud_api.ingest import Ingest
from cloud_api.installation import open_folder
from cloud_api.journals import Journals
from cloud_api.listener import Https, bind
from cloud_api.metrics import Metrics
from cloud_api.mqtt import Link
from cloud_api.renewal import renew_certificates
from cloud_api.secrets import Vault, read_kek
from cloud_api.services import Cloud
from cloud_api.settings import Folder, Settings
from cloud_api.standing import Standing
from cloud_api.stream import Hub
from cloud_api.transfers import Transfers
from protocol.host.admission import Admission
from protocol.host.broker import BrokerError, BrokerFiles, NatsBroker
from protocol.host.cloud_messages import MAX_REGISTRY
from protocol.host.nats_claims import new_issuer
from protocol.host.pins import client_context
from protocol.host.ports import free_port

log = structlog.get_logger(__name__)

STREAMS_DEADLINE_S = 2.0
HOUSEKEEPING_S = 3600.0
BROKER_PAYLOAD = MAX_REGISTRY  # the largest of all messages
BROKER_BACK_OFF_S = (0.5, 10.0)
WORKER_PAUSE_S = 1.0


@dataclass(frozen=True)
class Addresses:
    """Where a running cloud listens."""

    host: str
    http_port: int
    mqtt_port: int

    def describe(self) -> dict[str, object]:
        """The readiness line."""
        return {
            "ready": True,
            "url": f"https://{self.host}:{self.http_port}",
            "http_port": self.http_port,
            "mqtt_host": self.host,
            "mqtt_port": self.mqtt_port,
        }


@dataclass(frozen=True)
class Options:
    """What the command line chooses; a port of 0 is the one of the last start, or a free one."""

    bind: str | None = None
    http_port: int = 0
    mqtt_port: int = 0


def prepare(root: Path, options: Options) -> tuple[Folder, Settings]:
    """Choose the ports, remember them, and bring the database up to date."""
    folder = open_folder(root)
    settings = folder.load()
    settings.bind = options.bind or settings.bind
    settings.http_port = options.http_port or settings.http_port or free_port(settings.bind)
    settings.mqtt_port = options.mqtt_port or settings.mqtt_port or free_port(settings.bind)
    folder.save(settings)
    revision = migrate(folder.database_url(settings))
    log.info("database_ready", revision=revision)
    return folder, settings


@asynccontextmanager
async def running(folder: Folder, settings: Settings) -> AsyncIterator[tuple[Cloud, asyncio.Task[None]]]:
    """Store, broker and the task of all workers; on leaving, all of them are stopped."""
    authority = Authority(folder)
    vault = Vault(read_kek(folder.kek))
    metrics = Metrics()
    hub = Hub(metrics)
    async with AsyncExitStack() as stack:
        db = open_database(folder.database_url(settings))
        stack.push_async_callback(db.close)
        doorkeeper = Doorkeeper(db, hub, metrics, authority.client_pin)
        cloud = Cloud(
            settings=settings,
            db=db,
            vault=vault,
            authority=authority,
            tokens=Tokens(db),
            fleet=Fleet(db, vault),
            link=Link(metrics),
            hub=hub,
            waiters=Waiters(),
            metrics=metrics,
            doorkeeper=doorkeeper,
        )
        stack.push_async_callback(cloud.drain)
        await presence.nobody_yet(cloud)
        seed, public = new_issuer()
        broker = _broker(folder, settings, authority, public)
        await broker.start()
        stack.push_async_callback(broker.stop)
        admission = doorkeeper.guard(broker, seed, cloud.link.connected)
        workers = asyncio.create_task(_work(cloud, folder, broker, admission))
        stack.push_async_callback(_cancel, workers)
        await _until_connected(cloud, workers)
        yield cloud, workers


def _broker(folder: Folder, settings: Settings, authority: Authority, issuer: str) -> NatsBroker:
    pair = authority.broker
    return NatsBroker(
        folder.broker_run,
        server_name="latchwork-cloud",
        auth_issuer=issuer,
        files=BrokerFiles(certificate=pair.certificate, key=pair.key, ca=folder.ca),
        mqtt_host=settings.bind,
        mqtt_port=settings.mqtt_port,
        max_payload=BROKER_PAYLOAD,
    )


async def _until_connected(cloud: Cloud, workers: asyncio.Task[None]) -> None:
    """Wait for our own client; a worker that fails meanwhile ends the wait."""
    connected = asyncio.create_task(cloud.link.connected.wait())
    await asyncio.wait([connected, workers], return_when=asyncio.FIRST_COMPLETED)
    connected.cancel()
    if workers.done():
        await workers


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _work(cloud: Cloud, folder: Folder, broker: NatsBroker, admission: Admission) -> None:
    drops = Drops(cloud.metrics)
    standing = Standing(cloud, drops)
    journals = Journals(cloud, drops)
    transfers = Transfers(cloud, drops)
    ingest = Ingest(cloud, drops, standing, journals, transfers)
    pair = cloud.authority.client
    context = client_context(
        cloud.authority.ca_pem, str(pair.certificate), str(pair.key), cloud.authority.broker_pins
    )

    async def on_connected() -> None:
        cloud.converge.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(admission.run())
        group.create_task(_keep_broker(broker, admission))
        group.create_task(
            cloud.link.run(
                LOCALHOST, broker.mqtt_port, context, ingest.on_message, on_connected, admission.ready
            )
        )
        for name, work in (
            ("ingest", ingest.run),
            ("standing", standing.run),
            ("journals", journals.run),
            ("transfers", transfers.run),
            ("expire", lambda: commands.expire(cloud)),
            ("converge", lambda: device_config.converge(cloud)),
            ("offer_files", lambda: device_config.offer_files(cloud)),
            ("time_zones", lambda: time_zones.follow(cloud)),
            ("audit", cloud.doorkeeper.audit),
            ("presence", lambda: presence.follow(cloud)),
            ("housekeeping", lambda: _housekeeping(cloud)),
        ):
            group.create_task(_keep_worker(cloud, name, work), name=name)


async def _keep_worker(cloud: Cloud, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Start a worker again when it fails: one bad message or a locked database must not silence a site for
    good.
    """
    while True:
        try:
            await work()
        except Exception:
            cloud.metrics.worker_errors.labels(name).inc()
            log.exception("worker_failed", worker=name)
        await asyncio.sleep(WORKER_PAUSE_S)


async def _keep_broker(broker: NatsBroker, admission: Admission) -> None:
    pause = BROKER_BACK_OFF_S[0]
    while True:
        status = await broker.wait_exit()
        log.error("broker_ended", status=status, tail=broker.log_tail[-5:])
        await asyncio.sleep(pause)
        try:
            await broker.start()
            admission.retry_now()
            pause = BROKER_BACK_OFF_S[0]
        except (BrokerError, OSError) as error:  # its port is taken, the disk is full: that may pass
            log.error("broker_not_started", error=str(error))
            pause = min(pause * 2, BROKER_BACK_OFF_S[1])


async def _housekeeping(cloud: Cloud) -> None:
    while True:
        await cloud.db.write(purge)
        await renew_certificates(cloud)
        await asyncio.sleep(HOUSEKEEPING_S)


async def serve(root: Path, options: Options, on_ready: Callable[[Addresses], None]) -> None:
    """Serve until SIGTERM or SIGINT."""
    folder, settings = await asyncio.to_thread(prepare, root, options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listener = bind(settings.bind, settings.http_port)
    async with running(folder, settings) as (cloud, workers):
        https = Https(create_app(cloud), listener, cloud.authority.https)
        serving = asyncio.create_task(https.serve())
        # What was made until now stays for ever: looking through it again would stop every unlock for 0.1 s.
        gc.collect()
        gc.freeze()
        on_ready(Addresses(settings.host, settings.http_port, settings.mqtt_port))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping, workers], return_when=asyncio.FIRST_COMPLETED)
        await cloud.hub.close(STREAMS_DEADLINE_S)
        await https.close(serving)
        if workers.done():
            await (
                workers
            )  # an API that hears no site any more must not look alive: whoever started us starts us anew
        log.info("stopped")
