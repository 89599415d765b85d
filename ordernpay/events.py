"""Events on their way from the journal to subscribers: every one, in order, without a gap and without a repeat.

A subscriber is a position, not a queue: it reads what follows its position, from memory where that reaches back far
enough and from the journal otherwise, and waits where there is nothing. So a slow one costs no memory, and what it
has not read yet is where it was: in the journal.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from functools import partial
from itertools import takewhile
from typing import Final

import anyio
from anyio.lowlevel import checkpoint
from attrs import frozen

from ordernpay.journal import Event, Journal
from ordernpay.jsontext import dumps
from ordernpay.workload import beside

KEPT_IN_MEMORY: Final = 1_000
KEPT_SIZE: Final = 4 * 2**20
WRITTEN_AT_ONCE: Final = 20_000
"""Characters that are written in a millisecond or so."""
KEPT_PAGES: Final = 4
"""Of those who catch up: after a restart all kiosks do, from about the same number."""
PAGE: Final = 50
PAGE_SIZE: Final = 2**18
"""Events, and characters of their texts: a vendor's answer may be of any length, and as objects it takes several times that."""


class FellBehind(Exception):
    """A subscriber is further behind than the bound allows."""


@frozen
class Selection:
    """Which events a subscriber wants; None means all."""

    sessions: frozenset[str] | None = None
    kinds: frozenset[str] | None = None

    def takes(self, event: Event) -> bool:
        """Whether this event is wanted."""
        return (self.sessions is None or event.session in self.sessions) and (
            self.kinds is None or event.kind in self.kinds
        )


class Events:
    """All events of the daemon, for any number of subscribers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._recent: deque[Event] = deque()
        self._size = 0
        self._last = 0
        self._news = anyio.Event()
        self._texts: OrderedDict[int, str] = OrderedDict()
        self._texts_size = 0
        self._reading = anyio.Lock()
        self._turn = anyio.Lock()
        self._pages: OrderedDict[int, list[Event]] = OrderedDict()
        self.published: dict[tuple[str, str], int] = {}

    async def start(self) -> None:
        """Find out where the numbers stand."""
        _, self._last = await self._journal.event_bounds()
        self._journal.announce = self.announce

    @property
    def last_seq(self) -> int:
        """The number of the newest event."""
        return self._last

    def announce(self, event: Event) -> None:
        """Tell subscribers of an event that is durable; called in the order of their numbers."""
        key = (event.session, event.kind)
        self.published[key] = self.published.get(key, 0) + 1
        self._recent.append(event)
        self._size += event.size
        while len(self._recent) > KEPT_IN_MEMORY or self._size > KEPT_SIZE:
            self._size -= self._recent.popleft().size
        self._last = event.seq
        self._news.set()
        self._news = anyio.Event()

    async def follow(self, since: int, selection: Selection, backlog: int) -> AsyncIterator[Event]:
        """Every wanted event after `since`: first those kept, then each as it happens.

        Args:
            since: the number of the last event already known.
            selection: which are wanted.
            backlog: how far behind a subscriber may fall once it has caught up.

        Raises:
            FellBehind: it is further behind than that.
        """
        position, caught_up = since, False
        while True:
            news = self._news
            page = await self._page(position)
            if not page:
                caught_up = True
                await news.wait()
                continue
            for event in page:
                if caught_up and self._last - position > backlog:
                    raise FellBehind
                position = event.seq
                if selection.takes(event):
                    yield event

    async def next_turn(self) -> None:
        """Let everything else go on; of all subscribers one at a time goes on after it, however many catch up."""
        async with self._turn:
            await checkpoint()

    async def text_of(self, event: Event) -> str:
        """The event as JSON; written once, however many subscribers there are."""
        text = self._texts.get(event.seq)
        if text is None:
            write = partial(dumps, event.as_json())
            text = write() if event.size < WRITTEN_AT_ONCE else await beside(write)
            self._texts_size += len(text) - len(self._texts.pop(event.seq, ""))
            self._texts[event.seq] = text
            while self._texts_size > KEPT_SIZE and len(self._texts) > 1:
                self._texts_size -= len(self._texts.popitem(last=False)[1])
        return text

    async def _page(self, position: int) -> list[Event]:
        if position >= self._last:
            return []
        if self._recent and self._recent[0].seq <= position + 1:
            newer = takewhile(lambda event: event.seq > position, reversed(self._recent))
            return [*newer][: -PAGE - 1 : -1]
        async with self._reading:  # one page at a time: whoever reads in the journal for a command comes in between
            page = self._pages.get(position)
            if page is None:
                page = await self._journal.events_after(position, PAGE, size=PAGE_SIZE)
                self._pages |= {position: page} if page else {}
                if len(self._pages) > KEPT_PAGES:
                    self._pages.popitem(last=False)
        return page
