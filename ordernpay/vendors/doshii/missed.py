"""What nobody told a session: creates that were not answered, and what became of orders while it did not listen."""

from collections.abc import Callable
from typing import Final

import anyio
from attrs import define

from ordernpay.clock import Clock
from ordernpay.commands import Command
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import Outcome
from ordernpay.vendors.doshii import requests
from ordernpay.vendors.doshii.answers import is_elsewhere
from ordernpay.vendors.doshii.findings import CLOSED, OPEN, carried_out, is_order, known_by
from ordernpay.vendors.doshii.inbox import Inbox
from ordernpay.vendors.doshii.lookups import Ask, Lookups, read_list
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.http import Answered
from ordernpay.vendors.protocol import Publish, Report, Settlement, Undecided
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.reporter import Signal

MOST_PAGES: Final = 10
READ_SECONDS: Final = 10.0
LIST_PAUSE_MOST: Final = 600.0
LOOK_SECONDS: Final = 24 * 3600.0
"""How long in one life of a session something is looked for."""

WANING: Final = 10
"""Something is looked for more seldom the longer it has been: after a tenth of that time."""


@define
class _Looks:
    began: float
    due: float


class Missed:
    """What one session has to ask for by itself."""

    def __init__(
        self,
        config: DoshiiConfig,
        clock: Clock,
        ask: Callable[[float], Ask],
        publish: Publish,
        inbox: Inbox,
        lookups: Lookups,
    ) -> None:
        self._config = config
        self._clock = clock
        self._ask = ask
        self._publish = publish
        self._inbox = inbox
        self._lookups = lookups
        self._looks: dict[str, _Looks] = {}
        self._hurry = Signal()

    # Creates that were not answered

    async def look_now_and_then(self) -> None:
        """Look for what creates and payments without an outcome have made, also those of an earlier life."""
        while True:
            await self._look()
            await self._hurry.wait(self._config.reconcile_seconds)

    async def _look(self) -> None:
        try:
            held = [entry for entry in await self._publish.undecided() if _is_looked_for(entry)]
        except OSError:
            return
        self._looks = {entry.command.id: self._looks_of(entry.command) for entry in held}
        for entry in held:
            looks = self._looks[entry.command.id]
            if self._clock.now() < looks.due or self._clock.now() - looks.began > LOOK_SECONDS:
                continue
            since = entry.accepted_at if entry.accepted_at <= self._clock.wall() else None  # the clock was wrong then
            found = await self._lookups.find(self._ask(READ_SECONDS), entry.command, since)
            if isinstance(found, dict):
                await self._settle(entry.command, found)
            age = self._clock.now() - looks.began
            looks.due = self._clock.now() + min(LIST_PAUSE_MOST, age / WANING)

    def _looks_of(self, command: Command) -> _Looks:
        now = self._clock.now()
        return self._looks.get(command.id) or _Looks(now, now)

    async def _settle(self, command: Command, raw: JsonObject) -> None:
        def outcome(known: Command) -> Outcome:
            return carried_out(known, raw)

        made = next(iter(carried_out(command, raw).vendor_ids), None)
        try:
            await self._publish([Report(settlement=Settlement("key", command.key, outcome, made))])
        except OSError:
            return  # it is found again

    # Orders whose events were not heard

    async def catch_up(self) -> None:
        """What was told while nobody listened: all open orders, the newest closed ones, and those open when last heard of."""
        self._hurry.set()
        before, pause = self._inbox.heard(), self._config.reconcile_seconds
        rows = await self._listed()
        while rows is None:
            await anyio.sleep(pause)
            before, pause = self._inbox.heard(), min(2 * pause, LIST_PAUSE_MOST)
            rows = await self._listed()
        found = {Reader(raw).text("id") for raw in rows}
        for order_id, status in before.items():
            if status in OPEN and order_id not in found:
                rows += await self._read(order_id)
        for raw in rows:
            order_id = Reader(raw).text("id") or ""
            if self._inbox.heard_of(order_id) == before.get(order_id):  # else an event was faster, and is newer
                await self._inbox.caught_up(raw)

    async def _read(self, order_id: str) -> list[JsonObject]:
        """An order, if it can be read."""

        def shows(answer: Answered) -> bool:
            return is_order(answer.json(), self._config.location_id, order_id=order_id)

        answer = await self._ask(READ_SECONDS)(requests.order_path(order_id), shows)
        raw = answer.json() if isinstance(answer, Answered) else None
        return [raw] if isinstance(raw, dict) else []

    async def _listed(self) -> list[JsonObject] | None:
        """Orders of this location; None where they cannot be read."""
        rows: list[JsonObject] = []
        for statuses, pages in ((OPEN, MOST_PAGES), (CLOSED, 1)):
            listed = await read_list(self._ask(READ_SECONDS), requests.by_status(sorted(statuses)), most=pages)
            if isinstance(listed, Outcome):
                return None
            rows += listed.rows
        return [raw for raw in rows if not is_elsewhere(self._config.location_id, raw)]


def _is_looked_for(entry: Undecided) -> bool:
    return entry.state in {"unknown", "failed"} and known_by(entry.command) is not None
