"""The long-lived session above one-shot connections, with connections that a test holds in its hand."""

import json
from typing import Any

import anyio
from attrs import define, field

from ordernpay.clock import SystemClock
from ordernpay.config import Inbound
from ordernpay.conversion import structure
from ordernpay.outcomes import Outcome
from ordernpay.vendors.order_n_pay.session import OrderNPaySession
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.protocol import HttpRequest, LinkClosed, WebsocketDoor
from tests.support import planted
from tests.support.daemons import session as table
from tests.support.wait import until
from tests.vendors.given import Journal, Try, command, in_time, serving

ORDER = {"reference": "A-1", "table": "7", "lines": [{"product": "1203", "name": "Soup", "quantity": 1}]}


@define(eq=False)
class Hand:
    """A connection: what was sent over it, and what it will hear."""

    answers: bool = True
    sent: list[str] = field(factory=list)
    closed: list[int] = field(factory=list)
    _heard: list[str] = field(factory=list)
    _news: anyio.Event = field(factory=anyio.Event)

    async def send(self, text: str) -> None:
        self.sent.append(text)
        if self.answers:
            request = json.loads(text)
            order = {"SalesTransactionID": "5e0a4f10", "Amount": 3.5}
            told = {"RequestID": request["RequestID"], "ResultCode": 0, "Payload": {"Order": order}}
            self._heard.append(json.dumps(told))
            self._news.set()
        await anyio.lowlevel.checkpoint()
        if self.closed:
            raise LinkClosed("connection lost")

    async def receive(self) -> str:
        while not self._heard:
            await self._news.wait()
            self._news = anyio.Event()
        return self._heard.pop(0)

    async def probe(self) -> None:
        """Always alive."""

    async def close(self, code: int, reason: str) -> None:
        del reason
        self.closed.append(code)


@define
class GatedTry(Try):
    """An attempt whose writing-down ends when a test says so."""

    gate: anyio.Event = field(factory=anyio.Event)

    async def sending(self) -> None:
        await self.gate.wait()


def listening() -> OrderNPaySession:
    config = structure(
        table(
            role="listen",
            provider_outlet_id=planted.PROVIDER_OUTLET_ID,
            pos_remote_id=planted.POS_REMOTE_ID,
            auth_secret=planted.AUTH_SECRET,
        ),
        OrderNPayConfig,
    )
    return OrderNPaySession("s", config, Inbound(), Journal(), SystemClock())


def come(session: OrderNPaySession) -> Any:
    """The POS comes with a good token: what serves its connection."""
    token = session._desk.issue()
    door = next(door for door in session.doors() if isinstance(door, WebsocketDoor))
    serve = door.admit(HttpRequest({"token": token}, {}, b"", "127.0.0.1"))
    assert serve is not None
    return serve


async def test_a_newer_connection_gets_what_was_submitted_in_the_very_turn_in_which_it_came() -> None:
    session = listening()
    old, new = Hand(answers=False), Hand()
    create = command("order.create", {"order": ORDER})
    attempt = GatedTry(in_time(3))
    outcomes: list[Outcome] = []

    async def perform() -> None:
        outcomes.append(await session.perform(create, session.prepare(create), attempt))

    async with serving(session.run), anyio.create_task_group() as tasks:
        tasks.start_soon(come(session), old)
        await until(lambda: session.status().state == "up")
        tasks.start_soon(perform)
        await anyio.wait_all_tasks_blocked()
        attempt.gate.set()  # the request is submitted in the next turn of the loop …
        tasks.start_soon(come(session), new)  # … and in the same turn the POS comes anew
        await until(lambda: bool(outcomes))
        tasks.cancel_scope.cancel()
    assert (len(new.sent), len(old.sent)) == (1, 0)
    assert outcomes[0].state == "succeeded"
    assert old.closed == [1000]
