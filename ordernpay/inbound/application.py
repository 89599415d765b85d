"""The HTTP door, for vendors that call us: their paths and websockets, metrics and health.

What stands behind a vendor's path is that vendor's own business. Here are the bounds that hold for all: bodies are
read up to a limit, and who fails to prove itself too often is made to wait.
"""

import asyncio
import contextlib
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import anyio
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import PayloadTooBig

from ordernpay.config import Inbound
from ordernpay.counts import Counts
from ordernpay.jsontext import dumps
from ordernpay.vendors.protocol import Door, HttpAnswer, HttpRequest, LinkClosed, Session, WebsocketDoor

FAILURES_ALLOWED: Final = 10
FAILURE_WINDOW: Final = 60.0
PEERS_REMEMBERED: Final = 4_096
MOST_CONNECTIONS: Final = 512
REQUEST_SECONDS: Final = 30.0
"""Within twice as long a request has to be whole, and within once as long to have begun."""

BEGINNING: Final = 4_096
"""Bytes of a message on which we hang up that are looked at."""

_BY_STATUS: Final = {
    200: "accepted",
    400: "malformed",
    401: "refused",
    403: "refused",
    413: "too_large",
    503: "unavailable",
}
WEBHOOK_RESULTS: Final = (*dict.fromkeys(_BY_STATUS.values()), "repeat", "verified")
"""What can become of a webhook: its status says it, or the vendor's door does."""

UNAUTHENTICATED: Final = frozenset({401, 403})
PROMETHEUS: Final = "text/plain; version=1.0.0; charset=utf-8"

_NOWHERE: Final = HttpAnswer(404, {"error": "no such path"})
_NOT_SO: Final = HttpAnswer(405, {"error": "not by this method"})

log = structlog.get_logger(__name__)


class Sessions(Protocol):
    """Where the sessions stand that may have doors; they may change while the daemon runs. And where webhooks are counted."""

    sessions: dict[str, Session]
    counts: Counts


class FailureLimit:
    """Counts failed authentications by peer over a minute, for as many peers as it can remember."""

    def __init__(self, allowed: int = FAILURES_ALLOWED, window: float = FAILURE_WINDOW) -> None:
        self._allowed = allowed
        self._window = window
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, peer: str, now: float) -> int:
        """Whole seconds that this peer has to wait before it is heard again; 0 for none."""
        recent = [at for at in self._failures.get(peer, []) if now - at < self._window]
        if len(recent) < self._allowed:
            return 0
        return int(self._window - (now - recent[0])) + 1

    def failed(self, peer: str, now: float) -> None:
        """This peer could not prove itself."""
        recent = [at for at in self._failures.pop(peer, []) if now - at < self._window]
        self._failures[peer] = [*recent, now][-self._allowed :]
        while len(self._failures) > PEERS_REMEMBERED:
            self._failures.popitem(last=False)


class InboundLink:
    """A websocket that a vendor opened, used once."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError, OSError):
            raise LinkClosed("connection lost") from None

    async def receive(self) -> str | bytes:
        try:
            message = await self._websocket.receive()
        except RuntimeError:
            raise LinkClosed("connection lost") from None
        if message["type"] == "websocket.disconnect":
            code = message.get("code")
            told = isinstance(code, int) and code not in {1005, 1006}
            unread = message.get("unread")
            if isinstance(unread, bytes):
                raise LinkClosed(
                    "closed by us: a message larger than we take, or not as the protocol has it", unread=unread
                )
            raise LinkClosed(
                f"closed by the POS with code {code}" if told else "connection lost", code if told else None
            )
        received: str | bytes = message.get("text") or message.get("bytes") or ""
        return received

    async def probe(self) -> None:
        """Pings are the server's own here; there is nothing to add."""

    async def close(self, code: int, reason: str) -> None:
        with anyio.move_on_after(1, shield=True), contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self._websocket.close(code, reason)


class _WebsocketProtocol(WebSocketsSansIOProtocol):
    """Tells our own close codes from the peer's: its 1009 says that it did not act, ours that we cannot read what it did."""

    def handle_parser_exception(self) -> None:
        disconnect: Any = {"type": "websocket.disconnect", "code": 1006, "unread": self._unread()}  # more than ASGI has
        self.queue.put_nowait(disconnect)
        super().handle_parser_exception()

    def _unread(self) -> bytes:
        """The beginning of the message that we cannot take, as far as it has come: it says what it answers."""
        parts = [bytes(self.frames[0][:BEGINNING])] if self.frames else []
        if isinstance(self.conn.parser_exc, PayloadTooBig):  # of the frame itself, nothing but its header has been read
            masked = bytes(self.conn.reader.buffer[: BEGINNING + 4])
            parts.append(bytes(byte ^ masked[place % 4] for place, byte in enumerate(masked[4:])))
        return b"".join(parts)

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; one with a broken letter as bytes, since it is worth more than its connection's end."""
        if self.curr_msg_data_type == "text":
            data = b"".join(self.frames)
            try:
                data.decode()
            except UnicodeDecodeError:
                self.curr_msg_data_type, self.frames = "bytes", [data]
        super().send_receive_event_to_app()


class _HttpProtocol(H11Protocol):
    """Bounds what strangers can hold: so many connections in all, and so long for a request to be whole."""

    _patience: asyncio.TimerHandle | None = None
    _half: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_done()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._be_done()
        super().handle_websocket_upgrade(event)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(REQUEST_SECONDS, self._look)

    def _be_done(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def _look(self) -> None:
        """Hang up where nothing has become whole since the last look."""
        request: Any = self.cycle  # None before the first
        whole = request is not None and not request.more_body and not request.response_complete
        if request is self._half and not whole:
            self.transport.abort()
            return
        self._half = request
        self._wait()


class _Server(uvicorn.Server):
    """Signals are the daemon's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpDoor:
    """The HTTP server in front of all sessions that have something to offer there."""

    def __init__(self, config: Inbound, sessions: Sessions, metrics: Callable[[], Awaitable[bytes]]) -> None:
        self._config = config
        self._sessions = sessions
        self._metrics = metrics
        self._limit = FailureLimit()

    def bind(self) -> socket.socket:
        """A listening socket where the configuration says; raises `OSError`."""
        family = socket.AF_INET6 if ":" in self._config.host else socket.AF_INET
        # The protocol by its number, not 0: only then does asyncio switch Nagle's delay off, which costs 40 ms an answer.
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((self._config.host, self._config.port))
            sock.listen(256)
        except OSError:
            sock.close()
            raise
        return sock

    async def serve(self, sock: socket.socket) -> None:
        """Serve until cancelled."""
        config = uvicorn.Config(
            self.application(),
            ws=_WebsocketProtocol,
            http=_HttpProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws_per_message_deflate=False,
            ws_max_size=self._config.max_message_bytes,
            ws_ping_interval=self._config.ping_interval,
            ws_ping_timeout=self._config.ping_timeout,
            timeout_graceful_shutdown=2,
            ssl_certfile=self._config.tls_certificate,
            ssl_keyfile=self._config.tls_key,
        )
        server = _Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run, server, sock)
            try:
                await anyio.sleep_forever()
            finally:
                server.should_exit = True

    def application(self) -> Starlette:
        """The paths; a vendor's are looked up when they are asked for, since sessions come and go."""
        return Starlette(
            routes=[
                Route("/metrics", self._answer_metrics, methods=["GET"]),
                Route("/healthz", self._answer_health, methods=["GET"]),
                Route("/readyz", self._answer_ready, methods=["GET"]),
                Route("/{path:path}", self._answer_door, methods=["GET", "POST"]),
                WebSocketRoute("/{path:path}", self._websocket),
            ]
        )

    async def _answer_metrics(self, _: Request) -> Response:
        return Response(await self._metrics(), media_type=PROMETHEUS)

    async def _answer_health(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _answer_ready(self, _: Request) -> Response:
        states = {name: session.status().state for name, session in sorted(self._sessions.sessions.items())}
        text = "".join(f"{name} {state}\n" for name, state in states.items())
        return PlainTextResponse(text, 200 if all(state == "up" for state in states.values()) else 503)

    async def _answer_door(self, request: Request) -> Response:
        path = request.url.path
        here = [(session, door) for session, door in self._doors() if isinstance(door, Door) and door.path == path]
        doors = [(session, door) for session, door in here if request.method in door.methods]
        if not doors:
            return _response(_NOT_SO if here else _NOWHERE)
        answer = await self._ask([door for _, door in doors], request, path)
        session, door = doors[0]
        if door.webhook:
            self._sessions.counts.notified(session, answer.result or _BY_STATUS.get(answer.status, "refused"))
        return _response(answer)

    async def _ask(self, doors: list[Door], request: Request, path: str) -> HttpAnswer:
        """The answer of the first door that knows the caller."""
        peer = request.client.host if request.client else ""
        patient = all(door.patient for door in doors)
        wait = 0 if patient else self._limit.wait(peer, time.monotonic())
        if wait:
            return HttpAnswer(429, {"error": "too many failures"}, {"Retry-After": str(wait)})
        body = await _body(request, max(door.max_body_bytes for door in doors))
        if body is None:
            return HttpAnswer(413, {"error": "body too large"})
        asked = HttpRequest(dict(request.query_params), dict(request.headers), body, peer)
        answer = doors[0].refusal
        for door in doors:
            given = await door.handle(asked)
            if given is not None:
                answer = given
                break
        if answer.status in UNAUTHENTICATED:
            if not patient:
                self._limit.failed(peer, time.monotonic())
            log.warning("authentication_failed", path=path, peer=peer)
        return answer

    async def _websocket(self, websocket: WebSocket) -> None:
        peer = websocket.client.host if websocket.client else ""
        asked = HttpRequest(dict(websocket.query_params), dict(websocket.headers), b"", peer)
        path = websocket.url.path
        if self._limit.wait(peer, time.monotonic()) == 0:
            for _, door in self._doors():
                if not isinstance(door, WebsocketDoor) or door.path != path:
                    continue
                serve = door.admit(asked)
                if serve is not None:
                    await websocket.accept()
                    await serve(InboundLink(websocket))
                    return
            self._limit.failed(peer, time.monotonic())
            log.warning("websocket_refused", path=path, peer=peer)
        await websocket.close(1008)

    def _doors(self) -> Iterator[tuple[str, Door | WebsocketDoor]]:
        """Each session's name with each of its doors."""
        for session in list(self._sessions.sessions.values()):
            for door in session.doors():
                yield session.name, door


async def _run(server: uvicorn.Server, sock: socket.socket) -> None:
    """Serve until the server itself ends: requests under way are answered, and the loop forgets the listening socket."""
    with anyio.CancelScope(shield=True):
        await server.serve([sock])


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or None where it is larger than the limit."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def _response(answer: HttpAnswer) -> Response:
    headers: Mapping[str, str] = answer.headers
    return Response(dumps(answer.body), answer.status, headers, media_type="application/json")
