"""The role in which the daemon opens the websocket: token handshake, connection, and when to try again."""

import ssl
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import anyio
import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ordernpay.certificates import Certificate, of_peer
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.vendors.order_n_pay.exchange import NOT_TAKEN
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.order_n_pay.wire import AUTH_PATH
from ordernpay.vendors.protocol import LinkClosed
from ordernpay.vendors.reading import Reader, tolerant
from ordernpay.vendors.tls import ClientTls
from ordernpay.vendors.websocket import USER_AGENT, Connect, Connection

REFUSED_STATUSES: Final = frozenset({401, 403})
POLICY_VIOLATION: Final = 1008
MOST_HANDSHAKE_BYTES: Final = 65_536


class Unreachable(Exception):
    """No connection could be made; worth another try."""


class CredentialsRefused(Exception):
    """The POS does not accept who we say we are; tried again slowly."""


class DialledLink:
    """A websocket that we opened, used once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._first: str | bytes | None = None

    @property
    def certificate(self) -> Certificate | None:
        """What the POS has shown; None without TLS."""
        return of_peer(self._connection.transport.get_extra_info("ssl_object"))

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def stand(self) -> None:
        """Return when the POS is heard of: by its answer to a ping, or by a first message, which `receive` will give.

        A POS that begins with all that it still owes us fills every buffer, and its pong stands behind that: it is
        never read unless the messages are.
        """
        closed: list[LinkClosed] = []

        async def hear(heard: anyio.CancelScope) -> None:
            self._first = await self.receive()
            heard.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hear, tasks.cancel_scope)
                await self.probe()
                tasks.cancel_scope.cancel()
        except* LinkClosed as group:
            closed += [cause for cause in group.exceptions if isinstance(cause, LinkClosed)]
        if closed:
            raise closed[0]

    async def receive(self) -> str | bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return await self._connection.recv(decode=False)  # a broken letter must not end the connection
        except ConnectionClosed as error:
            raise _closed(error, self._connection.unread(error)) from None

    async def probe(self) -> None:
        try:
            await (await self._connection.ping())
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def close(self, code: int, reason: str) -> None:
        with anyio.move_on_after(1, shield=True):
            await self._connection.close(code, reason)
        self._connection.transport.abort()


def _closed(error: ConnectionClosed, unread: bytes | None = None) -> LinkClosed:
    if unread is not None:
        return LinkClosed(f"closed by us with code {error.sent and error.sent.code}: {NOT_TAKEN}", unread=unread)
    code = error.rcvd.code if error.rcvd else None
    if error.rcvd:
        return LinkClosed(f"closed by the POS with code {error.rcvd.code}", code)
    return LinkClosed("connection lost" if error.sent is None else f"closed with code {error.sent.code}", code)


async def open_link(config: OrderNPayConfig, carried: Callable[[str], None] | None = None) -> DialledLink:
    """Connect once, after the token handshake where there is a secret; `carried` gets the token.

    Raises:
        Unreachable: not now; try again.
        CredentialsRefused: not with these credentials.
    """
    url = config.url or ""
    secure = urlsplit(url).scheme == "wss"
    try:
        trust = ClientTls.of(config)
        tls = trust.context() if secure else None  # reading the system's authorities takes 20 ms
    except OSError as error:
        raise Unreachable(str(error)) from None
    with anyio.move_on_after(config.connect_timeout):
        try:
            if config.auth_secret is not None:
                token = await _token(config, tls)
                if carried is not None:
                    carried(token)
                url = _with_token(url, config.token_parameter, token)
            connection = await Connect(
                url,
                ssl=tls,
                max_size=config.max_message_bytes,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status in REFUSED_STATUSES:
                raise CredentialsRefused(f"the POS refused the connection with HTTP {status}") from None
            hint = "" if secure or status != httpx.codes.BAD_REQUEST else "; if it speaks TLS, use wss://"
            raise Unreachable(f"the POS answered HTTP {status} instead of opening a websocket{hint}") from None
        except (InvalidHandshake, InvalidURI, UnicodeError) as error:
            raise Unreachable(f"no websocket there: {trust.reason(error, secure=secure)}") from None
        except (OSError, EOFError) as error:
            raise Unreachable(trust.reason(error, secure=secure)) from None
        assert isinstance(connection, Connection)  # noqa: S101 - for the type checker: that is what `Connect` makes
        link = DialledLink(connection)
        try:
            await link.stand()
        except anyio.get_cancelled_exc_class():  # nobody else knows of it: left open, each try would keep a socket
            connection.transport.abort()
            raise
        except LinkClosed as error:
            if error.code == POLICY_VIOLATION:
                raise CredentialsRefused(error.reason) from None
            raise Unreachable(error.reason) from None
        return link
    raise Unreachable(f"no connection within {config.connect_timeout:g} s")


async def _token(config: OrderNPayConfig, tls: ssl.SSLContext | None) -> str:
    """POST to the auth endpoint on the websocket's host (page WebsocketAuthentication); the access token."""
    parts = urlsplit(config.url or "")
    scheme = "https" if parts.scheme == "wss" else "http"
    address = urlunsplit((scheme, parts.netloc, AUTH_PATH, "", ""))
    secret = config.auth_secret.reveal() if config.auth_secret else ""
    body: JsonObject = {
        "ProviderOutletID": config.provider_outlet_id,
        "POSRemoteID": config.pos_remote_id,
        "AuthSecret": secret,
    }
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
    verify = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # one that trusts nobody, or httpx would make its own
    try:
        async with (
            httpx.AsyncClient(verify=verify, trust_env=False, timeout=config.connect_timeout) as client,
            client.stream("POST", address, content=dumps(body).encode(), headers=headers) as answer,
        ):
            if answer.status_code in REFUSED_STATUSES:
                raise CredentialsRefused(f"token handshake: refused with HTTP {answer.status_code}")
            if answer.status_code != httpx.codes.OK:
                raise Unreachable(f"token handshake: HTTP {answer.status_code}")
            told = _told(await _read(answer))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"token handshake: {ClientTls.of(config).reason(error, secure=parts.scheme == 'wss')}"
        ) from None
    token = Reader(told).text("AccessToken") if isinstance(told, dict) else None
    if not token:
        raise CredentialsRefused("token handshake: answered without a token")
    return token


async def _read(answer: httpx.Response) -> bytes:
    """The body as it came over the wire, up to a bound that no answer with a token comes near."""
    body = b""
    async for part in answer.aiter_raw():
        body += part
        if len(body) > MOST_HANDSHAKE_BYTES:
            raise Unreachable(f"token handshake: the answer is longer than {MOST_HANDSHAKE_BYTES} bytes")
    return body


def _told(body: bytes) -> JsonValue:
    try:
        told: JsonValue = tolerant(body)
    except (ValueError, RecursionError):
        raise Unreachable("token handshake: the answer is no JSON") from None
    return told


def _with_token(url: str, parameter: str, token: str) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode({parameter: token})) if part)
    return urlunsplit(parts._replace(path=parts.path or "/", query=query))
