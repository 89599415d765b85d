"""What is answered at the HTTP port: paths and websockets of vendors that call us, metrics and health.

What stands behind a vendor's path is that vendor's own business. Here are the bounds that hold for all: a body is read
only where the head of its request gives reason to, and who fails to prove itself too often is made to wait.
"""

import contextlib
import operator
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import anyio
import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ordernpay.certificates import Identity, load_identity
from ordernpay.config import Inbound
from ordernpay.counts import Counts
from ordernpay.inbound.connections import Connection, Connections, counted
from ordernpay.inbound.forwarded import TrustedProxies
from ordernpay.inbound.server import BACKLOG, HttpServer
from ordernpay.jsontext import JsonObject, dumps
from ordernpay.vendors.protocol import Door, HttpAnswer, HttpRequest, Link, LinkClosed, Session, WebsocketDoor

FAILURES_ALLOWED: Final = 10
FAILURE_WINDOW: Final = 60.0
PEERS_REMEMBERED: Final = 4_096
MOST_HEADERS: Final = 100
PATH_SHOWN: Final = 100
"""Characters of a path that a stranger can have us write into the log."""
BUSY_SECONDS: Final = 5
"""After which a webhook is welcome again that met too many others."""
METRICS_FRESH: Final = 10
"""Pages of metrics that are made at once; past that one a second, and the same for all who ask meanwhile."""

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
BAD_REQUEST: Final = 400
PROMETHEUS: Final = "text/plain; version=1.0.0; charset=utf-8"
CLOSE: Final = {"Connection": "close"}

_NOWHERE: Final = HttpAnswer(404, {"error": "no such path"})
_NOT_SO: Final = HttpAnswer(405, {"error": "not by this method"})
_TOO_LARGE: Final = HttpAnswer(413, {"error": "body too large"})
_TOO_MANY: Final[JsonObject] = {"error": "too many failures"}
_BUSY: Final = HttpAnswer(503, {"error": "not now"}, {"Retry-After": str(BUSY_SECONDS)})

log = structlog.get_logger(__name__)


class Sessions(Protocol):
    """Where the sessions stand that may have doors; they may change while the daemon runs. And where webhooks are counted."""

    sessions: dict[str, Session]
    counts: Counts

    @property
    def trouble(self) -> str | None:
        """Why no command can be taken now; None while all is well."""
        ...


class FailureLimit:
    """Counts failed authentications by peer over a minute, for as many peers as it can remember.

    It is asked about a failure, never about a success: behind one address there are others than who guesses.
    """

    def __init__(self, allowed: int = FAILURES_ALLOWED, window: float = FAILURE_WINDOW) -> None:
        self._allowed = allowed
        self._window = window
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def failed(self, peer: str, now: float) -> int:
        """Count a failure; return the whole seconds for which this peer is told to wait, 0 while it has failed seldom."""
        recent = [at for at in self._failures.pop(peer, []) if now - at < self._window]
        over = len(recent) >= self._allowed
        self._failures[peer] = recent = recent if over else [*recent, now]
        while len(self._failures) > PEERS_REMEMBERED:
            self._failures.popitem(last=False)
        return int(self._window - (now - recent[0])) + 1 if over else 0


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


AnyDoor = TypeVar("AnyDoor", Door, WebsocketDoor)


class _Offers:
    """Which sessions offer what at which path, looked up anew once sessions have come or gone."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known: list[Session] = []
        self._by_path: dict[str, list[tuple[str, Door | WebsocketDoor]]] = {}
        self._by_key: dict[tuple[str, Hashable], list[Door | WebsocketDoor]] = {}

    def at(self, path: str) -> Sequence[tuple[str, Door | WebsocketDoor]]:
        """Each session's name with what it offers there."""
        now = list(self._sessions.sessions.values())
        if len(now) != len(self._known) or not all(map(operator.is_, now, self._known)):
            self._known, self._by_path, self._by_key = now, {}, {}
            for session in now:
                for door in session.doors():
                    self._by_path.setdefault(door.path, []).append((session.name, door))
                    if door.key is not None:
                        self._by_key.setdefault((door.path, door.key), []).append(door)
        return self._by_path.get(path, ())

    def narrow(self, doors: Sequence[AnyDoor], request: HttpRequest) -> Sequence[AnyDoor]:
        """Those that the request can be for: the one that it names, where they can be told apart so.

        One that it does not name stands for all of them, so that a name that nobody has takes as long as one that exists.
        """
        find = doors[0].find if len(doors) > 1 else None
        if find is None:
            return doors
        named = self._by_key.get((doors[0].path, find(request)), [])
        return [door for door in named if isinstance(door, type(doors[0]))] or doors[:1]


class _Metered:
    """The page of metrics, which costs more the more sessions there are, and which anybody may ask for."""

    def __init__(self, page: Callable[[], Awaitable[bytes]]) -> None:
        self._page = page
        self._last = b""
        self._left = float(METRICS_FRESH)
        self._counted_at = time.monotonic()

    async def text(self) -> bytes:
        """Return a new page, or the last one where too many were asked for."""
        now = time.monotonic()
        self._left = min(METRICS_FRESH, self._left + now - self._counted_at)
        self._counted_at = now
        if self._left >= 1 or not self._last:
            self._left -= 1
            self._last = await self._page()
        return self._last


class HttpDoor:
    """The HTTP server in front of all sessions that have something to offer there.

    Attributes:
        connections: who is connected.
        identity: what is shown to new connections by TLS; None for plain HTTP.
    """

    def __init__(self, config: Inbound, sessions: Sessions, metrics: Callable[[], Awaitable[bytes]]) -> None:
        self.connections = Connections(time.monotonic)
        self.identity: Identity | None = None
        self._config = config
        self._sessions = sessions
        self._metrics = _Metered(metrics)
        self._secrets, self._tokens = FailureLimit(), FailureLimit()
        self._proxies = TrustedProxies(config.trusted_proxies)
        self._offers = _Offers(sessions)
        self._application = Starlette(
            routes=[
                Route("/metrics", self._answer_metrics, methods=["GET"]),
                Route("/healthz", self._answer_health, methods=["GET"]),
                Route("/readyz", self._answer_ready, methods=["GET"]),
                Route("/{path:path}", self._answer_door, methods=["GET", "POST"]),
                WebSocketRoute("/{path:path}", self._websocket),
            ]
        )
        self._application.router.redirect_slashes = False  # to another path no vendor's client follows

    def show(self, certificate: str | None, key: str | None) -> None:
        """Show a certificate to new connections, as its files are now; raises `Faults`, and nothing has changed then."""
        self.identity = None if certificate is None or key is None else load_identity(certificate, key)

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
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

    async def serve(self, sock: socket.socket) -> None:
        """Serve until cancelled."""
        await HttpServer(self.answer, self._config, self.connections, self._context).serve(sock)

    def _context(self) -> ssl.SSLContext | None:
        return None if self.identity is None else self.identity.context

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or websocket (ASGI). What breaks in it is one line of the log, and no more."""
        self.connections.allow(_connection(scope), self.connections.exchange_seconds)
        host, port = scope["client"] or ("", 0)
        scope["client"] = (self._proxies.caller(host, scope["headers"]), port)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= BAD_REQUEST:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        try:
            if len(scope["headers"]) > MOST_HEADERS:
                await Response(status_code=431)(scope, receive, answer)
            else:
                await self._application(scope, receive, answer)
        except (ClientDisconnect, WebSocketDisconnect, OSError):
            pass  # gone, or hung up on
        except Exception:
            log.exception("request_broke", path=scope["path"][:PATH_SHOWN])

    async def _answer_metrics(self, _: Request) -> Response:
        return Response(await self._metrics.text(), headers=CLOSE, media_type=PROMETHEUS)

    async def _answer_health(self, _: Request) -> Response:
        return PlainTextResponse("alive\n", headers=CLOSE)

    async def _answer_ready(self, _: Request) -> Response:
        states = {name: session.status().state for name, session in sorted(self._sessions.sessions.items())}
        trouble = self._sessions.trouble
        text = "".join(f"{name} {state}\n" for name, state in states.items())
        if trouble is not None:
            text += f"no command can be taken: {trouble}\n"
        ready = trouble is None and all(state == "up" for state in states.values())
        return PlainTextResponse(text, headers=CLOSE) if ready else PlainTextResponse(text, 503)

    async def _answer_door(self, request: Request) -> Response:
        here = [(session, door) for session, door in self._offers.at(request.scope["path"]) if isinstance(door, Door)]
        doors = [(session, door) for session, door in here if request.method in door.methods]
        if not doors:
            return _response(_NOT_SO if here else _NOWHERE)
        answer = await self._ask([door for _, door in doors], request)
        session, door = doors[0]
        if door.webhook:
            self._sessions.counts.notified(session, answer.result or _BY_STATUS.get(answer.status, "refused"))
        return _response(answer)

    async def _ask(self, doors: list[Door], request: Request) -> HttpAnswer:
        """The answer of the first door that knows the caller."""
        peer = request.client.host if request.client else ""
        answer = await self._heard(doors, request, peer)
        if answer.status not in UNAUTHENTICATED:
            return answer  # who proves itself is heard, whatever others behind its address have tried
        wait = 0 if all(door.patient for door in doors) else self._secrets.failed(counted(peer), time.monotonic())
        if wait:
            return HttpAnswer(429, _TOO_MANY, {"Retry-After": str(wait)})
        log.warning("authentication_failed", path=doors[0].path, peer=peer)
        return answer

    async def _heard(self, doors: list[Door], request: Request, peer: str) -> HttpAnswer:
        asked = HttpRequest(dict(request.query_params), dict(request.headers), b"", peer)
        most = max(door.max_body_bytes if door.expects is None else door.expects(asked) for door in doors)
        if most == 0:
            return doors[0].refusal
        connection = _connection(request.scope)
        body = await self._body(request, connection, most)
        if body is None:
            return _TOO_LARGE
        asked = HttpRequest(asked.query, asked.headers, body, peer)
        with self.connections.handling(connection) as room:
            if not room:
                return _BUSY
            for door in self._offers.narrow(doors, asked):
                answer = await door.handle(asked)
                if answer is not None:
                    return answer
        return doors[0].refusal

    async def _body(self, request: Request, connection: Connection, limit: int) -> bytes | None:
        """The body, or None where it is larger than the limit."""
        if int(request.headers.get("content-length", "0")) > limit:
            return None
        body = bytearray()
        async for part in request.stream():
            if len(body) + len(part) > limit:
                self.connections.release(connection)
                return None
            self.connections.hold(connection, len(part))
            body += part
        return bytes(body)

    async def _websocket(self, websocket: WebSocket) -> None:
        peer = websocket.client.host if websocket.client else ""
        asked = HttpRequest(dict(websocket.query_params), dict(websocket.headers), b"", peer)
        path = websocket.scope["path"]
        doors = [door for _, door in self._offers.at(path) if isinstance(door, WebsocketDoor)]
        for door in self._offers.narrow(doors, asked) if doors else ():
            serve = door.admit(asked)
            if serve is not None:
                await self._link(websocket, serve)
                return
        wait = self._tokens.failed(counted(peer), time.monotonic())
        if wait:
            await websocket.send_denial_response(_response(HttpAnswer(429, _TOO_MANY, {"Retry-After": str(wait)})))
            return
        log.warning("websocket_refused", path=path[:PATH_SHOWN], peer=peer)
        await websocket.close(1008)

    async def _link(self, websocket: WebSocket, serve: Callable[[Link], Awaitable[None]]) -> None:
        """Serve a websocket whose peer is known, outside of what strangers share."""
        connection = _connection(websocket.scope)
        self.connections.prove(connection)
        try:
            offered = websocket.scope.get("subprotocols") or [None]
            await websocket.accept(offered[0])  # a POS that offers one may hang up where none is taken
            await serve(InboundLink(websocket))
        finally:
            self.connections.unprove(connection, self.connections.head_seconds)


def _connection(scope: Scope) -> Connection:
    """The connection that a request came on; outside of a server, one that is not counted."""
    connection: Connection | None = scope.get("state", {}).get("connection")
    return Connection("", 0.0, gone=True) if connection is None else connection


def _response(answer: HttpAnswer) -> Response:
    headers: Mapping[str, str] = answer.headers
    return Response(dumps(answer.body), answer.status, headers, media_type="application/json")
