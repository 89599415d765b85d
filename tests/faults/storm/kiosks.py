"""The kiosks of a storm: what they asked, and what they were told, each answer with its time."""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from attrs import define, field, frozen

from tests.faults.storm.ledger import Ledger
from tests.faults.storm.venue import METHODS, VENDORS, params

TIMEOUTS: Final = (0.3, 0.6, 1.0, 2.0, 4.0)
MOST_TRIES: Final = 100
LISTENS: Final = 8.0
"""Seconds that a kiosk listens beyond its timeout: a stopped daemon, or one on a slow disk, answers late."""

Json = dict[str, Any]


@frozen
class Told:
    """One answer."""

    asked: float
    at: float
    state: str | None
    code: int | None
    result: Any
    command_id: str | None
    text: str


@define(eq=False)
class Command:
    """One key, and all that was said about it."""

    key: str
    session: str
    method: str
    params: Json
    told: list[Told] = field(factory=list)
    retries: int = 0
    asked: int = 0

    @property
    def vendor(self) -> str:
        """Whose command it is."""
        return VENDORS[self.session]

    def first(self, *states: str) -> Told | None:
        """The first answer of such a state."""
        return next((told for told in self.told if told.state in states), None)


async def ask(path: str, method: str, asked: Json, seconds: float = 15) -> Json | None:
    """One call over a connection of its own; None where there was no whole answer."""
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(path, limit=2**24)
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": asked}
            writer.write(json.dumps(request).encode() + b"\n")
            while (line := await reader.readline()).endswith(b"\n"):
                answer: Json = json.loads(line)
                if answer.get("id") == 1:  # else a notification that the connection will be closed
                    return answer
    except (OSError, TimeoutError):
        return None
    finally:
        if writer is not None:
            writer.close()
    return None


@define(eq=False)
class Kiosks:
    """Everybody who orders."""

    socket: str
    ledger: Ledger
    dice: random.Random
    total: int
    commands: dict[str, Command] = field(factory=dict)
    wrongs: list[str] = field(factory=list)
    answers: Counter[str] = field(factory=Counter)
    done: int = 0
    cancels: dict[str, dict[str, str]] = field(factory=dict)
    _numbers: Iterator[int] = field(factory=itertools.count)

    async def order(self) -> None:
        """Order until enough was ordered."""
        while len(self.commands) < self.total:
            session = self.dice.choice(list(VENDORS))
            table = self.dice.randrange(1, 10_000)
            created = await self.command(session, "order.create", None, table)
            order_id = _order_id(created)
            if order_id is None:
                continue
            for method in METHODS[VENDORS[session]]:
                if len(self.commands) < self.total and self.dice.random() < 0.35:
                    await self.command(session, method, order_id, table)

    async def command(self, session: str, method: str, order_id: str | None, table: int) -> Command:
        """One command, by its key, until it has succeeded or was rejected or the kiosk has had enough."""
        key = f"{session}-{next(self._numbers)}"
        command = Command(key, session, method, params(session, method, key, order_id, table))
        if session == "hotel" and method == "order.create" and self.dice.random() < 0.25:
            command.params = await self._quoted(command) or command.params
        self.commands[key] = command
        if method == "order.cancel" and order_id is not None:
            self.cancels.setdefault(session, {}).setdefault(order_id, key)
        patience = self.dice.choice((1, 3, 6, 6, 12))
        attempt = 0
        while attempt < patience and command.asked < MOST_TRIES:
            told = await self.once(command)
            if self.dice.random() < 0.08:  # a kiosk that asks twice at once, and whose answers come in any order
                told, _ = await asyncio.gather(self.once(command), self.once(command))
            attempt += told is not None
            if told is None:
                await asyncio.sleep(0.05)
            if told is not None and told.state == "unknown" and self.dice.random() < 0.05:
                await self._retry(command, told)
            if told is not None and told.state in {"succeeded", "rejected"} and self.dice.random() > 0.1:
                break
            if told is not None and told.state == "unknown" and self.dice.random() < 0.3:
                break
            await asyncio.sleep(self.dice.uniform(0.0, 0.1) * 2 ** min(attempt, 3))
        self.done += 1
        return command

    async def _quoted(self, command: Command) -> Json | None:
        """The params of the same order by a quote."""
        quote = {"session": command.session, "order": command.params["order"], "timeout": 3}
        answer = await ask(self.socket, "order.quote", quote, 10)
        quote_id = answer["result"]["result"]["quote_id"] if answer and "result" in answer else None
        if quote_id is None:
            return None
        return {"session": command.session, "quote_id": quote_id, "idempotency_key": command.key}

    async def _retry(self, command: Command, told: Told) -> None:
        """A person who knows what they do."""
        command.retries += 1
        answer = await ask(self.socket, "command.retry", {"command_id": told.command_id, "timeout": 2.0}, 12)
        self.answers["retried"] += answer is not None

    async def look(self) -> None:
        """Read, all the time, what can be read."""
        while True:
            await asyncio.sleep(0.2)
            session = self.dice.choice(("bar", "annex", "pub", "cafe", "deli"))
            lists = {"session": session, "timeout": 2.0}
            method, asked = self.dice.choice((("order.list", lists), ("command.list", {}), ("session.list", {})))
            began = time.monotonic()
            answer = await ask(self.socket, method, asked, 15)
            if answer is not None and answer.get("error", {}).get("code") in {-32603, -32602, -32601}:
                self.wrongs.append(f"{method} was answered {answer['error']}")
            if answer is None and time.monotonic() - began > 14:
                self.answers[f"{method} not answered in 15 s"] += 1

    async def once(self, command: Command, given: float | None = None) -> Told | None:
        """Ask once; None where no answer came."""
        seconds = given or self.dice.choice(TIMEOUTS)
        asked = command.params | {"timeout": seconds}
        if given is None and self.dice.random() < 0.1:
            asked["when_offline"] = "fail"
        if given is None and self.dice.random() < 0.07:
            asked["wait"] = False
        command.asked += 1
        began = time.monotonic()
        answer = await ask(self.socket, command.method, asked, seconds + LISTENS)
        if answer is None:
            self.answers["no answer"] += 1
            return None
        told = _told(began, answer)
        self._check(command, told)
        command.told.append(told)
        self.answers[told.state or str(told.code)] += 1
        return told

    def _check(self, command: Command, told: Told) -> None:
        """What can be seen at once to be wrong."""
        key, acts = command.key, self.ledger.by_key.get(command.key, [])
        if told.state is None:
            if told.code not in {-32002, -32006}:
                self.wrongs.append(f"{key}: answered {told.code}: {told.text[:200]}")
            if told.code == -32002 and "nothing was sent" in told.text and (acts or command.told):
                known = command.first("succeeded", "rejected")
                if known is not None or any(act.done < told.asked for act in acts):
                    self.wrongs.append(f"{key}: told {told.code} {told.text[:80]}, though it acted {len(acts)} times")
            return
        if told.state in {"failed", "rejected"} and command.method != "order.cancel":
            before = [act for act in acts if act.arrived < told.at]
            if before and not (told.state == "rejected" and key in self.ledger.refused):
                self.wrongs.append(f"{key}: told {told.state} ({told.code}: {told.text[:160]}), though it had acted")
        known = command.first("succeeded", "rejected")
        if known is not None and (told.state, told.result) != (known.state, known.result):
            if told.state == "succeeded" == known.state and told.result != known.result:
                self.wrongs.append(f"{key}: succeeded with another result: {known.result} then {told.result}")
            elif told.state != known.state:
                self.wrongs.append(f"{key}: told {known.state}, and later {told.state} ({told.code} {told.text[:120]})")
        first = next((one.command_id for one in command.told if one.command_id), told.command_id)
        if told.command_id not in {None, first}:
            self.wrongs.append(f"{key}: was command {first}, and later {told.command_id}")

    async def settle_all(self, seconds: float) -> None:
        """Ask again, in quiet, for all that has no outcome yet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                pending = [one for one in self.commands.values() if self._asks_on(one)]
                for _ in range(3):
                    gate = asyncio.Semaphore(16)
                    await asyncio.gather(*(self._once_more(one, gate) for one in pending))
                    pending = [one for one in pending if one.first("succeeded", "rejected") is None]
                    await asyncio.sleep(0.7)

    def _asks_on(self, command: Command) -> bool:
        if command.first("succeeded", "rejected") is not None:
            return self.dice.random() < 0.2
        last = command.told[-1].state if command.told else None
        return last != "failed" or self.dice.random() < 0.5

    async def _once_more(self, command: Command, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self.once(command, 2.5)


def _told(asked: float, answer: Json) -> Told:
    now = time.monotonic()
    if "result" in answer:
        result = answer["result"]
        return Told(asked, now, result["state"], None, result.get("result"), result["command_id"], "")
    error = answer["error"]
    data = error.get("data") or {}
    text = str(error.get("message"))
    return Told(asked, now, data.get("state"), error["code"], None, data.get("command_id"), text)


def _order_id(command: Command) -> str | None:
    told = command.first("succeeded")
    order = (told.result or {}).get("order") if told is not None else None
    return order.get("id") if order else None
