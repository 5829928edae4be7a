"""Where an unlock's time goes: from the call, over every hop's packet on the wire, to the relay's pin."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.capture import Packet
from benchmarks.series import Series
from hil.stack import Installation

COMMAND_SIZE = 250  # bytes; a sealed command in TLS has more, an acknowledgement and a PUBACK have less


@dataclass(frozen=True)
class Hop:
    """One part on the way, which is done when it sends a packet from or to a port."""

    name: str
    source: int = 0
    target: int = 0
    above: int = COMMAND_SIZE

    def sent(self, packet: Packet) -> bool:
        """Whether this is the packet that ends the hop."""
        return (
            packet.size > self.above
            and self.source in (0, packet.source)
            and self.target in (0, packet.target)
        )


class Hops:
    """Milliseconds of each hop, one sample per unlock."""

    def __init__(self, site: Installation) -> None:
        https, cloud = site.cloud.ready["http_port"], site.cloud.ready["mqtt_port"]
        gateway = site.gateway.ready["mqtt"]["port"]
        self._hops = (
            Hop("client", target=https, above=0),
            Hop("cloud", target=cloud),
            Hop("cloud broker", source=cloud),
            Hop("gateway", target=gateway),
            Hop("site broker", source=gateway),
        )
        self.series = {name: Series("ms") for name in (*(hop.name for hop in self._hops), "device")}

    def add(self, called_us: int, packets: list[Packet], relay_us: int) -> None:
        """Take one unlock apart; one of which a packet is missing is left out."""
        times = list(self._times(called_us, packets))
        if len(times) != len(self._hops) + 1:
            return
        for series, since, until in zip(
            self.series.values(), times, [*times[1:], float(relay_us)], strict=True
        ):
            series.add((until - since) / 1000)

    def _times(self, called_us: int, packets: list[Packet]) -> Iterator[float]:
        yield called_us
        waiting = iter(packet for packet in packets if packet.t_us >= called_us)
        for hop in self._hops:
            packet = next(filter(hop.sent, waiting), None)
            if packet is None:
                return
            yield packet.t_us
