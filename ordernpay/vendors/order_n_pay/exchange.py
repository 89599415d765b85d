"""Pending requests of one Order N Pay session: what is sent, sent again, answered, given up. No socket, no clock.

What the POS sends is matched by RequestID alone (page OrderNPayWebsocketRequest; the MessageType of an answer is
wrong in two of the vendor's own examples):

| a message …                            | becomes                                                              |
|----------------------------------------|----------------------------------------------------------------------|
| with the RequestID of a pending request| `Answered`; the request is no longer pending                         |
| with any other RequestID               | `Unmatched`: late, repeated, or another's; the journal may know it   |
| that is no response at all             | `Garbage`; nothing changes                                           |

What happens to a pending request:

| on …                      | never sent               | sent before                                                   |
|---------------------------|--------------------------|---------------------------------------------------------------|
| a new connection          | sent                     | sent again, same RequestID, in the order of submission        |
| a lost connection         | waits; `Unsent` if told not to | waits for the next connection                           |
| its deadline              | `Expired(sent=False)`    | `Expired(sent=True)`                                          |
| close code 1009           | –                        | the only one out: `TooBig`; else all out become suspects      |

A 1009 says of this copy that the POS did not act on it, and nothing of a copy that was out when an earlier connection
broke or an earlier life ended: `TooBig` tells whether there was one.

While there are suspects, requests go out one at a time, so that the next 1009 has one culprit. A request that was
given up while it was out may be the culprit too: then nothing is `TooBig`, and what is out becomes suspect.
"""

from attrs import define, frozen

from ordernpay.vendors.order_n_pay.wire import Response, read_response

MESSAGE_TOO_BIG = 1009


@frozen
class Answered:
    """The POS answered a pending request."""

    request_id: str
    response: Response


@frozen
class Unmatched:
    """A response to nothing that is pending."""

    request_id: str
    response: Response


@frozen
class Garbage:
    """A message that is no response."""

    why: str


@frozen
class Expired:
    """A request's deadline passed; `sent` tells whether bytes of it may have reached the POS."""

    request_id: str
    sent: bool


@frozen
class Unsent:
    """The connection was lost before a request that should not wait was sent."""

    request_id: str


@frozen
class TooBig:
    """The POS closed the connection because of this request's size; `copied`: an earlier copy of it may have been read."""

    request_id: str
    copied: bool = False


Event = Answered | Unmatched | Garbage | Expired | Unsent | TooBig


@define
class _Pending:
    frame: str
    deadline: float
    may_wait: bool
    sent: bool = False
    out: bool = False
    copied: bool = False
    suspect: bool = False


class Exchange:
    """The requests of one session, over any number of connections."""

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}
        self._connected = False
        self._strays = False

    def __len__(self) -> int:
        return len(self._pending)

    def submit(
        self, request_id: str, frame: str, deadline: float, *, may_wait: bool = True, sent: bool = False
    ) -> None:
        """Take a request.

        Args:
            request_id: its RequestID.
            frame: the text to send.
            deadline: on the caller's clock; nothing is sent after it.
            may_wait: whether it waits for a connection where there is none.
            sent: whether bytes of it may have gone out in an earlier life.
        """
        key = request_id.lower()
        if key in self._pending:
            raise ValueError("a request with this RequestID is pending already")
        self._pending[key] = _Pending(frame, deadline, may_wait, sent, copied=sent)

    def withdraw(self, request_id: str) -> None:
        """Nobody waits for this request any more; an answer to it will be `Unmatched`."""
        self._give_up(request_id.lower())

    def connected(self) -> None:
        """A new connection stands: everything pending is to be sent over it."""
        self._connected = True
        self._strays = False

    def disconnected(self, code: int | None = None) -> list[Event]:
        """The connection is gone.

        Args:
            code: the close code that the POS gave, if any.
        """
        self._connected = False
        events: list[Event] = []
        out = [key for key, pending in self._pending.items() if pending.out]
        if code == MESSAGE_TOO_BIG and len(out) == 1 and not self._strays:
            events.append(TooBig(out[0], self._pending.pop(out[0]).copied))
        for key, pending in list(self._pending.items()):
            if pending.out and code == MESSAGE_TOO_BIG:
                pending.suspect = True
            elif pending.out:
                pending.copied = True
            pending.out = False
            if not pending.may_wait and not pending.sent:
                del self._pending[key]
                events.append(Unsent(key))
        return events

    def next_frame(self, now: float) -> str | None:
        """The next text to send, if any; from here on it counts as sent."""
        if not self._connected:
            return None
        one_at_a_time = any(pending.suspect for pending in self._pending.values())
        if one_at_a_time and any(pending.out for pending in self._pending.values()):
            return None
        for pending in self._pending.values():
            if not pending.out and pending.deadline > now:
                pending.out = pending.sent = True
                return pending.frame
        return None

    def receive(self, message: str | bytes) -> Event:
        """What a message from the POS means."""
        response = read_response(message)
        if isinstance(response, str):
            return Garbage(response)
        if self._pending.pop(response.request_id.lower(), None) is None:
            return Unmatched(response.request_id.lower(), response)
        return Answered(response.request_id.lower(), response)

    def expire(self, now: float) -> list[Event]:
        """Give up what is past its deadline."""
        over = [(key, pending.sent) for key, pending in self._pending.items() if pending.deadline <= now]
        for key, _ in over:
            self._give_up(key)
        return [Expired(key, sent) for key, sent in over]

    def _give_up(self, key: str) -> None:
        pending = self._pending.pop(key, None)
        if pending is not None and pending.out:
            self._strays = True
