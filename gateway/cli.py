"""The command `latchwork-gateway`."""

import asyncio
import contextlib
import gc
import json
import logging
import signal
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from prometheus_client import start_http_server

from gateway.enrolment import EnrolmentError, enrol
from gateway.service import Gateway
from gateway.settings import Folder, NotEnrolled
from protocol.host.broker import BrokerError
from protocol.host.logs import log_json
from protocol.host.pins import client_context
from protocol.host.ports import free_port

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""The gateway of one site.

    It runs the site's MQTT broker for the door controllers, lets in only the devices on the site's registry,
    passes sealed commands and results between them and the cloud, and keeps events until the cloud has them.

    Once, with a token of the cloud's API, the fleet's CA and the pins that `latchwork-cloud init` printed:

    \b
      latchwork-gateway enrol --url https://cloud.example:8443 --site site_… \\
          --ca ca.pem --pin <current> --pin <backup> --host gateway.local --dir ./gateway

    Then, for as long as the site has doors:

    \b
      latchwork-gateway run --dir ./gateway
    """,
)

Json = Annotated[bool, typer.Option("--json", help="Print a line of JSON for a program to read.")]


@app.command("enrol")
def enrol_command(
    url: Annotated[str, typer.Option(help="The cloud's address, e.g. https://cloud.example:8443.")],
    token: Annotated[
        str, typer.Option(envvar="LATCHWORK_TOKEN", help="An API token. Better given in LATCHWORK_TOKEN.")
    ],
    site: Annotated[str, typer.Option(help="The site's id, site_….")],
    directory: Annotated[Path, typer.Option("--dir", help="A folder for the gateway; made if need be.")],
    ca: Annotated[Path, typer.Option(help="The fleet CA's certificate (PEM).", exists=True, dir_okay=False)],
    pin: Annotated[
        list[str], typer.Option(help="A pin of the cloud's HTTPS key. Give two: current and backup.")
    ],
    host: Annotated[
        str, typer.Option(help="The name or address at which devices reach this gateway.")
    ] = "localhost",
    port: Annotated[
        int, typer.Option(help="The site broker's port. 0 takes a free one, and keeps it.", min=0, max=65535)
    ] = 8883,
    as_json: Json = False,
) -> None:
    """Make this gateway's keys, have the cloud certify them, and fill the folder.

    The private keys never leave the folder. A second broker key is made as a backup: devices learn both pins.
    Safe to repeat after a failure.
    """
    log_json()
    ca_text = ca.read_text()
    try:
        context = client_context(ca_text, None, None, pin)
        settings = enrol(
            Folder(directory),
            url=url,
            token=token,
            site_id=site,
            host=host,
            port=port or free_port("0.0.0.0"),  # noqa: S104 - the broker listens there later
            ca=ca_text,
            context=context,
        )
    except (EnrolmentError, ValueError, OSError) as error:
        _fail(str(error))
    if as_json:
        print(json.dumps({"gateway_id": settings.gateway_id, "mqtt": {"host": host, "port": settings.port}}))
    else:
        print(f"enrolled {settings.gateway_id} for {site}; now: latchwork-gateway run --dir {directory}")


@app.command()
def run(
    directory: Annotated[Path, typer.Option("--dir", help="The folder that `enrol` filled.")],
    metrics_port: Annotated[
        int,
        typer.Option(help="Serve Prometheus metrics at 127.0.0.1 on this port; 0: do not.", min=0, max=65535),
    ] = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log the topic and size of every message that passes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve the site until SIGTERM or Ctrl-C. Logs are JSON lines on stderr.

    Nothing needs the cloud to be there: devices are served and events are kept until it is back.
    """
    log_json(level=logging.DEBUG if verbose else logging.INFO)
    try:
        asyncio.run(_serve(Folder(directory), metrics_port, as_json))
    except (NotEnrolled, BrokerError, OSError) as error:
        _fail(str(error))


async def _serve(folder: Folder, metrics_port: int, as_json: bool) -> None:
    gateway = Gateway(folder)
    if metrics_port:
        start_http_server(metrics_port, "127.0.0.1")
    serving = asyncio.create_task(gateway.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    announcing = asyncio.create_task(_announce(gateway, metrics_port, as_json))
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    announcing.cancel()


async def _announce(gateway: Gateway, metrics_port: int, as_json: bool) -> None:
    await gateway.ready.wait()
    # What was made until now stays for ever: looking through it again would stop every command for 30 ms.
    gc.collect()
    gc.freeze()
    settings = gateway.settings
    if as_json:
        address = {"host": settings.host, "port": gateway.mqtt_port}
        ready = {"ready": True, "gateway_id": settings.gateway_id, "site_id": settings.site_id}
        print(json.dumps({**ready, "mqtt": address, "metrics_port": metrics_port or None}), flush=True)
    else:
        print(
            f"{settings.gateway_id} serves {settings.site_id} at {settings.host}:{gateway.mqtt_port}",
            flush=True,
        )


def _fail(message: str) -> NoReturn:
    typer.echo(f"latchwork-gateway: {message}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
