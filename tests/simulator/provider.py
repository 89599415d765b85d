"""The daemon's end of the wire, as small as it can be: one that dials the POS and one that the POS dials."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ordernpay.simulator.order_n_pay import Credentials, Faults, dial, serve
from ordernpay.simulator.shop import Shop
from ordernpay.simulator.till import Till

CREDENTIALS = Credentials("venue-0042", "remote-7f", "long-random-value")


class GoneError(Exception):
    """The connection ended, with this close code."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Peer(Protocol):
    """One connection to the POS, seen from the daemon."""

    async def send(self, message: Any) -> None: ...

    async def send_bytes(self, frame: bytes) -> None: ...

    async def receive_text(self) -> str: ...


class DialledPeer:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: Any) -> None:
        await self._connection.send(json.dumps(message))

    async def send_bytes(self, frame: bytes) -> None:
        await self._connection.send(frame)

    async def receive_text(self) -> str:
        try:
            return str(await self._connection.recv())
        except ConnectionClosed:
            raise GoneError(self._connection.close_code) from None


class AcceptedPeer:
    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listen(self) -> None:
        while True:
            message = dict(await self._websocket.receive())
            self._incoming.put_nowait(message)
            if message["type"] == "websocket.disconnect":
                return

    async def send(self, message: Any) -> None:
        await self._websocket.send_text(json.dumps(message))

    async def send_bytes(self, frame: bytes) -> None:
        await self._websocket.send_bytes(frame)

    async def receive_text(self) -> str:
        message = await self._incoming.get()
        if message["type"] == "websocket.disconnect":
            raise GoneError(message["code"])
        return str(message["text"])


class Provider:
    """What the vendor's page asks of a provider: the token endpoint and the websocket, on one port."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.let_in = True
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def auth(self, request: Request) -> JSONResponse:
        if await request.json() != self.credentials.as_request():
            return JSONResponse({"AccessToken": None, "ErrorMessage": "no"}, 401)
        return JSONResponse({"AccessToken": "a token&more", "ErrorMessage": None})

    async def websocket(self, websocket: WebSocket) -> None:
        if not self.let_in or websocket.query_params["token"] != "a token&more":
            await websocket.close()
            return
        await websocket.accept()
        peer = AcceptedPeer(websocket)
        self.peers.put_nowait(peer)
        await peer.listen()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def provide(*, certificate: Path | None = None, key: Path | None = None) -> AsyncIterator[Provider]:
    provider = Provider(CREDENTIALS)
    provider.scheme = "http" if certificate is None else "https"
    app = Starlette(
        routes=[
            Route("/api/powerepos/v1/auth", provider.auth, methods=["POST"]),
            WebSocketRoute("/", provider.websocket),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    provider.port = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        log_level=logging.CRITICAL,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = _Uvicorn(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield provider
    finally:
        server.should_exit = True
        await running


class Wire(Protocol):
    """A POS in one of its roles, and a way to the next connection with it."""

    pos: Till

    async def peer(self) -> Peer: ...


class DialledWire:
    def __init__(self, pos: Till, url: str, stack: contextlib.AsyncExitStack) -> None:
        self.pos = pos
        self._url = url
        self._stack = stack

    async def peer(self) -> Peer:
        connection = connect(self._url, proxy=None, compression=None, close_timeout=1)
        return DialledPeer(await self._stack.enter_async_context(connection))


class AcceptedWire:
    def __init__(self, pos: Till, provider: Provider) -> None:
        self.pos = pos
        self._provider = provider

    async def peer(self) -> Peer:
        return await self._provider.peers.get()


@contextlib.asynccontextmanager
async def wired(role: str, shop: Shop, faults: Faults) -> AsyncIterator[Wire]:
    async with contextlib.AsyncExitStack() as stack:
        if role == "server":
            listening = await stack.enter_async_context(serve(shop, faults=faults))
            yield DialledWire(listening, listening.url, stack)
        else:
            provider = await stack.enter_async_context(provide())
            dialling = await stack.enter_async_context(dial(shop, provider.url, CREDENTIALS, faults=faults))
            yield AcceptedWire(dialling, provider)
