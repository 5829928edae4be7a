"""``latchwork board``: boards that stay on the bench."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hil.supervisor.link import link

if TYPE_CHECKING:
    from hil.supervisor.settings import Status

app = typer.Typer(
    no_args_is_help=True,
    help="Simulated boards that stay on the bench: each has a console that tools open as a serial port.",
)

Name = Annotated[str, typer.Argument(help="Of the board.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
CRASH_LINES = 12  # of what a VM had printed before it crashed


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"latchwork: {error}", err=True)
    raise typer.Exit(1) from None


@app.command()
def start(
    name: Annotated[
        str | None, typer.Argument(help="Default: the first of board1, board2, ... that is free.")
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(help="Description of the board: a file, or the name of one that comes with the bench."),
    ] = None,
    flash: Annotated[
        Path | None,
        typer.Option(
            help="To put on its flash first: a folder's content, a file, or an image (.img, .bin, .lfs)."
        ),
    ] = None,
    firmware: Annotated[
        bool,
        typer.Option(
            "--firmware/--bare", help="Latchwork's door controller, or MicroPython and nothing else."
        ),
    ] = False,
    air: Annotated[str | None, typer.Option(help="The air it shares with other boards.")] = None,
    networked: Annotated[
        bool,
        typer.Option(
            "--networked", help="Of firmware: its connections can be disturbed by latchwork board link."
        ),
    ] = False,
    erase: Annotated[
        bool, typer.Option(help="Begin with an empty flash; without, the board's own is kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a board and leave it running; says where its console is, and what to type next.

    Returns when the REPL answers, or when the program on the board runs. A board that is started again has the flash it had.
    """
    from hil.supervisor import client, shelf
    from hil.supervisor.settings import Settings

    try:
        name = name or shelf.free_name()
        if erase:
            shelf.erase(name)
        settings = Settings(
            name=name,
            board=_description(board, firmware).resolve(),
            firmware=firmware,
            air=air,
            put=flash.resolve() if flash is not None else None,
            networked=networked,
        )
        status = client.start(settings)
    except (client.BoardError, shelf.ShelfError, OSError) as error:
        _fail(error)
    typer.echo(status.model_dump_json() if as_json else _introduced(status))


def _description(board: str | None, firmware: bool) -> Path:
    """A file, or one that comes with the bench. Raises BoardError."""
    from hil.board.description import BOARDS
    from hil.supervisor.client import BoardError

    if board is None:
        return BOARDS / ("strike_door.toml" if firmware else "esp32.toml")
    path = Path(board)
    if path.suffix or path.exists():
        return path
    known = {path.stem: path for path in BOARDS.glob("*.toml")}
    if board not in known:
        raise BoardError(f"--board {board}: a file, or one of {', '.join(sorted(known))}")
    return known[board]


def _introduced(status: "Status") -> str:
    return f"""\
board {status.name} is on: {"the program on it runs" if status.program else "the REPL answers"}

  console   {status.tty}, also {status.link}

  mpremote connect {status.tty}
  latchwork board console {status.name}
  latchwork board stop {status.name}"""


@app.command()
def stop(
    name: Annotated[str | None, typer.Argument(help="Of the board.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All boards of this user.")] = False,
) -> None:
    """Take a board off the bench. Its flash stays for the next start."""
    from hil.supervisor import client, shelf

    if everything == (name is not None):
        raise typer.BadParameter("a name, or --all")
    failed: Exception | None = None
    for each in shelf.running() if everything else [name or ""]:
        try:
            client.stop(each)
        except (client.BoardError, shelf.ShelfError) as error:
            failed = error
    if failed is not None:
        _fail(failed)


@app.command("list")
def list_boards(as_json: Json = False) -> None:
    """Show the boards that run: power, process, boots, exit codes of VMs that ended, console, air, time since the start."""
    from hil.supervisor import client, shelf

    try:
        found = client.everything()
    except shelf.ShelfError as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps([status.model_dump() for status in found]))
        return
    if not found:
        typer.echo("no board runs; latchwork board start")
        return
    from rich.console import Console
    from rich.table import Table

    from hil.rig.expect import printable

    table = Table("name", "state", "pid", "boots", "exits", "console", "air", "up", box=None, pad_edge=False)
    for status in found:
        state = f"{status.state}, program" if status.program else status.state
        exits = " ".join(map(str, status.exits[-4:])) or "-"
        up = f"{status.uptime_s:.0f} s"
        table.add_row(
            status.name, state, str(status.pid), str(status.boots), exits, status.tty, status.air or "-", up
        )
    Console(width=None if Console().is_terminal else 160).print(table)
    for status in found:
        if status.crash:
            by, _, said = status.crash.partition(": ")
            typer.echo(f"\n{status.name}: a VM ended by {by}; it had printed")
            for line in said.rstrip().splitlines()[-CRASH_LINES:]:
                typer.echo(f"  | {printable(line)}")


@app.command()
def console(name: Name) -> None:
    """Be a terminal on the board's console; Ctrl-] leaves. Piped input is typed at it, and the answer printed."""
    from hil.supervisor import client, shelf, terminal

    try:
        status = client.ask(name, "status")
        if status.state == "off" and not sys.stdin.isatty():
            raise client.BoardError(f"board {name} has no power; latchwork board power {name} on")
        ended = not terminal.attach(status.tty, lambda: client.ask(name, "status").program)
    except (client.BoardError, shelf.ShelfError, OSError) as error:
        _fail(error)
    if ended:
        _fail(client.BoardError(f"board {name} has ended"))


@app.command()
def power(name: Name, to: Annotated[str, typer.Argument(metavar="on|off|cycle")]) -> None:
    """Switch the supply; `cycle` takes the power away at once and gives it back."""
    if to not in ("on", "off", "cycle"):
        raise typer.BadParameter("on, off or cycle")
    _do(name, to)


@app.command()
def reset(
    name: Name,
    soft: Annotated[
        bool, typer.Option("--soft", help="As Ctrl-D at the REPL: pins stay as they are.")
    ] = False,
) -> None:
    """Pull the reset line; returns when the REPL answers or the program runs."""
    _do(name, "soft-reset" if soft else "reset")


def _do(name: str, op: str) -> None:
    from hil.supervisor import client, shelf

    try:
        client.ask(name, op, wait=op != "off")
    except (client.BoardError, shelf.ShelfError) as error:
        _fail(error)


app.command()(link)
