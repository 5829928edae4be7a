"""The ``latchwork`` command: the bench."""

import typer
from typer.core import TyperCommand

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Latchwork bench.")


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


@app.callback()
def _bench() -> None:
    """Keeps ``micropython`` a sub-command while it is the only one."""
