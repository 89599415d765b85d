"""The pretend PowerEPOS till as a server, for a daemon that dials."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ordernpay.simulator.auth import AUTH_PATH, PARAMETER, SOCKET_PATH, Credentials
from ordernpay.simulator.faults import Fault, Faults
from ordernpay.simulator.pages import Field, FieldError, read_json, record, required, seconds, whole
from ordernpay.simulator.shop import Shop
from ordernpay.simulator.till import Till, reset


class _Server(uvicorn.Server):
    """A uvicorn that lives inside another program: it takes no signals and ends when it is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.leaving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        while not self.leaving.is_set():
            await self.on_tick(0)  # by which its answers know the time
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.leaving.wait()


class _AcceptedLink:
    """A websocket that the daemon opened."""

    def __init__(self, websocket: WebSocket, server: _Server) -> None:
        self.gone = False
        self._websocket = websocket
        self._server = server

    async def frames(self) -> AsyncIterator[str | bytes]:
        """What the daemon sends, until the connection ends."""
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            yield message.get("text") or message.get("bytes") or ""

    async def send(self, frame: str) -> None:
        if self.gone:
            raise ConnectionResetError
        try:
            await self._websocket.send_text(frame)
        except WebSocketDisconnect:
            self.gone = True
            raise ConnectionResetError from None

    async def close(self, code: int) -> None:
        self.gone = True
        with contextlib.suppress(WebSocketDisconnect):
            await self._websocket.close(code)

    def cut(self) -> None:
        self.gone = True
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, WebSocketsSansIOProtocol) and connection.client == self._websocket.client:
                reset(connection.transport)


def _fault(value: Any, path: str) -> Fault:
    if value not in set(Fault):
        raise FieldError(path, f"must be one of {', '.join(Fault)}")
    return Fault(value)


_PLAN: Final = record(
    {
        "fault": required(_fault),
        "count": Field(whole(least=1), required=False, default=1),
        "message_type": Field(whole(), required=False, nullable=True),
        "seconds": Field(seconds, required=False, default=1.0),
        "result_code": Field(whole(), required=False, default=99),
    }
)


class ListeningPos(Till):
    """A till that the daemon dials; see ``serve``.

    Attributes:
        host, port: Where it listens.
        url: Where its websocket is.
        base_url: Where its HTTP endpoints are.
        tokens: The tokens that open the websocket; forget them to turn the daemon away.
        turned_away: How many token requests and websockets were refused.
    """

    def __init__(
        self,
        shop: Shop,
        faults: Faults,
        *,
        host: str,
        port: int,
        auth: Credentials | None,
        certificate: Path | None,
        key: Path | None,
    ) -> None:
        super().__init__(shop, faults)
        self.tokens: set[str] = set()
        self.turned_away = 0
        self._auth = auth
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host, self.port = host, port
        self._listener = self._bound()
        self.port = int(self._listener.getsockname()[1])
        place = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.url = f"{'ws' if certificate is None else 'wss'}://{place}{SOCKET_PATH}"
        self.base_url = f"{'http' if certificate is None else 'https'}://{place}"
        self._closing = asyncio.Event()
        self._server = _Server(
            uvicorn.Config(
                Starlette(
                    routes=[
                        WebSocketRoute(SOCKET_PATH, self._on_websocket),
                        Route(AUTH_PATH, self._on_auth, methods=["POST"]),
                        Route("/simulator/faults", self._on_faults, methods=["POST"]),
                        Route("/simulator/acts", self._on_acts),
                    ]
                ),
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                log_level=logging.CRITICAL,  # uvicorn would log the token, as part of the path
                access_log=False,
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )

    async def stop_listening(self) -> None:
        """Refuse new connections; those that are up stay up."""
        await self._server.up.wait()
        for server in self._server.servers:
            server.close()

    async def listen_again(self) -> None:
        """Take new connections again, on the same port."""
        await self._server.startup(sockets=[self._bound()])

    async def run(self) -> None:
        """Listen until ``close``."""
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self.answer_all())
            serving = tasks.create_task(self._server.serve(sockets=[self._listener]))
            await self._closing.wait()
            self.drop()
            self._server.leaving.set()
            await asyncio.wait([serving])
            answering.cancel()

    def close(self) -> None:
        """Have ``run`` end."""
        self._closing.set()

    def _bound(self) -> socket.socket:
        listener = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            listener.listen()
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        return listener

    async def _on_auth(self, request: Request) -> JSONResponse:
        try:
            shown = read_json((await request.body()).decode())
        except (FieldError, UnicodeDecodeError):
            shown = None
        if self._auth is not None and shown != self._auth.as_request():
            self.turned_away += 1
            return JSONResponse({"AccessToken": None, "ErrorMessage": "The credentials do not match."}, 401)
        token = secrets.token_urlsafe()
        self.tokens.add(token)
        return JSONResponse({"AccessToken": token, "ErrorMessage": None})

    async def _on_websocket(self, websocket: WebSocket) -> None:
        if self._auth is not None and websocket.query_params.get(PARAMETER) not in self.tokens:
            self.turned_away += 1
            await websocket.close()
            return
        await websocket.accept()
        link = _AcceptedLink(websocket, self._server)
        await self.converse(link, link.frames())

    async def _on_faults(self, request: Request) -> JSONResponse:
        try:
            plan = _PLAN(read_json((await request.body()).decode()), "")
        except (FieldError, UnicodeDecodeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        self.faults.plan(**plan)
        return JSONResponse({"planned": len(self.faults.planned)})

    async def _on_acts(self, _request: Request) -> JSONResponse:
        shop = self.shop
        return JSONResponse(
            {
                "acts": [attrs.asdict(act) for act in shop.acts],
                "requests": len(shop.requests),
                "refusals": shop.refusals,
                "repeats": shop.repeats,
                "conflicts": shop.conflicts,
            }
        )


@contextlib.asynccontextmanager
async def serve(
    shop: Shop,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    auth: Credentials | None = None,
    faults: Faults | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> AsyncIterator[ListeningPos]:
    """A till that listens, for a daemon that dials; it can be reached at once.

    Args:
        shop: What acts and answers.
        host: Where to listen.
        port: 0 for any free one.
        auth: What a daemon must show for the token without which no websocket opens; None lets everyone in.
        faults: What goes wrong; more can be planned at any time.
        certificate: A PEM file, for ``wss`` and ``https``.
        key: The PEM file of its key.
    """
    pos = ListeningPos(shop, faults or Faults(), host=host, port=port, auth=auth, certificate=certificate, key=key)
    running = asyncio.create_task(pos.run())
    try:
        yield pos
    finally:
        pos.close()
        await running
