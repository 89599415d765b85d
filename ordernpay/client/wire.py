"""The client's end of the socket: lines out, messages in, and one kind of error for however it ends."""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import anyio
from anyio.abc import SocketStream

from ordernpay.client.failures import ConnectionLost, NoDaemon, NotPermitted
from ordernpay.jsontext import JsonError, JsonObject
from ordernpay.rpc.jsonrpc import LineBuffer, Notification, Response, parse_answer

SOCKET_VARIABLE = "ORDERNPAY_SOCKET"
DEFAULT_SOCKET = "/run/ordernpay/ordernpay.sock"

_ANSWER_BYTES = 256 * 1024 * 1024

SocketPath: TypeAlias = str | os.PathLike[str]


def default_socket(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the daemon is: ``$ORDERNPAY_SOCKET``, or the place where it is installed to be."""
    return Path(environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET)


async def open_wire(path: SocketPath | None) -> "Wire":
    """Connect.

    Raises:
        NoDaemon: Nobody answers at the socket.
        NotPermitted: This user may not open it.
    """
    place = default_socket() if path is None else Path(path)
    try:
        return Wire(await anyio.connect_unix(place))
    except PermissionError:
        raise NotPermitted(f"user {os.geteuid()} may not open {place}: is it in the socket's group?") from None
    except OSError as error:
        raise NoDaemon(f"no daemon at {place}: {error.strerror or error}") from None


def subscription_params(since: int | None, sessions: Sequence[str] | None, kinds: Sequence[str] | None) -> JsonObject:
    """The params of ``event.subscribe``, without what is left to the daemon."""
    params: JsonObject = {}
    if since is not None:
        params["since"] = since
    if sessions is not None:
        params["sessions"] = [*sessions]
    if kinds is not None:
        params["kinds"] = [*kinds]
    return params


def sequence_number(holder: JsonObject, otherwise: int, key: str = "seq") -> int:
    """The event number under a key."""
    number = holder.get(key)
    return number if isinstance(number, int) else otherwise


class Wire:
    """A connected socket. An async context manager, which closes it."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._buffer = LineBuffer(_ANSWER_BYTES)
        self._messages: deque[Response | Notification] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def send(self, line: bytes) -> None:
        """Send a whole line.

        Raises:
            ConnectionLost: The daemon has gone.
        """
        try:
            await self._stream.send(line)
        except anyio.BrokenResourceError:
            raise ConnectionLost("the daemon closed the connection") from None

    async def receive(self) -> Response | Notification:
        """The next message.

        Raises:
            ConnectionLost: There is none, or it cannot be understood.
        """
        while not self._messages:
            try:
                data = await self._stream.receive()
                self._messages.extend(parse_answer(line) for line in self._buffer.feed(data))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                raise ConnectionLost("the daemon closed the connection") from None
            except JsonError as error:
                raise ConnectionLost(f"the daemon sent what cannot be understood: {error}") from None
            if self._buffer.too_long:
                raise ConnectionLost(f"the daemon sent a line of more than {_ANSWER_BYTES} bytes")
        return self._messages.popleft()
