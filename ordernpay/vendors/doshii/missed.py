"""What nobody told a session: orders whose create was not answered, and what became of orders while it did not listen."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from ordernpay.clock import Clock
from ordernpay.commands import Command, CreateOrder
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.vendors.doshii import requests
from ordernpay.vendors.doshii.findings import CLOSED, OPEN, carried_out, made_by, reference_of, rows_of
from ordernpay.vendors.doshii.inbox import Inbox
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.protocol import Publish, Report, Settlement
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.reporter import Reporter

MOST_PAGES: Final = 10
LIST_PAUSE_MOST: Final = 600.0
DOUBTS_KEPT: Final = 1_000
DOUBT_SECONDS: Final = 24 * 3600.0
"""How long an order is looked for whose create was not answered."""

Read = Callable[[str], Awaitable[JsonValue]]
"""Reads what is at a path, tried again for a while; None where it cannot be read."""


class Missed:
    """What one session has to ask for by itself."""

    def __init__(
        self, config: DoshiiConfig, clock: Clock, read: Read, publish: Publish, inbox: Inbox, reporter: Reporter
    ) -> None:
        self._config = config
        self._clock = clock
        self._read = read
        self._publish = publish
        self._inbox = inbox
        self._reporter = reporter
        self._doubtful: OrderedDict[str, float] = OrderedDict()

    # Orders whose create was not answered

    def doubt(self, command: Command) -> None:
        """Look for what this command may have made."""
        reference = reference_of(command)
        if isinstance(command.params, CreateOrder) and reference is not None:
            self._doubtful[reference] = self._clock.now() + DOUBT_SECONDS
            while len(self._doubtful) > DOUBTS_KEPT:
                self._doubtful.popitem(last=False)

    async def look_now_and_then(self) -> None:
        """Look for orders whose create was not answered."""
        while True:
            await anyio.sleep(self._config.reconcile_seconds)
            for reference, until in list(self._doubtful.items()):
                if await self._look_for(reference) or self._clock.now() > until:
                    self._doubtful.pop(reference, None)

    async def _look_for(self, reference: str) -> bool:
        """Whether an order with this reference is there that was not known to be another command's."""
        return await self._settled_by(rows_of(await self._read(requests.by_reference(reference)))) > 0

    async def _settled_by(self, rows: Sequence[JsonObject]) -> int:
        """Orders at Doshii show that their creates acted; for how many that was news."""
        reports = [Report(settlement=told) for raw in rows if (told := _shown(raw)) is not None]
        if not reports:
            return 0
        try:
            return (await self._publish(reports)).settled
        except OSError:
            for report in reports:
                self._reporter.report(report)
            return 0

    # Orders whose events were not heard

    async def catch_up(self) -> None:
        """What was told while nobody listened: all open orders, the newest closed ones, and those open when last heard of."""
        before, pause = self._inbox.heard(), self._config.reconcile_seconds
        rows = await self._listed()
        while rows is None:
            await anyio.sleep(pause)
            before, pause = self._inbox.heard(), min(2 * pause, LIST_PAUSE_MOST)
            rows = await self._listed()
        found = {Reader(raw).text("id") for raw in rows}
        for order_id, status in before.items():
            if status in OPEN and order_id not in found:
                order = await self._read(requests.order_path(order_id))
                rows += [order] if isinstance(order, dict) else []
        await self._settled_by(rows)
        for raw in rows:
            order_id = Reader(raw).text("id") or ""
            if self._inbox.heard_of(order_id) == before.get(order_id):  # else an event was faster, and is newer
                await self._inbox.caught_up(raw)

    async def _listed(self) -> list[JsonObject] | None:
        """Orders as they stand; None where they cannot be read."""
        rows: list[JsonObject] = []
        for statuses, pages in ((OPEN, MOST_PAGES), (CLOSED, 1)):
            for page in range(pages):
                listed = await self._read(requests.by_status(sorted(statuses), page))
                if listed is None:
                    return None
                rows += rows_of(listed)
                if len(rows_of(listed)) < requests.MOST_LISTED:
                    break
        return rows


def _shown(raw: JsonObject) -> Settlement | None:
    """What an order says of the command that may have made it."""
    reference = Reader(raw).text("externalOrderRef")
    if reference is None:
        return None
    return Settlement("external_ref", reference, lambda known: carried_out(known, raw), "order_id", made_by(raw))
