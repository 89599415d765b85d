"""The HTTP server: accepts, counts, and only then speaks TLS and HTTP, with uvicorn's protocols.

uvicorn's own server is left out, since it counts a connection when its TLS handshake is done. What is leaned on of its
protocols, and of asyncio's TLS, beyond what they document is held fast by `tests/inbound/test_leaned_on.py`.
"""

import asyncio
import errno
import logging
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Any, Final

import anyio
import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import PayloadTooBig

from ordernpay.config import Inbound
from ordernpay.inbound.connections import Connection, Connections
from ordernpay.inbound.turns import Lingering, Turns

READ_BYTES: Final = 16 * 1024
"""Read at once: the largest record of TLS. asyncio would have 256 KiB ready for each TLS connection."""
PARSED_BYTES: Final = 4 * 1024
"""Parsed at once: chunks and frames of a byte or none cost some 10 µs each, and nobody else has a turn meanwhile."""
HEAD_BYTES: Final = 32 * 1024
BEGINNING: Final = 4_096
"""Bytes of a message on which we hang up that are looked at."""
BACKLOG: Final = 1_024
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
ACCEPT_PAUSE: Final = 1.0
TICK_SECONDS: Final = 0.5
STOP_SECONDS: Final = 2.0
"""For requests that are under way at a stop."""

_UNREADABLE: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\n"
    b"\r\nBad request\n"
)

log = structlog.get_logger(__name__)


class _HttpProtocol(H11Protocol, asyncio.BufferedProtocol):
    """HTTP/1.1 in small pieces, with deadlines, without pipelining."""

    _raw: Lingering
    _below: asyncio.Transport

    def __init__(self, server: "HttpServer", connection: Connection, *, tls: bool) -> None:
        super().__init__(server.config, server.state, {"connection": connection, "server": server}, server.loop)
        self._serving = server
        self._connection = connection
        self._tls = tls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if not self._tls:
            self._connection.made(transport)
        self._below = transport
        self._raw = Lingering(transport, self._serving.connections.linger_seconds, self._unread)
        super().connection_made(self._raw)  # type: ignore[arg-type]
        self._serving.connections.allow(self._connection, self._serving.connections.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._serving.connections.remove(self._connection)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._serving.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._raw.lingers:
            return
        self._connection.heard = True
        data = bytes(self._serving.buffer[:nbytes])
        if self._tls:  # it is the turn of the TLS protocol
            self._read(data)
            return
        self._raw.pause_reading()
        self._serving.turns.take(partial(self._read_in_turn, data))

    def _read_in_turn(self, data: bytes) -> None:
        if self._raw.is_closing():
            return
        self._read(data)
        if not self.flow.read_paused:
            self._raw.resume_reading()

    def _read(self, data: bytes) -> None:
        try:
            self.data_received(data)
        except Exception as error:  # noqa: BLE001 - whatever a parser meets in a stranger's bytes
            _give_up(self._raw, error)
            return
        if self._pipelined() and self.cycle is not None:
            self.cycle.keep_alive = False

    def _pipelined(self) -> bool:
        return self.conn.their_state is h11.DONE and bool(self.conn.trailing_data[0])

    def _unread(self) -> bool:
        return self.conn.their_state in {h11.SEND_BODY, h11.ERROR} or self._pipelined()

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None:  # it waits for the rest of a body that cannot be read, and must not answer once more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        super().send_400_response(msg)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self.transport = self._below  # by which nothing of this one is held for as long as the websocket lives
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._connection.heard = False
        connections = self._serving.connections
        answered = connections.exchange_seconds if self._raw.is_closing() else connections.head_seconds
        connections.allow(self._connection, connections.linger_seconds if self._raw.lingers else answered)


class _WebsocketProtocol(WebSocketsSansIOProtocol, asyncio.BufferedProtocol):
    """A websocket that is read in small pieces, and whose end, whatever it is, is an end."""

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        server: HttpServer = self.app_state["server"]
        return server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.get_buffer(-1)[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        server: HttpServer = self.app_state["server"]
        server.connections.remove(self.app_state["connection"])
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - whatever a parser meets in a stranger's bytes
            _give_up(self.transport, error)
            return
        if not self.handshake_initiated:  # the whole head has come; websockets does not answer one that it cannot read
            self.transport.write(_UNREADABLE)
            self.transport.close()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # whoever reads no pongs gets no more of them

    def handle_parser_exception(self) -> None:
        # Our own close codes are not the peer's: its 1009 says that it did not act, ours that we cannot read what it did.
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

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()  # a close would wait until the peer has taken what was written, which it does not


class _TlsProtocol(SSLProtocol):
    """TLS with a small buffer, and with handshakes that wait for their turn."""

    max_size = READ_BYTES

    def __init__(self, server: "HttpServer", connection: Connection, context: ssl.SSLContext) -> None:
        super().__init__(
            server.loop,
            _HttpProtocol(server, connection, tls=True),
            context,
            None,  # type: ignore[arg-type]
            server_side=True,
            ssl_handshake_timeout=max(1, int(server.connections.head_seconds)),
            ssl_shutdown_timeout=max(1, int(server.connections.linger_seconds)),
        )
        self._serving = server
        self._connection = connection
        self._below: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._below = transport
        self._connection.made(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._below = None
        self._serving.connections.remove(self._connection)
        super().connection_lost(exc)

    def buffer_updated(self, nbytes: int) -> None:
        if self._connection.proofs or self._below is None:
            super().buffer_updated(nbytes)
            return
        self._connection.heard = True
        self._below.pause_reading()
        self._serving.turns.take(partial(self._read_in_turn, nbytes))

    def _read_in_turn(self, nbytes: int) -> None:
        below = self._below
        if below is None or below.is_closing():
            return
        super().buffer_updated(nbytes)
        if not self._ssl_reading_paused:  # type: ignore[attr-defined]
            below.resume_reading()


def _give_up(transport: Any, error: Exception) -> None:
    if not isinstance(error, OSError):  # which is no more than that the peer has gone
        log.warning("request_unreadable", reason=type(error).__name__)
    transport.abort()


class HttpServer:
    """One port.

    Args:
        application: what answers, by ASGI; each scope's state has the `connection`.
        config: of the port.
        connections: where its connections are counted.
        context: what is shown to new connections; None for plain HTTP.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        config: Inbound,
        connections: Connections,
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self.connections = connections
        self.state = ServerState()
        self.buffer = memoryview(bytearray(PARSED_BYTES))
        self.loop = asyncio.get_running_loop()
        self.turns = Turns(self.loop)
        self._context = context
        self.config = uvicorn.Config(
            application,
            ws=_WebsocketProtocol,
            http=_HttpProtocol,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL,  # it would log what strangers send; what breaks in ours is logged by ours
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEAD_BYTES,
            ws_per_message_deflate=False,
            ws_max_size=config.max_message_bytes,
            ws_ping_interval=config.ping_interval,
            ws_ping_timeout=config.ping_timeout,
        )
        self.config.load()

    async def serve(self, sock: socket.socket) -> None:
        """Serve a listening socket until cancelled; requests under way are answered then."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tick)
                tasks.start_soon(self._accept, sock)
        finally:
            sock.close()
            with anyio.CancelScope(shield=True):
                await self._stop()

    async def _accept(self, sock: socket.socket) -> None:
        """Accept one connection after the other: those that are there have a turn between two newcomers."""
        while True:
            await self.turns.breathe()
            await self.connections.room()
            try:
                accepted, address = await self.loop.sock_accept(sock)
            except ConnectionError:  # gone before it was accepted
                continue
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                log.warning("connections_not_accepted", reason=error.strerror)
                self.connections.make_room()
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            connection = self.connections.add(address[0])
            try:
                await self.loop.connect_accepted_socket(partial(self._protocol, connection), accepted)
            except OSError:
                accepted.close()
                self.connections.remove(connection)

    def _protocol(self, connection: Connection) -> asyncio.BaseProtocol:
        context = self._context()
        if context is None:
            return _HttpProtocol(self, connection, tls=False)
        return _TlsProtocol(self, connection, context)

    async def _tick(self) -> None:
        while True:
            self.connections.expire()
            self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            await asyncio.sleep(TICK_SECONDS)

    async def _stop(self) -> None:
        for protocol in list(self.state.connections):
            protocol.shutdown()
        tasks = set(self.state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.connections.close()
