"""Where an unlock's time goes: every hop's packet on the wire, on the way to the relay and on the way back."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.capture import Packet
from hil.measure.series import Series
from hil.stack import Installation

SEALED_SIZE = 250  # bytes; a sealed command or result in TLS has more, an acknowledgement or a state has less


@dataclass(frozen=True)
class Hop:
    """One part on the way, which is done when it sends a packet from or to a port."""

    name: str
    source: int = 0
    target: int = 0
    above: int = SEALED_SIZE

    def sent(self, packet: Packet) -> bool:
        """Whether this is the packet that ends the hop."""
        return (
            packet.size > self.above
            and self.source in (0, packet.source)
            and self.target in (0, packet.target)
        )


class Hops:
    """Milliseconds of each hop, one sample per unlock; `last` is the part that needs no packet to be done."""

    def __init__(self, hops: tuple[Hop, ...], last: str) -> None:
        self._hops = hops
        self.series = {name: Series("ms") for name in (*(hop.name for hop in hops), last)}

    def add(self, began_us: int, packets: list[Packet], ended_us: int) -> None:
        """Take one unlock apart; one of which a packet is missing is left out."""
        times = list(self._times(began_us, packets))
        if len(times) != len(self._hops) + 1:
            return
        ends = [*times[1:], float(ended_us)]
        for series, since, until in zip(self.series.values(), times, ends, strict=True):
            series.add((until - since) / 1000)

    def named(self, way: str) -> dict[str, Series]:
        """The series that have samples, for a report."""
        return {f"{way}: {name}": series for name, series in self.series.items() if series.samples}

    def _times(self, began_us: int, packets: list[Packet]) -> Iterator[float]:
        yield began_us
        waiting = iter(packet for packet in packets if packet.t_us >= began_us)
        for hop in self._hops:
            packet = next(filter(hop.sent, waiting), None)
            if packet is None:
                return
            yield packet.t_us


def to_relay(site: Installation) -> Hops:
    """From the call to the relay's pin."""
    https, cloud, gateway = _ports(site)
    hops = (
        Hop("client", target=https, above=0),
        Hop("cloud", target=cloud),
        Hop("cloud broker", source=cloud),
        Hop("gateway", target=gateway),
        Hop("site broker", source=gateway),
    )
    return Hops(hops, "device")


def to_proof(site: Installation) -> Hops:
    """From the relay's pin to the answer of the long poll."""
    https, cloud, gateway = _ports(site)
    hops = (
        Hop("device", target=gateway),
        Hop("site broker", source=gateway),
        Hop("gateway", target=cloud),
        Hop("cloud broker", source=cloud),
        Hop("cloud", source=https),
    )
    return Hops(hops, "client")


def _ports(site: Installation) -> tuple[int, int, int]:
    ready = site.cloud.ready
    return ready["http_port"], ready["mqtt_port"], site.gateway.ready["mqtt"]["port"]
