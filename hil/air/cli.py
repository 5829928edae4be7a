"""``latchwork air``: look at the airs that boards of separate commands share, and move boards about in them."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from hil.air import client, ops
from hil.air.folder import DEFAULT_AIR, air_name, airs
from hil.air.ops import AirError

app = typer.Typer(
    no_args_is_help=True,
    help="The airs that boards of separate commands share: who is on them, and where. "
    f"A command that names none is on the air of LATCHWORK_AIR, or on `{DEFAULT_AIR}`.",
)

AirOption = Annotated[str | None, typer.Option("--air", help="Name of the air.", show_default=DEFAULT_AIR)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_airs() -> None:
    """Name every air that is there, with its boards."""
    _run(_list())


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="The air.", show_default=DEFAULT_AIR)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is on an air, where, how strong they hear each other, and who is connected to whom."""
    seen = _run(client.look(air_name_or_exit(name)))
    typer.echo(json.dumps(seen, indent=2) if as_json else "\n".join(_lines(seen)))


@app.command()
def place(
    board: Annotated[str, typer.Argument(help="Its name, as `latchwork air show` has it.")],
    x: Annotated[float, typer.Argument(help="Metres.")],
    y: Annotated[float, typer.Argument(help="Metres.")],
    z: Annotated[float, typer.Argument(help="Height in metres.")] = 1.0,
    air: AirOption = None,
) -> None:
    """Put a board somewhere else: signals weaken, and links break, with the distance. For a negative number begin with `--`."""
    _run(_place(air_name_or_exit(air), board, (x, y, z)))


@app.command()
def lose(
    part: Annotated[
        float, typer.Argument(min=0, max=1, help="Of all packets: 0.1 is one in ten, 0 is none.")
    ],
    between: Annotated[
        tuple[str, str] | None, typer.Option(help="Only of those between these two boards, either way.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Throw the dice anew: the same number, the same losses.")
    ] = None,
    air: AirOption = None,
) -> None:
    """Lose a part of all packets, of advertisements and of connections, until told otherwise."""
    _run(_disturb(air_name_or_exit(air), {"lose": part, "between": between, "seed": seed}))


@app.command()
def noise(
    name: Annotated[str, typer.Argument(help="Of the source, to change it or to switch it off.")],
    x: Annotated[float | None, typer.Argument(help="Metres.")] = None,
    y: Annotated[float | None, typer.Argument(help="Metres.")] = None,
    power: Annotated[float, typer.Option(help="dBm.")] = 15.0,
    duty: Annotated[float, typer.Option(min=0, max=1, help="Of the time that it sends.")] = 0.5,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the channels; Wi-Fi takes 0.28.")] = 1.0,
    air: AirOption = None,
) -> None:
    """Switch a source of interference on at a place; without a place, off."""
    place = None if x is None or y is None else (x, y)
    wanted = {"noise": name, "position": place, "power": power, "duty": duty, "share": share}
    _run(_disturb(air_name_or_exit(air), wanted))


@app.command()
def renew(air: AirOption = None) -> None:
    """Let all resolvable private addresses run out now: boards with `addr_mode=2` draw new ones, as after 15 minutes."""
    _run(_disturb(air_name_or_exit(air), {"renew": True}))


def air_name_or_exit(name: str | None) -> str:
    try:
        return air_name(name)
    except AirError as error:
        raise _failure(error) from None


async def _list() -> None:
    for name in airs():
        try:
            members = (await client.look(name))["members"]
        except AirError:
            continue  # it ended just now, or its socket is a dead one's
        typer.echo(f"{name}: {', '.join(member['name'] for member in members) or 'nobody'}")


async def _place(name: str, board: str, position: ops.Place) -> None:
    async with await client.watch(name) as member:
        await member.ask(ops.AIR, ops.PLACE, ops.encode_place(board, position))


async def _disturb(name: str, wanted: dict[str, Any]) -> None:
    async with await client.watch(name) as member:
        await member.ask(ops.AIR, ops.DISTURB, json.dumps(wanted).encode())


def _lines(seen: dict[str, Any]) -> list[str]:
    radios = {radio["name"]: radio for radio in seen["radios"]}
    lines = [f"air {seen['air']}, process {seen['pid']}, {len(seen['members'])} on it"]
    for member in seen["members"]:
        where = member["position"]
        place = "near everything" if where is None else "at {:g}, {:g}, {:g} m".format(*where)
        lines.append(f"{member['name']}  {bytes.fromhex(member['mac']).hex(':')}  {place}")
        lines += [f"    {text}" for text in _radio_lines(radios.get(member["name"]))]
    return lines


def _radio_lines(radio: dict[str, Any] | None) -> list[str]:
    if radio is None:
        return ["radio off"]
    doing = [word for word in ("advertising", "scanning") if radio[word]]
    lines = [", ".join(doing)] if doing else []
    lines += [f"hears {name} at {rssi} dBm" for name, rssi in radio["rssi"].items()]
    lines += [f"linked to {link['peer']}, every {link['interval_ms']:g} ms" for link in radio["links"]]
    return lines or ["radio on"]


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(coroutine)
    except AirError as error:
        raise _failure(error) from None


def _failure(error: AirError) -> typer.Exit:
    typer.echo(f"latchwork: {error.strerror or error}", err=True)
    return typer.Exit(2)
