"""What is at Doshii: lists read page by page to their end, and what became of a create that was not answered.

Whatever was found is a command's own only where no other command can have made it. So first the list is read, then which
other commands of that reference have no outcome yet, then which of what was found is known to be another's: what the list
shows was made by a command that is known as one of both.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from attrs import frozen

from ordernpay.commands import Command, CreatePayment
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Outcome
from ordernpay.vendors.doshii import answers, requests
from ordernpay.vendors.doshii.findings import (
    Contested,
    Page,
    is_ours,
    known_by,
    lookup_path,
    may_share,
    pick,
    was_there,
)
from ordernpay.vendors.http import Answered
from ordernpay.vendors.protocol import Publish, Undecided
from ordernpay.vendors.reading import Reader

MOST_PAGES: Final = 20
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of the pages of one list; what is beyond them is left out, and said to be."""

Ask = Callable[[str, Callable[[Answered], bool]], Awaitable[Answered | Outcome]]
"""Reads what is at a path, tried again until a deadline; told what an answer must show."""


@frozen
class Listed:
    """A list as far as it was read; `more`: it goes on."""

    rows: list[JsonObject]
    pages: list[JsonValue]
    more: bool


async def read_list(ask: Ask, path: str, *, bare: bool = False, most: int = MOST_PAGES) -> Listed | Outcome:
    """Read a list to its end.

    Args:
        ask: reads a page.
        path: where it is.
        bare: whether its page shows a bare array, which has no further pages.
        most: pages that are read.
    """
    rows: dict[str, JsonObject] = {}
    nameless: list[JsonObject] = []
    pages: list[JsonValue] = []
    offset, count, size = 0, None, 0
    while len(pages) < most and size < MOST_BYTES:
        answer = await ask(
            path if bare else requests.page(path, offset), lambda answer: Page.of(answer.json(), bare=bare) is not None
        )
        if isinstance(answer, Outcome):
            return answer
        page = Page.of(answer.json(), bare=bare)
        if page is None:
            break
        pages.append(answer.json())
        size += len(answer.body)
        known = len(rows)
        for raw in page.rows:
            identity = answers.identity(Reader(raw), "id")
            if identity is None:
                nameless.append(raw)
            else:
                rows.setdefault(identity, raw)
        if bare or page.ends(offset):
            return Listed([*rows.values(), *nameless], pages, more=False)
        if offset and len(rows) == known:  # what is further on cannot be reached
            return Listed([*rows.values(), *nameless], pages, more=(page.count or 0) > len(rows))
        gone = max(0, (count or 0) - page.count) if page.count is not None else 0
        count, offset = page.count, max(0, offset + len(page.rows) - gone)  # what left the list moved the rest up
    return Listed([*rows.values(), *nameless], pages, more=True)


class Lookups:
    """What creates and payments of one session have made at Doshii.

    Args:
        location: whose orders count.
        ask: reads a page.
        publish: knows which commands have no outcome yet, and what is whose.
        sent: what a command sends; None where that cannot be told any more.
    """

    def __init__(self, location: str, publish: Publish, sent: Callable[[Command], JsonValue]) -> None:
        self._location = location
        self._publish = publish
        self._sent = sent

    async def find(self, ask: Ask, command: Command, since: float | None) -> JsonObject | Contested | None:
        """Find what a command has made; None where Doshii shows nothing of it.

        Args:
            ask: reads a page.
            command: a create or a payment.
            since: wall time before which it cannot have made anything.
        """
        path, name = lookup_path(command), known_by(command)
        if path is None or name is None:
            return Contested("it has no reference by which it could be found")
        bare = isinstance(command.params, CreatePayment)
        listed = await read_list(ask, path, bare=bare)
        if isinstance(listed, Outcome):
            return Contested("whether it is at Doshii could not be looked up now")
        found = [
            raw for raw in listed.rows if is_ours(command, Reader(raw), self._location) and not was_there(raw, since)
        ]
        if any(answers.identity(Reader(raw), "id") is None for raw in found):
            return Contested("something with its reference is there, without an id")
        if not found:
            return Contested("Doshii lists more than can be looked through") if listed.more else None
        try:
            rivals = [entry for entry in await self._publish.undecided(*name) if _is_rival(entry, command)]
            mine = [raw for raw in found if await self._may_be_of(command, raw)]
        except OSError as error:
            return Contested(f"what else is under way is not known: {error}")
        return pick(self._sent(command), [self._sent(entry.command) for entry in rivals], mine)

    async def _may_be_of(self, command: Command, raw: JsonObject) -> bool:
        """Whether what was found is not known to be what another command has made."""
        identity = answers.identity(Reader(raw), "id") or ""
        made = "payment_id" if isinstance(command.params, CreatePayment) else "order_id"
        return (await self._publish.recall(made, identity)).get("key", command.key) == command.key


def _is_rival(entry: Undecided, command: Command) -> bool:
    """Whether another command may have made what is found for this one."""
    return (
        entry.sent
        and entry.state != "failed"
        and entry.command.key != command.key
        and may_share(command, entry.command)
    )
