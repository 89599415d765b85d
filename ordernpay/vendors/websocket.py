"""What sessions that dial a websocket share."""

from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from ordernpay import __version__
from ordernpay.vendors.protocol import LinkClosed

USER_AGENT: Final = f"ordernpay/{__version__}"
HAPPY_EYEBALLS_DELAY: Final = 0.25
"""Seconds after which the next address of a name is tried beside the one that has not answered yet (RFC 8305)."""

NOT_TAKEN: Final = frozenset({CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG})
"""Codes with which this end hangs up on what it cannot take."""

BEGINNING: Final = 4_096
AFTERWARDS: Final = 65_536


class Connection(ClientConnection):
    """A connection that keeps the beginning of the message on which it was hung up, since that says what it answers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chunks = b"", b""
        self._after = b""
        self._fragment = b""

    def data_received(self, data: bytes) -> None:
        """Keep the last that came in, by reference, and a little of what comes after the end."""
        if self.protocol.state is State.OPEN:
            self._chunks = self._chunks[1], data
        elif len(self._after) < AFTERWARDS:
            self._after += data[:AFTERWARDS]
        super().data_received(data)

    def process_event(self, event: Any) -> None:
        """Keep the beginning of a message that comes in parts."""
        if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._fragment = b"" if event.fin else bytes(event.data[:BEGINNING])
        super().process_event(event)

    def unread(self, error: ConnectionClosed) -> bytes | None:
        """The beginning of what this end could not take; None where the connection ended in another way.

        What came before it in the same chunks has been read, so nothing waits for that any more.
        """
        ours = error.sent is not None and error.sent.code in NOT_TAKEN and not error.rcvd_then_sent
        return b"".join((self._fragment, *self._chunks, self._after)) if ours else None


class Connect(connect):
    """Open a connection as every session does: uncompressed, to any address of a name, without a proxy.

    A redirect is an answer like any other: followed, it would lead past the configured address and its TLS.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        super().__init__(
            url,
            create_connection=Connection,
            compression=None,
            ping_interval=None,
            open_timeout=None,
            close_timeout=1,
            proxy=None,
            user_agent_header=USER_AGENT,
            happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY,
            **settings,
        )

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def first_of(group: BaseExceptionGroup[LinkClosed]) -> LinkClosed:
    """The first cause; the one that knows most of it where there are several."""
    causes: list[LinkClosed] = []
    for cause in group.exceptions:
        causes += [first_of(cause)] if isinstance(cause, BaseExceptionGroup) else [cause]
    return next((cause for cause in causes if (cause.code, cause.unread) != (None, None)), causes[0])
