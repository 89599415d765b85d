"""What the simulated REST vendors share: an HTTP server inside the program, and what can go wrong on the way to it."""

import asyncio
import contextlib
import http
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, MutableMapping
from enum import StrEnum
from typing import Any, Final

import uvicorn
from attrs import define, evolve, field, frozen
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ordernpay.simulator.panel import PLACE, panel
from ordernpay.simulator.till import reset


class WebFault(StrEnum):
    """What can happen to a request.

    Those up to ``status`` do not act; the others do what was asked before anything goes wrong.
    """

    CUT_BEFORE = "cut_before"
    """The connection is reset when the request has come."""
    DEAF = "deaf"
    """Never acts, never answers."""
    STATUS = "status"
    """Answers with a status instead of acting."""
    CUT_AFTER = "cut_after"
    """Acts, then resets the connection without an answer."""
    CUT_DURING = "cut_during"
    """Acts, then resets the connection in the middle of the answer."""
    SILENT = "silent"
    """Acts, never answers."""
    LATE = "late"
    """Acts, answers after ``seconds``."""
    GARBAGE = "garbage"
    """Acts, answers 200 with something that is no JSON."""
    BROKEN = "broken"
    """Acts, then answers with a status as if it had not."""
    PORTAL = "portal"
    """Does not act, and answers 200 with the page of a captive portal, in JSON."""
    EMPTY = "empty"
    """Acts, and answers 200 with nothing."""
    GATEWAY_BEFORE = "gateway_before"
    """Does not act, and answers with a status and the page that nginx has for it."""
    GATEWAY_AFTER = "gateway_after"
    """Acts, then the same: what stands before the vendor did not get its answer."""


DOES_NOT_ACT: Final = frozenset(
    {WebFault.CUT_BEFORE, WebFault.DEAF, WebFault.STATUS, WebFault.PORTAL, WebFault.GATEWAY_BEFORE}
)
GATEWAY: Final = frozenset({WebFault.GATEWAY_BEFORE, WebFault.GATEWAY_AFTER})
PORTAL: Final = b'{"status": "sign in first", "portal": "http://portal.invalid/"}'


@frozen
class Planned:
    """A fault for the next ``count`` requests; only those whose path contains ``path``, if given."""

    fault: WebFault
    count: int = 1
    path: str = ""
    method: str = ""
    seconds: float = 1.0
    status: int = 503
    body: bytes = b"{}"


@define
class WebFaults:
    """What is planned to go wrong."""

    planned: list[Planned] = field(factory=list)
    met: list[WebFault] = field(factory=list)

    def plan(
        self,
        fault: WebFault | str,
        *,
        count: int = 1,
        path: str = "",
        method: str = "",
        seconds: float = 1.0,
        status: int = 503,
        body: bytes = b"{}",
    ) -> None:
        """Plan a fault, after those already planned."""
        self.planned.append(Planned(WebFault(fault), count, path, method, seconds, status, body))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.planned.clear()

    def take(self, method: str, path: str) -> Planned | None:
        """The fault for this request, if one is planned; it is used up by this."""
        for place, planned in enumerate(self.planned):
            if planned.path in path and planned.method in {"", method}:
                if planned.count > 1:
                    self.planned[place] = evolve(planned, count=planned.count - 1)
                else:
                    del self.planned[place]
                self.met.append(planned.fault)
                return planned
        return None


@frozen
class Heard:
    """A request that reached the vendor, acted on or not."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class _Server(uvicorn.Server):
    """A uvicorn that lives inside another program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@define(eq=False)
class WebServer:
    """A running server. ``heard`` holds every request that came, in order, those of the simulator's own paths apart.

    ``acts`` tells what the vendor did; it is shown below ``/simulator/``.
    """

    app: ASGIApp
    faults: WebFaults
    host: str = "127.0.0.1"
    port: int = 0
    heard: list[Heard] = field(factory=list)
    acts: Callable[[], Iterable[Any]] = tuple
    _server: _Server | None = None

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://{self.host}:{self.port}"

    def count(self, path: str = "", method: str = "") -> int:
        """How many requests came for paths that contain this."""
        return sum(path in heard.path and method in {"", heard.method} for heard in self.heard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application with faults in front."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"].startswith(PLACE):
            asked = panel(self.acts, lambda: len(self.heard), self.faults.plan, WebFault)
            await asked(scope, receive, send)
            return
        body = await _whole_body(receive)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.heard.append(Heard(scope["method"], scope["path"], scope["query_string"].decode(), headers, body))
        planned = self.faults.take(scope["method"], scope["path"])
        answer = None if planned and planned.fault in DOES_NOT_ACT else await self._answer_of(scope, body)
        await self._send(planned, answer, scope, receive, send)

    async def _answer_of(self, scope: Scope, body: bytes) -> list[Message]:
        """What the vendor would answer."""
        messages: list[Message] = []
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Message:
            return next(given, {"type": "http.disconnect"})

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        return messages

    async def _send(
        self, planned: Planned | None, answer: list[Message] | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        fault = planned.fault if planned else None
        if planned is not None and fault in {WebFault.STATUS, WebFault.BROKEN}:
            answer = _plain(planned.status, planned.body)
        if planned is not None and fault in GATEWAY:
            answer = _page(planned.status)
        if fault in {WebFault.PORTAL, WebFault.EMPTY}:
            answer = _plain(200, PORTAL if fault is WebFault.PORTAL else b"")
        if planned is not None and fault is WebFault.LATE:
            await asyncio.sleep(planned.seconds)
        if fault in {WebFault.DEAF, WebFault.SILENT}:
            while (await receive())["type"] != "http.disconnect":
                continue
            return
        if fault in {WebFault.CUT_BEFORE, WebFault.CUT_AFTER} or answer is None:
            self.cut(scope)
            return
        if fault is WebFault.GARBAGE:
            answer = _plain(200, b"<html>not JSON</html>")
        if fault is WebFault.CUT_DURING:
            await send(answer[0])
            body = b"".join(message.get("body", b"") for message in answer[1:])
            await send({"type": "http.response.body", "body": body[: max(1, len(body) // 2)], "more_body": True})
            self.cut(scope)
            return
        for message in answer:
            await send(message)

    def cut(self, scope: Scope) -> None:
        """Reset the connection that this request or websocket came by."""
        for transport in self._transports():
            if transport.get_extra_info("peername") == tuple(scope["client"]):
                reset(transport)

    def _transports(self) -> list[asyncio.Transport]:
        connections = self._server.server_state.connections if self._server else set()
        return [connection.transport for connection in connections]

    def run(self, listener: socket.socket) -> Coroutine[Any, Any, None]:
        """Serve until ``close``, which counts from now on, even before the first step of what is returned."""
        config = uvicorn.Config(
            self,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL,  # uvicorn would log what stands in a query
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        return self._server.serve(sockets=[listener])

    def close(self) -> None:
        """Have ``run`` end."""
        if self._server is not None:
            self._server.should_exit = True

    def drop(self) -> None:
        """Reset every connection."""
        for transport in self._transports():
            reset(transport)


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp,
    faults: WebFaults | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    acts: Callable[[], Iterable[Any]] = tuple,
) -> AsyncIterator[WebServer]:
    """Serve an application on a free port, or on this one, until the context ends."""
    listener = socket.create_server((host, port))
    listener.setblocking(False)
    server = WebServer(app, faults if faults is not None else WebFaults(), host, listener.getsockname()[1], acts=acts)
    running = asyncio.create_task(server.run(listener))
    try:
        yield server
    finally:
        server.close()
        server.drop()
        await running


async def _whole_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _plain(status: int, body: bytes) -> list[Message]:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body, "more_body": False},
    ]


def _page(status: int) -> list[Message]:
    """What nginx says of itself, with its padding against browsers that show a page of their own."""
    told = http.HTTPStatus(status).phrase if status in {*http.HTTPStatus} else "unknown"
    page = (
        f"<html>\r\n<head><title>{status} {told}</title></head>\r\n<body>\r\n<center><h1>{status} {told}</h1></center>\r\n"
        "<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
    )
    answer = _plain(status, page.encode())
    answer[0]["headers"][0] = (b"content-type", b"text/html")
    return answer
