"""A small HTTP/1.1 server for vendors that misbehave, and a client for their webhooks. Nothing but asyncio."""
# ruff: noqa: PLR0911 - tables of what befalls a request

import asyncio
import contextlib
import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

from attrs import frozen

from tests.faults.storm.ledger import Evil, Ledger, Mischief

PAGES: Final = {
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
    520: "Web server is returning an unknown error",
    522: "Connection timed out",
    524: "A timeout occurred",
}
NOTHINGS: Final = (b"", b"{}", b"[]", b"null", b'"OK"', b"<html><body>Welcome to Guest WiFi</body></html>")
"""Answers of 2xx that say nothing."""

NOES: Final = (b'{"success": false}', b'{"IsSuccess": "false"}')
"""Answers of 2xx that say no: only before the act, since a vendor that says no to what it has done cannot be believed."""

NO_BODY: Final = b""


@frozen
class Request:
    """What came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    arrived: float

    def json(self) -> Any:
        """The body; None where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@frozen
class Reply:
    """What goes back."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    raw: bytes | None = None
    media: str = "application/json"

    def encode(self) -> tuple[bytes, bytes]:
        """Head and body."""
        body = self.raw if self.raw is not None else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} X", f"Content-Type: {self.media}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode(), body


def page(status: int) -> Reply:
    """What a gateway says of itself."""
    text = f"<html><head><title>{status} {PAGES[status]}</title></head><body><center>nginx</center></body></html>"
    return Reply(status, raw=text.encode(), media="text/html")


class HttpVendor(ABC):
    """A vendor behind HTTP. What it does is `act`; everything else befalls it."""

    name: ClassVar[str]
    weights: ClassVar[Mapping[Evil, float]]

    def __init__(self, ledger: Ledger, dice: random.Random) -> None:
        self.ledger = ledger
        self.dice = dice
        self.mischief = Mischief(dice, self.weights, ledger, self.name)
        self.tasks = set[asyncio.Task[Any]]()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open = set[asyncio.StreamWriter]()

    @abstractmethod
    def is_change(self, request: Request) -> bool:
        """Whether a request may act."""

    @abstractmethod
    def act(self, request: Request) -> Reply:
        """Do what a request asks, as the pages say."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def spawn(self, work: Any) -> None:
        """Something that goes on by itself."""
        task = asyncio.get_running_loop().create_task(work, name="work")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def open(self) -> None:
        """Be there, on the port that it had before."""
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Be gone: nobody listens, and all connections are cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def close(self) -> None:
        """Be gone for good."""
        self.shut()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    # One connection

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        parts = urlsplit(target)
        length = int(headers.get("content-length", 0))
        request = Request(method, parts.path, dict(parse_qsl(parts.query)), headers, b"", time.monotonic())
        changes = self.is_change(request)
        self.ledger.requests[f"{self.name} {'changes' if changes else 'reads'}"] += 1
        evil = self.mischief.pick() if changes else self._of_a_read()
        if evil is Evil.CUT_HEAD:
            writer.transport.abort()
            return False
        body = await reader.readexactly(length)
        request = Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body, request.arrived)
        return await self._befall(request, evil, writer)

    def _of_a_read(self) -> Evil | None:
        """Reads and token requests are disturbed more seldom, and have nothing to do."""
        if self.mischief.calm or self.dice.random() > 0.06:
            return None
        return self.dice.choice((Evil.CUT_BEFORE, Evil.PAGE_BEFORE, Evil.CUT_DURING, Evil.LATE, Evil.NOTHING_BEFORE))

    async def _befall(self, request: Request, evil: Evil | None, writer: asyncio.StreamWriter) -> bool:
        before = self._before(evil)
        if before is not None:
            return await _say(before, writer)
        match evil:
            case Evil.CUT_BEFORE:
                writer.transport.abort()
                return False
            case Evil.SILENT_BEFORE:
                await asyncio.sleep(self.mischief.seconds(1, 6))
                writer.transport.abort()
                return False
            case Evil.PAGE_THEN_ACT:
                self.spawn(self._act_later(request, self.mischief.seconds(0.05, 1.5)))
                return await _say(page(504), writer)
            case Evil.SLOW_ACT:
                await asyncio.sleep(self.mischief.seconds())
        reply = self.act(request)
        match evil:
            case Evil.CUT_AFTER:
                writer.transport.abort()
                return False
            case Evil.CUT_DURING:
                head, body = reply.encode()
                writer.write((head + body)[: self.dice.randrange(len(head + body))])
                await writer.drain()
                writer.transport.abort()
                return False
            case Evil.SILENT_AFTER:
                await asyncio.sleep(self.mischief.seconds(1, 6))
                writer.transport.abort()
                return False
            case Evil.LATE:
                await asyncio.sleep(self.mischief.seconds())
        return await _say(self._after(evil, reply), writer)

    async def _act_later(self, request: Request, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.act(request)

    def _before(self, evil: Evil | None) -> Reply | None:
        """What is answered instead of acting."""
        match evil:
            case Evil.PAGE_BEFORE:
                return page(self.dice.choice(list(PAGES)))
            case Evil.OWN_503_BEFORE:
                return self.error(503, "starting", {"Retry-After": "1"} if self.dice.random() < 0.5 else {})
            case Evil.OWN_500_BEFORE:
                return self.error(500, "something went wrong")
            case Evil.TOO_MANY:
                return self.error(429, "too many requests", {"Retry-After": "1"})
            case Evil.TIMEOUT_BEFORE:
                return Reply(self.dice.choice((408, 425)), raw=NO_BODY, headers={"Connection": "close"})
            case Evil.REDIRECT:
                return Reply(self.dice.choice((307, 308)), raw=NO_BODY, headers={"Location": "http://127.0.0.1:9/"})
            case Evil.UNAUTHORISED:
                return self.error(401, "who are you")
            case Evil.REFUSED:
                return self.error(400, "not today")
            case Evil.NOTHING_BEFORE:
                return self._nothing(*NOTHINGS, *NOES)
            case _:
                return None

    def _after(self, evil: Evil | None, reply: Reply) -> Reply:
        """What is answered after the act."""
        match evil:
            case Evil.PAGE_AFTER:
                return page(self.dice.choice(list(PAGES)))
            case Evil.OWN_503_AFTER:
                return self.error(503, "busy")
            case Evil.OWN_500_AFTER:
                return self.error(500, "something went wrong")
            case Evil.TIMEOUT_AFTER:
                return Reply(408, raw=NO_BODY, headers={"Connection": "close"})
            case Evil.NOTHING_AFTER:
                return self._nothing(*NOTHINGS)
            case Evil.TORN_AFTER:
                head_and_body = reply.encode()[1]
                return Reply(reply.status, raw=head_and_body[: max(1, len(head_and_body) // 2)])
            case _:
                return reply

    def _nothing(self, *raws: bytes) -> Reply:
        raw = self.dice.choice(raws)
        return Reply(200, raw=raw, media="text/html" if raw.startswith(b"<") else "application/json")

    def error(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
        """The vendor's own word, in its own JSON."""
        return Reply(status, {"message": text}, headers or {})


async def _say(reply: Reply, writer: asyncio.StreamWriter) -> bool:
    head, body = reply.encode()
    writer.write(head + body)
    await writer.drain()
    return reply.headers.get("Connection") != "close"


async def post(port: int, path: str, body: bytes, headers: Mapping[str, str], seconds: float = 10) -> int | None:
    """POST to the daemon's own door; the status, or None where there was no answer."""
    return (await _post(port, path, body, headers, seconds))[0]


async def post_json(port: int, path: str, body: Any) -> tuple[int | None, Any]:
    """POST JSON to the daemon's own door; the status and the answer's JSON."""
    status, answer = await _post(port, path, json.dumps(body).encode(), {}, 10)
    with contextlib.suppress(ValueError):
        return status, json.loads(answer)
    return status, None


async def _post(
    port: int, path: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> tuple[int | None, bytes]:
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
            head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    except (OSError, TimeoutError):
        return None, b""
    finally:
        if writer is not None:
            writer.close()
    first = head.split(b" ", 2)
    return (int(first[1]), answer) if len(first) > 1 and first[1].isdigit() else (None, b"")
