"""What ``latchwork air show`` prints: who is on an air, where, who hears whom, and the links between them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hil.radio.medium import Medium


def radios(medium: "Medium | None") -> list[dict[str, Any]]:
    """Every radio that is on: its name, whether it advertises or listens, what it hears in dBm, and its links."""
    if medium is None:
        return []
    return [_radio(medium, one) for one in sorted(medium.controllers, key=lambda one: str(one.name))]


def _radio(medium: "Medium", controller: Any) -> dict[str, Any]:
    others = [other for other in medium.controllers if other is not controller]
    heard = {other.name: medium.rssi(other, controller) for other in others}
    return {
        "name": controller.name,
        "advertising": controller.le_legacy_advertiser.enabled,
        "scanning": controller.le_scan_enable,
        "rssi": {name: rssi for name, rssi in sorted(heard.items()) if medium.path_loss.hears(rssi)},
        "links": [_link(link, controller) for link in medium.links_of(controller)],
    }


def _link(link: Any, controller: Any) -> dict[str, Any]:
    (peer,) = [end.name for end in link.ends.values() if end is not controller]
    return {
        "peer": peer,
        "interval_ms": round(link.timing.interval * 1000, 2),
        "latency": link.timing.latency,
        "timeout_ms": round(link.timeout * 1000),
    }
