"""``latchwork device``: wired boards."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Boards on a serial port: put the firmware on one, then give it its identity.

In this order:

    latchwork device flash --port /dev/ttyUSB0
    latchwork device provision --port /dev/ttyUSB0 --bundle bundle.json

The board needs MicroPython 1.25 or newer; `docs/hardware.md` tells how to wire it. The console of a simulated
board is a port too: `latchwork up` prints one for each door.
""",
)

Port = Annotated[str, typer.Option(help="The board's serial port, e.g. /dev/ttyUSB0 or /dev/ttyACM0.")]


@app.command()
def flash(
    port: Port,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be done, and do nothing.")
    ] = False,
    symbols: Annotated[
        Path | None, typer.Option(help="Write what `latchwork package explain` reads tracebacks with.")
    ] = None,
) -> None:
    """Put this firmware on a board: what differs by its hash, verified afterwards. Then the board restarts.

    The board keeps its identity, its journal (`/lw`) and its pin map (`/pins.json`). A run that was cut short leaves a
    board that is locked and says so; run it again.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from hil.vm.image import ImageError
    from hil.vm.symbols import write
    from hil.wired import flash as work
    from hil.wired.port import BoardPort, PortError

    console = Console(highlight=False)
    try:
        wanted = work.firmware()
        if symbols is not None:
            write(wanted.symbols, symbols)
        with BoardPort(port) as board:
            made = work.plan(board, wanted.files)
            if dry_run:
                _list(console, made)
                return
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
            with Progress(*columns, console=console) as progress:
                task = progress.add_task("flash", total=made.size)
                work.carry_out(
                    board, made, lambda path, size: progress.update(task, advance=size, description=path)
                )
                progress.update(task, description="verified")
        console.print(
            f"{len(made.write)} files written, {len(made.keep)} were right already, {len(made.remove)} removed."
        )
    except (PortError, ImageError, OSError) as error:
        _fail(error)


@app.command()
def provision(
    port: Port,
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle, as POST /v1/devices answered it.", dir_okay=False)
    ] = None,
    api: Annotated[
        str | None, typer.Option(help="Or the cloud's address: it is asked for a bundle.", metavar="URL")
    ] = None,
    door: Annotated[str | None, typer.Option(help="With --api: the door's id, door_….")] = None,
    name: Annotated[str, typer.Option(help="With --api: what the device is called.")] = "Door controller",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="LATCHWORK_TOKEN", help="With --api: an API token. Better given in LATCHWORK_TOKEN."
        ),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="With --api: the fleet CA's certificate (PEM).", dir_okay=False)
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(help="With --api: a pin of the cloud's HTTPS key. Give two: current and backup."),
    ] = None,
    ssid: Annotated[str, typer.Option(help="With --api: the Wi-Fi that the board joins.")] = "Latchwork",
    wifi_key: Annotated[
        str,
        typer.Option(
            envvar="LATCHWORK_WIFI_KEY", help="With --api: its key. Better given in LATCHWORK_WIFI_KEY."
        ),
    ] = "",
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Also a board that has an identity already; it loses that, and its journal."
        ),
    ] = False,
) -> None:
    """Give a board the identity of one door's controller, from a bundle or from the cloud. Then the board restarts.

    A bundle holds the device's root key: whoever carries it carries the door. Remove the file afterwards.
    """
    if (bundle is None) == (api is None):
        _fail("give either --bundle or --api", code=2)
    if api is not None and not (door and token and ca and pin):
        _fail("--api needs --door, --token, --ca and --pin", code=2)
    from hil.stack.api import ApiError
    from hil.wired import provision as work
    from hil.wired.port import BoardPort, PortError

    made: dict[str, Any] | None = None
    try:
        given = work.read_bundle(bundle) if bundle is not None else None
        with BoardPort(port) as board:
            work.check(board, again)
            if given is None:
                assert api is not None
                assert ca is not None
                body = {"door_id": door, "name": name, "wifi": {"ssid": ssid, "key": wifi_key}}
                given = made = asyncio.run(_ask(api, token or "", ca.read_text(), pin or [], body))
            answer = work.apply(board, given)
    except (PortError, ApiError, OSError) as error:
        also = "" if made is None else f"\n{made['device_id']} was made in the cloud for nothing: retire it"
        _fail(f"{error}{also}")
    typer.echo(f"{answer['device_id']} is the controller of {answer['door_id']}. The board restarts.")


async def _ask(url: str, token: str, ca: str, pins: list[str], body: dict[str, Any]) -> dict[str, Any]:
    from hil.stack.api import Api

    client = Api(url, token, ca, pins)
    try:
        return await client.post("/v1/devices", body)
    finally:
        await client.aclose()


def _list(console: Any, made: Any) -> None:
    for path, data in made.write.items():
        console.print(f"write   {path}  {len(data):,} bytes")
    for path in made.remove:
        console.print(f"remove  {path}")
    console.print(f"{len(made.write)} to write ({made.size:,} bytes), {len(made.keep)} are right already.")


def _fail(error: object, code: int = 1) -> NoReturn:
    typer.echo(f"latchwork: {error}", err=True)
    raise typer.Exit(code)
