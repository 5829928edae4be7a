"""The time of radios: one is with one of its links at a time, and advertises or listens only while it is with none.

The central of several links places their anchors apart. An event that would run into another link's ends before it. Where
events of two links meet all the same, as of two centrals that know nothing of each other, the link that has lost more goes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hil.radio.link import Link

_STEP_S = 1.25e-3  # anchors stand at multiples of it: transmitWindowOffset, Core Vol 6 Part B 4.5.3
_EXACT_S = 1e-6  # two times that are nearer are the same


class Airtime:
    """Times are those of the event loop, in seconds."""

    def __init__(self) -> None:
        self._taken: dict[Any, tuple[Link, float]] = {}
        self._links: dict[Any, set[Link]] = {}

    def links_of(self, controller: Any) -> set["Link"]:
        return self._links.get(controller, set())

    def join(self, link: "Link") -> None:
        for controller in link.ends.values():
            self._links.setdefault(controller, set()).add(link)

    def part(self, link: "Link") -> None:
        for controller in link.ends.values():
            links = self.links_of(controller)
            links.discard(link)
            if not links:
                self._links.pop(controller, None)
                self._taken.pop(controller, None)

    def take(self, link: "Link", until: float) -> None:
        """Both ends' radios are with a link."""
        for controller in link.ends.values():
            self._taken[controller] = link, until

    def is_taken(self, controller: Any, at: float, but_by: "Link | None" = None) -> bool:
        """Whether a radio is with a link, ``but_by`` aside."""
        link, until = self._taken.get(controller, (None, 0.0))
        return link is not but_by and until > at + _EXACT_S

    def is_free(self, link: "Link", at: float) -> bool:
        """Whether both radios of a link have time for it."""
        return not any(self.is_taken(controller, at, link) for controller in link.ends.values())

    def is_idle(self, link: "Link", at: float) -> bool:
        """``is_free``, and no event of another link is due."""
        return self.is_free(link, at) and all(other.due > at + _EXACT_S for other in self._rivals(link))

    def fits(self, link: "Link", begins: float, ends: float) -> bool:
        """Whether no event of another link begins in the course of this one."""
        return not any(begins + _EXACT_S < other.due < ends - _EXACT_S for other in self._rivals(link))

    def goes_before(self, link: "Link", at: float, until: float) -> bool:
        """Whether another link has lost more events and has one in this time, so that ``link`` lets it go first."""
        return any(
            at - _EXACT_S < other.due < until and other.missed > link.missed for other in self._rivals(link)
        )

    def anchor(self, controller: Any, link: "Link", after: float) -> float:
        """The place for a link's anchor that is farthest from those of the other links of its central."""
        others = [other for other in self.links_of(controller) if other is not link and other.paced]
        interval = link.timing.interval

        def distance(at: float) -> float:
            return min(
                (_apart(at - other.begins, min(interval, other.timing.interval)) for other in others),
                default=0.0,
            )

        return max((after + step * _STEP_S for step in range(int(interval / _STEP_S))), key=distance)

    def _rivals(self, link: "Link") -> set["Link"]:
        return {other for end in link.ends.values() for other in self.links_of(end)} - {link}


def _apart(offset: float, period: float) -> float:
    offset %= period
    return round(min(offset, period - offset), 6)
