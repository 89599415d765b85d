"""What stands in for a part that a test does not want: a clock to turn by hand, a session that does as it is told."""

import sqlite3
from collections.abc import Callable
from typing import Any

import anyio
from attrs import define, field, frozen

from ordernpay.commands import COMMANDS, Command, new_id, read_params
from ordernpay.conversion import unstructure
from ordernpay.journal import Event, NewCommand, Row, Verdict, lookups, store
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import Failure, Outcome, ended, expired, succeeded
from ordernpay.vendors.protocol import (
    Attempt,
    Door,
    Prepared,
    SessionState,
    SessionStatus,
    Settlement,
    WebsocketDoor,
    lacking,
)

ORDER: JsonObject = {"reference": "r-1", "table": "14", "lines": [{"product": "1203", "name": "Soup"}]}
WALL = 1_800_000_000.0


@define
class HandClock:
    """Time that passes when a test says so."""

    at: float = 1_000.0
    asleep: float = 0.0
    stepped: float = 0.0

    def now(self) -> float:
        return self.at + self.asleep

    def awake(self) -> float:
        return self.at

    def wall(self) -> float:
        return WALL + self.at + self.asleep + self.stepped

    def forward(self, seconds: float) -> None:
        self.at += seconds


def command(
    method: str = "order.create", *, session: str = "bar", options: JsonObject | None = None, **params: Any
) -> Command:
    """A checked command, as the gateway makes one."""
    key = params.pop("idempotency_key", None) or new_id()
    timeout = params.pop("timeout", 30.0)
    if not params and method == "order.create":
        params = {"order": ORDER}
    _, own = read_params(method, {"idempotency_key": key, **params})
    return Command(new_id(), session, method, own, options or {}, key, timeout)


def new_command(*, whole: bool = True, accepted_at: float = WALL, **given: Any) -> NewCommand:
    """A command about to be written down."""
    made = command(**given)
    return NewCommand(
        made,
        made.content(),
        whole,
        accepted_at + made.timeout,
        accepted_at,
        1000,
        {"request_id": f"id-{made.key}"},
    )


def settle_by_news(db: sqlite3.Connection, session: str, news: Settlement, wall: float) -> tuple[Row, Event] | None:
    """What a session's publisher does with a vendor's later word, in one go."""
    row = lookups.match(db, session, news, wall)
    if row is None:
        return None
    return store.settle_by_verdict(db, Verdict(row, news.outcome(row.command()), news.sole), wall)


@frozen
class ScriptedOptions:
    """The options of a scripted session."""

    device_id: str | None = None


@define(eq=False)
class ScriptedSession:
    """A session whose `perform` is what the test scripted; without a script it succeeds after sending."""

    name: str = "bar"
    vendor: str = "scripted"
    repeats: bool = True
    commands: tuple[str, ...] = tuple(COMMANDS)
    options: type[Any] = ScriptedOptions
    script: Callable[[Command, Attempt], Any] | None = None
    state: SessionState = "up"
    performed: list[tuple[str, bool]] = field(factory=list)
    whole: bool = True
    refuse: Exception | None = None
    reconnects: int = 0
    offered: tuple[Door | WebsocketDoor, ...] = ()
    exclusive: bool = False
    taken: Callable[[], None] | None = None

    def unsupported(self, method: str) -> Failure | None:
        return lacking(self.vendor, self.commands, method)

    def prepare(self, command: Command) -> Prepared:
        if self.refuse is not None:
            raise self.refuse
        content = command.content()
        return Prepared(work=None, kept=content, whole=self.whole, vendor_ids={"request_id": f"id-{command.key}"})

    def may_repeat(self, method: str) -> bool:
        return self.repeats and method in self.commands

    async def perform(self, command: Command, prepared: Prepared, attempt: Attempt) -> Outcome:
        self.performed.append((command.key, attempt.sent_before))
        if self.script is not None:
            outcome: Outcome = await self.script(command, attempt)
            return outcome
        return await act(command, attempt)

    async def run(self) -> None:
        await anyio.sleep_forever()

    def follow(self, taken: Callable[[], None]) -> None:
        self.taken = taken

    async def retire(self) -> None:
        await anyio.sleep_forever()

    def status(self) -> SessionStatus:
        return SessionStatus(self.state, WALL, len(self.performed), None, {"connections": 1})

    def reconnect(self) -> None:
        self.reconnects += 1

    def suspect(self, why: str) -> None:
        """A scripted session has no connection to doubt."""

    def doors(self) -> tuple[Door | WebsocketDoor, ...]:
        return self.offered


async def act(command: Command, attempt: Attempt) -> Outcome:
    """Send, and succeed."""
    await attempt.sending()
    return succeeded({"order": unstructure(getattr(command.params, "order", None))}, {"ResultCode": 0}, order_id="o-1")


async def never_sent(command: Command, attempt: Attempt) -> Outcome:
    """Give up before anything was sent."""
    return expired("the timeout passed before the request was sent")


async def no_answer(command: Command, attempt: Attempt) -> Outcome:
    """Send, and hear nothing."""
    await attempt.sending()
    return ended(Failure("outcome_unknown", "sent, and not answered in time"))


async def refused(command: Command, attempt: Attempt) -> Outcome:
    """Send, and be told no."""
    await attempt.sending()
    return ended(Failure("rejected", "the POS refused: no", vendor_code=99, vendor_message="no"), {"ResultCode": 99})
