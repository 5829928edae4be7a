"""A bounded queue in which every address has its turn: whoever opens many connections waits behind himself."""

from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """First come, first served among those of one address; the addresses take turns."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._lines: OrderedDict[str, OrderedDict[Item, None]] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def add(self, address: str, item: Item) -> Item | None:
        """Who must leave for it: the last of the longest line, which may be this one."""
        self._lines.setdefault(address, OrderedDict())[item] = None
        self._count += 1
        if self._count <= self._most:
            return None
        longest = max(self._lines, key=lambda line: len(self._lines[line]))
        return self._take(longest, last=True)

    def next(self) -> Item:
        """Raises IndexError without any."""
        if not self._lines:
            raise IndexError("nobody waits")
        address = next(iter(self._lines))
        item = self._take(address, last=False)
        if address in self._lines:
            self._lines.move_to_end(address)
        return item

    def discard(self, address: str, item: Item) -> None:
        line = self._lines.get(address)
        if line is not None and item in line:
            del line[item]
            self._taken(address)

    def _take(self, address: str, *, last: bool) -> Item:
        item, _ = self._lines[address].popitem(last=last)
        self._taken(address)
        return item

    def _taken(self, address: str) -> None:
        self._count -= 1
        if not self._lines[address]:
            del self._lines[address]
