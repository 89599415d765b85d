"""What nobody told a session: orders whose create was not answered, and what became of orders while it did not listen."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from ordernpay.clock import Clock
from ordernpay.commands import Command, CreateOrder
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.vendors.doshii import requests
from ordernpay.vendors.doshii.findings import carried_out, made_by, reference_of, rows_of
from ordernpay.vendors.doshii.inbox import Inbox
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.protocol import Publish, Report, Settlement
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.reporter import Reporter

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
        rows = rows_of(await self._read(requests.by_reference(reference)))
        return any([await self._settled_by(raw) for raw in rows])  # each of them, not up to the first

    async def _settled_by(self, raw: JsonObject) -> bool:
        """An order at Doshii shows that its create acted; whether that was news."""
        reference = Reader(raw).text("externalOrderRef")
        if reference is None:
            return False
        told = Settlement("external_ref", reference, lambda known: carried_out(known, raw), "order_id", made_by(raw))
        try:
            return (await self._publish([Report(settlement=told)])).settled > 0
        except OSError:
            self._reporter.report(Report(settlement=told))
            return False

    # Orders whose events were not heard

    async def catch_up(self) -> None:
        """Read what is open at Doshii, and what was when we last heard of it: what was told while nobody listened."""
        open_before = self._inbox.open_orders()
        listed = await self._read(f"orders?status=pending%2Caccepted%2Crejected&limit={requests.MOST_LISTED}")
        if listed is None:
            return
        rows = rows_of(listed)
        found = {Reader(raw).text("id") for raw in rows}
        for order_id in open_before:
            if order_id not in found:
                order = await self._read(requests.order_path(order_id))
                rows += [order] if isinstance(order, dict) else []
        for raw in rows:
            await self._settled_by(raw)
            await self._inbox.caught_up(raw)
