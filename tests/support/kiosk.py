"""A kiosk as bare as it can be: one socket, JSON lines, and a key that it keeps until it knows how its order ended."""
# ruff: noqa: ASYNC110 - it polls with a deadline

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

from ordernpay.commands import COMMANDS
from ordernpay.simulator.order_n_pay import Credentials
from tests.support import planted

CREDENTIALS: Final = Credentials(planted.PROVIDER_OUTLET_ID, planted.POS_REMOTE_ID, planted.AUTH_SECRET)
MEMBERS: Final = {"kind", "command_id", "state", "retryable", "vendor_code", "vendor_message", "details"}
"""What the `data` of every error of a command has (contract, section 2)."""


def keyed(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The params of a call, with a fresh key where the method needs one and the test does not say which."""
    needs = method in COMMANDS and COMMANDS[method].changes
    return {"idempotency_key": str(uuid.uuid4())} | params if needs else params


def create(key: str | None = None, **more: Any) -> dict[str, Any]:
    """The params of an `order.create` that the simulated POS takes: a bowl of soup for table 14."""
    line = {"id": "1", "product": "1203", "name": "Soup", "quantity": 1, "unit_price": "4.50", "total": "4.50"}
    order = {"reference": key or "a-reference", "type": "dine_in", "table": "14", "lines": [line]}
    return {"order": order, "idempotency_key": key or str(uuid.uuid4())} | more


def update(order_id: str, key: str, **more: Any) -> dict[str, Any]:
    """The params of an `order.update` that adds a bowl of soup."""
    lines = create()["order"]["lines"]
    return {"order_id": order_id, "lines": lines, "idempotency_key": key} | more


def pay(order_id: str, key: str, **more: Any) -> dict[str, Any]:
    """The params of a `payment.create` of a small amount."""
    payment = {"method": "Visa", "amount": "1.00", "reference": key}
    return {"order_id": order_id, "payment": payment, "idempotency_key": key} | more


class Gone(Exception):
    """The daemon closed the connection."""


class Kiosk:
    """One connection. Answers are awaited in turn; what comes between is kept in `heard`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: list[dict[str, Any]] = []
        self._number = 0

    def say(self, raw: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(raw)

    def begin(self, method: str, params: Any = None) -> int:
        """Write a request; its id."""
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params or {}}
        self.say(json.dumps(request).encode() + b"\n")
        return self._number

    async def hear(self, seconds: float = 20) -> dict[str, Any]:
        """The next line, whatever it is."""
        try:
            async with asyncio.timeout(seconds):
                line = await self.reader.readline()
        except OSError:
            raise Gone from None
        if not line.endswith(b"\n"):
            raise Gone
        message: dict[str, Any] = json.loads(line)
        return message

    async def answer(self, number: int, seconds: float = 20) -> dict[str, Any]:
        """The answer to a request, with its `result` or its `error`."""
        while True:
            for message in self.heard:
                if message.get("id") == number:
                    self.heard.remove(message)
                    return message
            self.heard.append(await self.hear(seconds))

    async def ask(self, method: str, params: Any = None, seconds: float = 20) -> dict[str, Any]:
        """Call, and return the whole answer."""
        return await self.answer(self.begin(method, params), seconds)

    async def result(self, method: str, params: Any = None, seconds: float = 20) -> dict[str, Any]:
        """Call, and return the result; an error fails the test."""
        answer = await self.ask(method, params, seconds)
        assert "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def error(self, method: str, params: Any = None, seconds: float = 20) -> dict[str, Any]:
        """Call, and return the error; a result fails the test."""
        answer = await self.ask(method, params, seconds)
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error


@contextlib.asynccontextmanager
async def kiosk(path: str) -> AsyncIterator[Kiosk]:
    """A kiosk at a daemon's socket."""
    reader, writer = await asyncio.open_unix_connection(path, limit=16 * 1_048_576)
    try:
        yield Kiosk(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(path: str, method: str, params: Any = None, seconds: float = 20) -> dict[str, Any]:
    """One call over a connection of its own: the whole answer."""
    async with kiosk(path) as one:
        return await one.ask(method, params, seconds)


async def insist(path: str, method: str, params: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    """Call with the same key, through whatever breaks, until it has succeeded or was rejected; the outcome.

    An outcome is the answer's `result`, or the `data` of its error.
    """
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(OSError, Gone, TimeoutError):
                answer = await ask(path, method, params)
                outcome: dict[str, Any] = answer.get("result") or answer["error"]["data"]
                if outcome["state"] in {"succeeded", "rejected"}:
                    return outcome
                assert outcome["retryable"], answer
            await asyncio.sleep(0.02)


async def rows(path: str, **query: Any) -> list[dict[str, Any]]:
    """Every command of the journal, newest first."""
    found: list[dict[str, Any]] = []
    after = None
    async with kiosk(path) as one:
        while True:
            page = await one.result("command.list", {"limit": 1000, "after": after} | query)
            found += page["commands"]
            after = page["next"]
            if after is None:
                return found


async def row_of(path: str, key: str) -> dict[str, Any]:
    """The journal's row of a key."""
    [found] = [row for row in await rows(path) if row["idempotency_key"] == key]
    return found


async def up(path: str, session: str = "bar", seconds: float = 10) -> None:
    """Wait until a session is up."""
    async with asyncio.timeout(seconds), kiosk(path) as one:
        while (await one.result("session.get", {"session": session}))["session"]["state"] != "up":
            await asyncio.sleep(0.01)
