"""Work and weight: what would hold the event loop is done beside it, and what is kept in memory is counted.

A value is weighed as the objects that it takes, which is several times its text: an order of 1 MiB takes some 12.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from attrs import define, field

T = TypeVar("T")

NODE_BYTES: Final = 200
"""What one value takes as an object of ours, its place in its container and its key included."""

LARGE: Final = 300_000
"""Weight above which reading, checking or writing a value may take longer than a few milliseconds."""

_worker: Final = ThreadPoolExecutor(1, thread_name_prefix="large")
"""One for all: several at once would be no faster, and hold more in memory."""


async def beside(work: Callable[..., T], *args: object) -> T:
    """Do pure work in a thread, while the loop goes on; large pieces follow each other."""
    return await asyncio.get_running_loop().run_in_executor(_worker, work, *args)


async def beside_if_large(value: object, work: Callable[..., T], *args: object) -> T:
    """Do work that looks at a value: in a thread where the value is large, else here."""
    return await beside(work, *args) if weigh(value, LARGE) >= LARGE else work(*args)


def weigh(value: Any, enough: float = float("inf")) -> int:
    """The weight of a JSON value, in bytes; once it has come to `enough` the rest is not looked at."""
    weight, rest = 0, [value]
    while rest and weight < enough:
        one = rest.pop()
        weight += NODE_BYTES
        if isinstance(one, str):
            weight += len(one)
        elif isinstance(one, dict):
            rest += one.values()
        elif isinstance(one, list | tuple):
            rest += one
    return weight


def weigh_text(text: bytes) -> int:
    """The same of a value that was not read yet, or more, by its structural characters."""
    return len(text) + NODE_BYTES * (text.count(b",") + text.count(b"[") + text.count(b"{"))


@define
class Load:
    """What is held in memory at a time, in bytes: by each holder, and in all.

    Attributes:
        most_each: for one holder.
        most: for all together.
    """

    most_each: int = 32 * 2**20
    most: int = 96 * 2**20
    each: Counter[object] = field(factory=Counter)
    total: int = 0

    def has_room(self, holder: object, weight: int) -> bool:
        """Whether so much more may be held."""
        return self.each[holder] + weight <= self.most_each and self.total + weight <= self.most

    def add(self, holder: object, weight: int) -> None:
        """Hold so much more; less, where the weight is below zero."""
        self.total += weight
        self.each[holder] += weight
        if self.each[holder] <= 0:
            del self.each[holder]

    @contextmanager
    def holding(self, holder: object, weight: int) -> Iterator[None]:
        """Hold so much more for as long as the block lasts."""
        self.add(holder, weight)
        try:
            yield
        finally:
            self.add(holder, -weight)
