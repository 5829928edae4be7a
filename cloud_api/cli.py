"""`latchwork-cloud`: make a cloud, serve it, hand out tokens."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cloud_api.installation import InstallError, add_token, create, describe, open_folder
from cloud_api.secrets import SecretError
from cloud_api.settings import DEFAULT_HTTP_PORT, DEFAULT_MQTT_PORT
from protocol.host.logs import log_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # Typer's own tracebacks print local variables, and ours hold tokens and keys.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""The Latchwork cloud: API, storage, ingest and live events.

A first run, with everything in one folder and no root:

    latchwork-cloud init  --dir ./cloud --organisation "Harbour House"
    latchwork-cloud serve --dir ./cloud

`init` prints an API token (shown once), the fleet's CA and the two pins of the HTTPS keys. Then, from another
shell:

    curl --cacert ./cloud/ca.pem --pinnedpubkey "sha256//…" -H "Authorization: Bearer lw_…"
    https://localhost:8443/v1/sites

The API describes itself at `/v1/openapi.json`; `/health` and `/metrics` need no token.
""",
)

Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        help="The cloud's folder: keys, database, broker state. Back up `kek.bin` apart from `cloud.db`.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for scripts.")]


def _fail(error: Exception) -> typer.Exit:
    typer.echo(f"latchwork-cloud: {error}", err=True)
    return typer.Exit(1)


@app.command()
def init(
    directory: Directory,
    organisation: Annotated[str, typer.Option(help="Name of the first organisation.")] = "Latchwork",
    host: Annotated[
        str, typer.Option(help="Name or address under which gateways and integrators will reach this cloud.")
    ] = ("localhost"),
    database: Annotated[
        str, typer.Option(help="SQLAlchemy address of the store; empty: SQLite in the folder.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a cloud: certificate authority, server keys with their spares, key-encryption key, database, first
    organisation.
    """
    log_json()
    try:
        made = create(directory, organisation, host, database)
    except (InstallError, OSError) as error:
        raise _fail(error) from None
    if as_json:
        typer.echo(json.dumps(made))
        return
    typer.echo(f"Made {made['directory']} for {organisation} ({made['organisation_id']}).")
    typer.echo(f"API token (shown once):  {made['token']}")
    typer.echo(f"Fleet CA:                {made['ca_file']}")
    for name, pin in zip(("current", "backup"), _pins(made), strict=True):
        typer.echo(f"HTTPS pin ({name}):".ljust(25) + pin)
    typer.echo(f"Next:                    latchwork-cloud serve --dir {directory}")


def _pins(made: dict[str, object]) -> list[str]:
    pins = made["pins"]
    assert isinstance(pins, list)
    return pins


@app.command()
def serve(
    directory: Directory,
    bind: Annotated[
        str | None,
        typer.Option(help="Address to listen on; remembered. `0.0.0.0` for all. First start: 127.0.0.1."),
    ] = None,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="HTTPS; 0 takes the port of the last start, or a free one.")
    ] = DEFAULT_HTTP_PORT,
    mqtt_port: Annotated[
        int, typer.Option(min=0, max=65535, help="MQTT of the cloud broker; 0 as above. Gateways keep it.")
    ] = DEFAULT_MQTT_PORT,
    as_json: Json = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C. Migrates the database first. With --json prints `{"ready": true, …}`
    once it answers.

    Logs go to standard error as JSON lines. Killing it at any moment loses nothing that was acknowledged.
    """
    # Not at the top: the other commands must not wait for the web framework.
    from cloud_api.server import Addresses, Options
    from cloud_api.server import serve as run

    def on_ready(addresses: Addresses) -> None:
        facts = addresses.describe()
        line = json.dumps(facts) if as_json else f"Serving {facts['url']}, MQTT on port {facts['mqtt_port']}."
        typer.echo(line)
        sys.stdout.flush()

    log_json()
    try:
        asyncio.run(run(directory, Options(bind, http_port, mqtt_port), on_ready))
    except (InstallError, SecretError, OSError) as error:
        raise _fail(error) from None


@app.command()
def token(
    directory: Directory,
    organisation: Annotated[str, typer.Option(help="Id or name of the organisation.")],
    name: Annotated[str, typer.Option(help="What the token is for; shown in lists.")] = "command line",
    create: Annotated[
        bool, typer.Option("--create", help="Make the organisation if there is none of that name.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an API token for an organisation, also while the cloud is being served. It is shown once; only its
    hash is kept.
    """
    try:
        made = add_token(directory, organisation, name, create=create)
        if as_json:
            typer.echo(json.dumps({**made, **describe(open_folder(directory))}))
        else:
            typer.echo(made["token"])
    except (InstallError, OSError) as error:
        raise _fail(error) from None
