"""The ``latchwork`` command: the bench."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hil.air.cli import app as air
from hil.fleet.cli import fleet
from hil.scenario.cli import app as scenario
from hil.supervisor.cli import app as board
from hil.wired.cli import app as device

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""The Latchwork bench: door controllers, their gateway and their cloud, on this machine.

To begin with:

    latchwork demo                  the whole story in under a minute, with a report
    latchwork up                    a site with three doors to work with, until Ctrl-C
    latchwork micropython FILE      a program on a simulated board
    latchwork board start           a simulated board that stays, for mpremote
    latchwork fleet                 a hundred doors at one site, under load and faults
    latchwork scenario run FILE     a scenario: steps on boards, and what is expected
    latchwork device flash          the firmware on a board of your own

Each command has a `--help` of its own.
""",
)

app.add_typer(board, name="board")
app.add_typer(device, name="device")
app.add_typer(air, name="air")
app.command()(fleet)
app.add_typer(scenario, name="scenario")

LOG_WIDTH = 130  # of tables in a file or a CI log


class Verbatim(TyperCommand):
    """A command whose arguments, ``--help`` and ``--`` among them, are the program's that it runs. ``--help`` alone is ours."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args == ["--help"]:
            return super().parse_args(ctx, args)
        ctx.args = list(args)
        return []


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the report; cleared first if it holds an older one.")
    ] = Path("out/demo"),
) -> None:
    """Show the whole path on real parts: provisioning, a shared key, Bluetooth with everything else cut off, the
    journal's way home, a cloud unlock, and four attacks.

    Starts a cloud, a gateway and three boards with a fresh site, ends by itself, and writes `report.html` (open it in
    a browser), `report.json` and `door.vcd` (for GTKWave or PulseView). Exit code 1 if any step failed; the servers'
    logs are in the folder's `site/`.
    """
    from rich.console import Console

    from hil.demo.run import OutputError, run_demo

    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    try:
        report = asyncio.run(run_demo(out, console))
    except OutputError as error:
        typer.echo(f"latchwork: {error}", err=True)
        raise typer.Exit(2) from None
    console.print(f"Report: {out / 'report.html'}, waveforms: {out / 'door.vcd'}", highlight=False)
    if not report.ok:
        console.print(f"Logs of the servers: {out / 'site'}/*.log", highlight=False)
        raise typer.Exit(1)


@app.command()
def up(
    directory: Annotated[
        Path, typer.Option("--dir", help="Folder of the site; made if it is new, gone on with if it is not.")
    ] = Path("out/site"),
    doors: Annotated[
        int, typer.Option(help="How many doors a new site gets.", min=1, max=100, show_default=True)
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
) -> None:
    """Leave a site running: a cloud, a gateway, and doors that are simulated boards, until Ctrl-C.

    Prints where everything is, and commands to begin with. Kill the cloud or the gateway to see what the doors do:
    they are started again. The same folder goes on tomorrow where it stopped today. Remove it to begin anew.
    """
    from hil.stack.service import ServiceError
    from hil.up import UpError
    from hil.up import up as run
    from protocol.host.logs import log_json

    def on_ready(facts: dict[str, Any]) -> None:
        print(json.dumps(facts) if as_json else _addresses(facts), flush=True)

    log_json(level=logging.WARNING)
    try:
        asyncio.run(run(directory, doors, on_ready))
    except (UpError, ServiceError) as error:
        typer.echo(f"latchwork: {error}", err=True)
        raise typer.Exit(1) from None


def _addresses(facts: dict[str, Any]) -> str:
    front = facts["doors"][0]
    curl = f'curl --cacert {facts["ca_file"]} -H "Authorization: Bearer $(cat {facts["token_file"]})"'
    doors = [
        f"  {d['name']:<10} {d['door_id']}  {d['device_id']}  console {d['console']}" for d in facts["doors"]
    ]
    lines = [
        f"API           {facts['api']}/v1   (OpenAPI: {facts['api']}/v1/openapi.json)",
        f"API token     in {facts['token_file']}",
        f"cloud broker  {facts['cloud_mqtt']}, site broker {facts['site_mqtt']} (MQTT, mutual TLS)",
        "doors",
        *doors,
        "",
        "Open a door:",
        f"  {curl} -X POST {facts['api']}/v1/doors/{front['door_id']}/unlock",
        "Read the log:",
        f"  {curl} '{facts['api']}/v1/events?order=desc'",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


package_app = typer.Typer(no_args_is_help=True, help="Sign firmware for boards in the field.")
app.add_typer(package_app, name="package")


@package_app.command("key")
def package_key(
    path: Annotated[Path, typer.Argument(help="PEM file of the new private key; it must not exist.")],
    module: Annotated[
        Path | None, typer.Option(help="Write `device/release_key.py` for boards that take its packages.")
    ] = None,
) -> None:
    """Make a vendor's signing key, RSA-3072. Who has it decides what runs on every board: keep it offline."""
    from hil import package

    key = package.new_key()
    try:
        package.write_key(key, path)
    except OSError as error:
        typer.echo(f"latchwork: {error}", err=True)
        raise typer.Exit(2) from None
    if module is not None:
        module.write_text(package.key_module(key))


@package_app.command("build")
def package_build(
    out: Annotated[Path, typer.Argument(help="The package.")],
    key: Annotated[Path, typer.Option(help="PEM file of the vendor's key.")],
    version: Annotated[int, typer.Option(min=1, max=0xFFFFFFFF, help="Rises with each release.")],
    floor: Annotated[int, typer.Option(min=0, help="No board goes below this version afterwards.")] = 0,
    trial: Annotated[int, typer.Option(min=2, max=7200, help="Seconds to prove healthy in.")] = 600,
) -> None:
    """Compile the firmware of this tree and sign it. Keep OUT.symbols.json: `explain` reads its tracebacks."""
    from hil import package
    from hil.vm import symbols
    from hil.vm.image import ImageError

    try:
        signer = package.read_key(key)
        built = package.build(signer)
        data = package.sign(built.image, signer, version, floor=min(floor, version), trial_s=trial)
        symbols.write(built.symbols, symbols.beside(out))
        out.write_bytes(data)
    except (package.PackageError, ImageError, OSError) as error:
        typer.echo(f"latchwork: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{out}: version {version}, {len(data):,} bytes")


@package_app.command("explain")
def package_explain(
    symbols_file: Annotated[
        Path, typer.Argument(metavar="SYMBOLS", help="OUT.symbols.json of the firmware.")
    ],
    text: Annotated[
        typer.FileText,
        typer.Argument(metavar="[TEXT]", help="What the board's console said; - is the standard input."),
    ] = "-",  # type: ignore[assignment]  # typer opens it
) -> None:
    """Say what the short names in a traceback of a shipped firmware are short for."""
    from hil.vm import symbols

    try:
        known = symbols.read(symbols_file)
    except (OSError, ValueError) as error:
        typer.echo(f"latchwork: {symbols_file}: {error}", err=True)
        raise typer.Exit(2) from None
    for line in text:
        typer.echo(symbols.explain(line.rstrip("\n"), known))


@app.command(cls=Verbatim)
def micropython(context: typer.Context) -> None:
    """Be the micropython executable of a simulated board: [--air NAME] [--name NAME] [--btsnoop FILE], then MicroPython's own
    options [-X heapsize=N] [-c CODE | -m MOD | FILE ARGS]; `-h` tells all of those.

    Boards of separate commands hear each other if they name the same air; without a name they are on the user's own, or that
    of LATCHWORK_AIR. A board that has a name has the same addresses each time. FILE gets its HCI packets, for Wireshark.

    The board is an ESP32 with pin 4 wired to 5 and 12 to 13, or what LATCHWORK_BOARD=FILE.toml describes: wires, devices on its
    buses, parts of a door.
    """
    from hil.vm.executable import run

    run(context.args)
