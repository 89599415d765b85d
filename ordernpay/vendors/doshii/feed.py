"""Doshii's socket for events: dialled again whenever it ends, and found out when it only looks alive.

Page: support.doshii.com, Use of WebSockets (App partners): a ping at once, which completes the handshake, then every
30 s, in milliseconds. The socket knows us by the base64 of the client id alone. Where it does not want us, by HTTP 401
or 403 or by close code 1008, it is dialled again slowly.
"""

import base64
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import anyio
import structlog
from attrs import frozen
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ordernpay import __version__
from ordernpay.clock import Clock
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.vendors.backoff import BackOff
from ordernpay.vendors.doshii import answers
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.protocol import SessionState
from ordernpay.vendors.pulse import Pulse
from ordernpay.vendors.reading import tolerant
from ordernpay.vendors.reporter import Signal
from ordernpay.vendors.tls import ClientTls
from ordernpay.vendors.unpacking import apart
from ordernpay.vendors.websocket import Connect

UNAUTHORISED: Final = frozenset({401, 403})
POLICY_VIOLATION: Final = 1008
MOST_BYTES: Final = 512 * 1024
"""Of an event, by socket or webhook: the largest tell an order; it is kept with all that they say."""

OnEvent = Callable[[str, JsonObject, JsonValue], Awaitable[None]]

log = structlog.get_logger(__name__)


@frozen
class Refusal:
    """Doshii does not want us: why a connection ended that is not worth a new one soon."""

    why: str

    def __str__(self) -> str:
        return self.why


class _Lost(Exception):
    """The connection is of no more use."""

    def __init__(self, why: str | Refusal) -> None:
        super().__init__(why)
        self.why = why


class Feed:
    """The socket of one session.

    Args:
        name: of the session.
        config: of the session.
        clock: for the pings' numbers.
        on_event: awaited for each event, in order.
        on_up: awaited when a connection stands, to catch up with what was missed.
        on_change: told how it stands, and why it does not.
        seen: told the host and the TLS connection to it.
    """

    def __init__(
        self,
        name: str,
        config: DoshiiConfig,
        clock: Clock,
        on_event: OnEvent,
        on_up: Callable[[], Coroutine[Any, Any, None]],
        on_change: Callable[[SessionState, str | None], None],
        seen: Callable[[str, object], None],
    ) -> None:
        self._config = config
        self._clock = clock
        self._on_event = on_event
        self._on_up = on_up
        self._on_change = on_change
        self._saw = seen
        self._hurry = Signal()
        self._scope: anyio.CancelScope | None = None
        self._heard = Signal()
        self.pulse = Pulse("its socket")
        self._log = log.bind(session=name, vendor="doshii")

    def reconnect(self) -> None:
        """Drop the connection, if any, and make a new one at once."""
        if self._scope is not None:
            self._scope.cancel()
        self._hurry.set()

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        config = self._config
        back_off = BackOff(config.reconnect_min, config.reconnect_max)
        while True:
            self.pulse.within(config.connect_timeout)
            why, stood = await self._once()
            refused = isinstance(why, Refusal)
            self._on_change("refused" if refused else "down", str(why))
            stable = stood >= config.stable_seconds
            pause = config.refused_retry if refused else back_off.after_loss(stable=stable)
            self.pulse.within(pause)
            await self._hurry.wait(pause)

    async def _once(self) -> tuple[str | Refusal, float]:
        """One connection, from its making to its end; why it ended, and for how many seconds it stood."""
        try:
            with anyio.fail_after(self._config.connect_timeout):
                connection = await self._dial()
        except TimeoutError:
            return f"no socket within {self._config.connect_timeout:g} s", 0.0
        except InvalidStatus as error:
            status = error.response.status_code
            said = f"the socket was refused with HTTP {status}"
            return Refusal(said) if status in UNAUTHORISED else said, 0.0
        except (WebSocketException, OSError, EOFError, ValueError) as error:
            secure = (self._config.socket_url or "").startswith("wss:")
            return f"no socket: {ClientTls.of(self._config).reason(error, secure=secure)}", 0.0
        why: str | Refusal = "closed by us"
        began = self._clock.now()
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._keep_alive, connection)
                    tasks.start_soon(self._read, connection)
                    tasks.start_soon(self._on_up)
                    self._on_change("up", None)
            except* _Lost as group:
                why = next(lost.why for lost in group.exceptions if isinstance(lost, _Lost))
            finally:
                self._scope = None
                connection.transport.abort()
        return why, self._clock.now() - began

    async def _dial(self) -> ClientConnection:
        config = self._config
        parts = urlsplit(config.socket_url or "")
        query = {"auth": base64.b64encode(config.client_id.encode()).decode()}
        if config.device_id is not None:
            query["deviceId"] = config.device_id
        joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
        tls = ClientTls.of(config).context() if parts.scheme == "wss" else None
        connection = await Connect(
            urlunsplit(parts._replace(path=parts.path or "/", query=joined)),
            ssl=tls,
            max_size=MOST_BYTES,
        )
        self._saw(parts.hostname or "", connection.transport.get_extra_info("ssl_object"))
        return connection

    async def _keep_alive(self, connection: ClientConnection) -> None:
        """Doshii's own ping; any message from it shows that the link stands."""
        while True:
            self._heard = Signal()
            self.pulse.within(2 * self._config.ping_timeout + self._config.ping_interval)
            await self._send(connection, {"doshii": {"ping": int(self._clock.wall() * 1000), "version": __version__}})
            with anyio.move_on_after(self._config.ping_timeout) as limit:
                await self._heard.wait()
            if limit.cancelled_caught:
                raise _Lost(f"silent: nothing within {self._config.ping_timeout:g} s of a ping")
            await anyio.sleep(self._config.ping_interval)

    async def _send(self, connection: ClientConnection, message: JsonObject) -> None:
        try:
            with anyio.fail_after(self._config.ping_timeout):
                await connection.send(dumps(message))
        except (ConnectionClosed, TimeoutError):
            raise _Lost("connection lost") from None

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            try:
                text = await connection.recv()
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else None
                said = f"closed by Doshii with code {code}" if code else "connection lost"
                raise _Lost(Refusal(said) if code == POLICY_VIOLATION else said) from None
            self._heard.set()
            await self._take(connection, text)

    async def _take(self, connection: ClientConnection, text: str | bytes) -> None:
        try:
            message: JsonValue = await apart(text, lambda: tolerant(text))
        except (ValueError, RecursionError):
            self._log.warning("message_ignored", reason="no JSON")
            return
        beat = answers.is_heartbeat(message)
        if beat is not None:
            if beat[0] == "ping":
                await self._send(connection, {"doshii": {"pong": beat[1], "version": __version__}})
            return
        event = answers.envelope(message)
        if event is None:
            return
        try:
            await self._on_event(event[0], event[1], message)
        except Exception:  # noqa: BLE001 - one event that cannot be taken must not cost the connection, again and again
            self._log.exception("event_dropped", name=event[0][:60])
