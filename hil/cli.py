"""The ``latchwork`` command: the bench."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""The Latchwork bench: door controllers, their gateway and their cloud, on this machine.

    latchwork demo                  the whole story in half a minute, with a report
    latchwork up                    a site with three doors to work with, until Ctrl-C
    latchwork micropython FILE      a program on a simulated board
    """,
)


LOG_WIDTH = 130  # of tables in a file or a CI log


class Verbatim(TyperCommand):
    """A command whose arguments, ``--help`` and ``--`` among them, belong to the program it runs."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        ctx.args = list(args)
        return []


@app.command(cls=Verbatim)
def micropython(context: typer.Context) -> None:
    """Be the micropython executable of a simulated board: [-X heapsize=N] [-c CODE | -m MOD | FILE ARGS]."""
    from hil.vm.executable import run

    run(context.args)


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
