"""The pretend PowerEPOS till as a client, as it is in the real world."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx
from attrs import frozen
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ordernpay.simulator.auth import AUTH_PATH, PARAMETER, SOCKET_PATH, Credentials
from ordernpay.simulator.faults import Faults
from ordernpay.simulator.shop import Shop
from ordernpay.simulator.till import Till, reset

quiet = logging.getLogger("ordernpay.simulator.quiet")
quiet.setLevel(logging.CRITICAL)  # websockets would log frames and the token


@frozen
class Refusal:
    """Why a POS that dialled was not let in: ``at`` is ``auth`` or ``websocket``, ``status`` the HTTP status."""

    at: str
    status: int


class _DialledLink:
    """A websocket that the POS opened."""

    def __init__(self, connection: ClientConnection) -> None:
        self.gone = False
        self._connection = connection

    async def frames(self) -> AsyncIterator[str | bytes]:
        """What the daemon sends, until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            async for frame in self._connection:
                yield frame

    async def send(self, frame: str) -> None:
        try:
            await self._connection.send(frame)
        except ConnectionClosed:
            self.gone = True
            raise ConnectionResetError from None

    async def close(self, code: int) -> None:
        self.gone = True
        await self._connection.close(code)

    def cut(self) -> None:
        self.gone = True
        reset(self._connection.transport)


class DialingPos(Till):
    """A till that dials the daemon; see ``dial``.

    Attributes:
        refusals: Each time that it was not let in, in order.
        failures: How often nobody was reached, or the conversation before the websocket broke off.
        close_codes: How its connections ended, in order; 1006 for one that was cut.
    """

    def __init__(
        self,
        shop: Shop,
        faults: Faults,
        *,
        base_url: str,
        credentials: Credentials,
        reconnect_delay: float,
        path: str,
        parameter: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(shop, faults)
        self.refusals: list[Refusal] = []
        self.failures = 0
        self.close_codes: list[int | None] = []
        place = urlsplit(base_url)
        secure = "s" if place.scheme in {"https", "wss"} else ""
        self._auth_url = urlunsplit((f"http{secure}", place.netloc, AUTH_PATH, "", ""))
        self._socket_url = urlunsplit((f"ws{secure}", place.netloc, path, "", ""))
        self._credentials = credentials
        self._reconnect_delay = reconnect_delay
        self._parameter = parameter
        self._trust: ssl.SSLContext | bool = True if tls is None else tls
        self._tls = self._trust if secure else None
        self._closing = asyncio.Event()

    @property
    def refused(self) -> int:
        """How often it was not let in."""
        return len(self.refusals)

    async def run(self) -> None:
        """Keep connected until ``close``."""
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self.answer_all())
            dialling = tasks.create_task(self._keep_connected())
            await self._closing.wait()
            dialling.cancel()
            await asyncio.wait([dialling])
            answering.cancel()

    def close(self) -> None:
        """Have ``run`` end."""
        self._closing.set()

    async def _keep_connected(self) -> None:
        one_shot = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(trust_env=False, limits=one_shot, verify=self._trust) as http:
            while True:
                try:
                    await self._connect(http)
                except InvalidStatus as refusal:
                    self.refusals.append(Refusal("websocket", refusal.response.status_code))
                except (OSError, InvalidHandshake, httpx.TransportError):
                    self.failures += 1
                await asyncio.sleep(self._reconnect_delay)

    async def _connect(self, http: httpx.AsyncClient) -> None:
        answer = await http.post(self._auth_url, json=self._credentials.as_request())
        token = answer.json()["AccessToken"] if answer.is_success else None
        if token is None:
            self.refusals.append(Refusal("auth", answer.status_code))
            return
        query = urlencode({self._parameter: token})
        async with connect(
            f"{self._socket_url}?{query}",
            proxy=None,
            compression=None,
            logger=quiet,
            close_timeout=1,
            ssl=self._tls,
        ) as connection:
            link = _DialledLink(connection)
            await self.converse(link, link.frames())
        self.close_codes.append(connection.close_code)


@contextlib.asynccontextmanager
async def dial(
    shop: Shop,
    base_url: str,
    credentials: Credentials,
    *,
    faults: Faults | None = None,
    reconnect_delay: float = 0.05,
    path: str = SOCKET_PATH,
    parameter: str = PARAMETER,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[DialingPos]:
    """A till that dials the daemon, as real ones do, and dials again whenever the connection ends.

    Args:
        shop: What acts and answers.
        base_url: Where the daemon listens, e.g. ``http://127.0.0.1:8710``.
        credentials: What it shows for its token.
        faults: What goes wrong; more can be planned at any time.
        reconnect_delay: Seconds between the end of a connection, or a refusal, and the next attempt.
        path: Where the daemon's websocket is.
        parameter: The query parameter that takes the token.
        tls: Whom to trust with ``https``; None for the usual authorities.
    """
    pos = DialingPos(
        shop,
        faults or Faults(),
        base_url=base_url,
        credentials=credentials,
        reconnect_delay=reconnect_delay,
        path=path,
        parameter=parameter,
        tls=tls,
    )
    running = asyncio.create_task(pos.run())
    try:
        yield pos
    finally:
        pos.close()
        await running
