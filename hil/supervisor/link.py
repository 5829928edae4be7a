"""``latchwork board link``: what is wrong with a board's network."""

from typing import TYPE_CHECKING, Annotated

import typer

from hil.supervisor.settings import LinkFaults

if TYPE_CHECKING:
    from hil.board.network import Network

Name = Annotated[
    str, typer.Argument(help="Of a board without firmware, or started with --networked.", show_default=False)
]


def link(
    name: Name,
    latency: Annotated[float, typer.Option(min=0, max=60_000, help="Milliseconds, one way.")] = 0,
    jitter: Annotated[float, typer.Option(min=0, max=60_000, help="Up to so many milliseconds more.")] = 0,
    loss: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, help="Of segments, which TCP sends again, and of datagrams: 0.1 is one in ten."
        ),
    ] = 0,
    rate: Annotated[float, typer.Option(min=0, help="kbit/s; 0 is no limit.")] = 0,
    partition: Annotated[
        bool, typer.Option("--partition", help="Nothing passes, and nobody is told.")
    ] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="New connections are refused.")] = False,
    no_names: Annotated[bool, typer.Option("--no-names", help="Names are not resolved.")] = False,
    half_open: Annotated[
        bool, typer.Option("--half-open", help="Now: the peers forget their connections.")
    ] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Now: all connections end with RST.")] = False,
    seed: Annotated[
        int | None, typer.Option(help="Of jitter and losses of the connections that are made from now on.")
    ] = None,
) -> None:
    """Say all that is wrong with a board's network; without options nothing is, any more.

    It holds for connections that exist and for new ones, until told otherwise.
    """
    from hil.supervisor import client, shelf

    faults = LinkFaults(
        latency_ms=latency,
        jitter_ms=jitter,
        loss=loss,
        kbit_s=rate,
        partition=partition,
        refuse=refuse,
        no_names=no_names,
        half_open=half_open,
        reset=reset,
        seed=seed,
    )
    try:
        client.ask(name, "link", faults=faults.model_dump())
    except (client.BoardError, shelf.ShelfError) as error:
        typer.echo(f"latchwork: {error}", err=True)
        raise typer.Exit(1) from None


def impair(network: "Network", faults: LinkFaults) -> None:
    """Bring it about."""
    from hil.board.way import Quality

    network.quality = Quality(faults.latency_ms, faults.jitter_ms, faults.loss, faults.kbit_s)
    network.refusing, network.no_names = faults.refuse, faults.no_names
    if faults.seed is not None:
        network.reseed(faults.seed)
    if faults.half_open:
        network.half_open()
    if faults.reset:
        network.reset()
    network.partition(faults.partition)
