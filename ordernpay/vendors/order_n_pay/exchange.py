"""Pending requests of one Order N Pay session: what is sent, sent again, answered, given up. No socket, no clock.

What the POS sends is matched by RequestID alone (page OrderNPayWebsocketRequest; the MessageType of an answer is
wrong in two of the vendor's own examples):

| a message …                            | becomes                                                                    |
|----------------------------------------|----------------------------------------------------------------------------|
| with the RequestID of a pending request| `Answered`; the request is no longer pending                               |
| the same, and nothing else that we take| `Garbage`; the request ends `Unreadable` unless a better one comes soon     |
| with any other RequestID               | `Unmatched`: late, repeated, or another's; the journal may know it         |
| that is no response at all             | `Garbage`; nothing changes                                                 |
| so large that we hung up on it         | `Unreadable`, where its beginning names the request                        |

What happens to a pending request:

| on …                      | never sent               | sent before                                                   |
|---------------------------|--------------------------|---------------------------------------------------------------|
| a new connection          | sent                     | sent again, same RequestID, in the order of submission        |
| a lost connection         | waits; `Unsent` if told not to | waits for the next connection                           |
| its deadline              | `Expired(sent=False)`    | `Expired(sent=True)`                                          |

A connection that ends because of one request must not end again and again under all the others. Who may have caused
its end depends on how it ended:

| it ended …                                      | with one that may be the cause | with several                          |
|-------------------------------------------------|--------------------------------|---------------------------------------|
| by the POS, 1009: a request is too big for it   | `TooBig`                       | all of them become suspects           |
| by us: we cannot take what the POS sent         | `Unreadable`                   | the same; a read at its second time `Unreadable` |
| any other way, `MOST_CUTS` times in a row       | tried again ever more seldom   | all of them become suspects           |

Suspects go out after the others, the largest first, each alone, so that the next such end has one culprit. One that was
out alone for `PROBATION` seconds is acquitted, answered or not: a POS that finds a request too big says so at once. Where
a culprit was found, or `MOST_SILENT` were acquitted in silence one after the other, all are. A suspect waits no longer
than `TURN` for the others to leave it the connection.

A 1009 says of this copy that the POS did not act on it, and nothing of a copy that was out when an earlier connection
broke or an earlier life ended: `copied` tells whether there was one. A request that was given up while it was out
may be the culprit too: then nothing is `TooBig`.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Literal

from attrs import define, frozen

from ordernpay.vendors.order_n_pay.wire import Response, read_response

MESSAGE_TOO_BIG: Final = 1009
PROBATION: Final = 2.0
"""Seconds that a suspect is out alone; what goes wrong because of a request's size goes wrong at once."""
TURN: Final = 0.5
MOST_SILENT: Final = 3
MOST_CUTS: Final = 3
LONGEST_HOLD: Final = 5.0
"""Seconds that one waits for its next try that was out alone when a connection broke."""
PATIENCE: Final = 1.0
"""Seconds after an answer that cannot be read within which a better one may come."""
REMEMBERED: Final = 4_096
"""Requests that were given up of which it is known how often they went out."""
NOT_TAKEN: Final = "an answer larger than we take, or not as the protocol has it"

_REQUEST_ID: Final = re.compile(rb'"requestid"\s*:\s*"([^"]{1,256})"', re.IGNORECASE)

Why = Literal["too_big", "unreadable", "cut"]


@frozen
class Answered:
    """The POS answered a pending request; `repeated`: more than one copy of it may have been read."""

    request_id: str
    response: Response
    repeated: bool = False


@frozen
class Unmatched:
    """A response to nothing that is pending; `repeated`: more than one copy of the request may have been read."""

    request_id: str
    response: Response
    repeated: bool = True


@frozen
class Garbage:
    """A message that is no response."""

    why: str


@frozen
class Unreadable:
    """The POS answered a pending request, or may have, with what we cannot take."""

    request_id: str
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


Event = Answered | Unmatched | Garbage | Unreadable | Expired | Unsent | TooBig


@define
class _Pending:
    frame: str
    deadline: float
    may_wait: bool
    changes: bool
    sent: bool = False
    copied: bool = False
    repeated: bool = False
    out_since: float | None = None
    proven: bool = False
    suspect: bool = False
    cuts: int = 0
    refusals: int = 0
    held_until: float = 0.0
    unreadable: str | None = None

    @property
    def out(self) -> bool:
        """Whether a copy is out on this connection."""
        return self.out_since is not None

    def acquit(self) -> None:
        """Count nothing against it any more: it need not wait for its next try."""
        self.suspect, self.cuts, self.held_until = False, 0, 0.0


def key_of(request_id: str) -> str:
    """A RequestID as it is compared: systems write the same GUID in either case, in braces, with blanks around it."""
    return request_id.strip(" \t\r\n\0{}").lower()


class Exchange:
    """The requests of one session, over any number of connections. Times are those of the caller's clock."""

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}
        self._given_up: OrderedDict[str, bool] = OrderedDict()
        self._connected = False
        self._strays = False
        self._silent = 0
        self._turn = 0.0

    def __len__(self) -> int:
        return len(self._pending)

    def submit(
        self,
        request_id: str,
        frame: str,
        deadline: float,
        *,
        may_wait: bool = True,
        sent: bool = False,
        tried: bool = False,
        changes: bool = True,
    ) -> None:
        """Take a request.

        Args:
            request_id: its RequestID.
            frame: the text to send.
            deadline: nothing is sent after it.
            may_wait: whether it waits for a connection where there is none.
            sent: whether bytes of it may have gone out in an earlier life.
            tried: whether it went out in an earlier try, even one that ended as being without effect.
            changes: whether it has an effect; a read whose answer cannot be taken is not asked again.
        """
        key = key_of(request_id)
        if key in self._pending:
            raise ValueError("a request with this RequestID is pending already")
        copied = self._given_up.pop(key, None) is not None or sent
        self._pending[key] = _Pending(frame, deadline, may_wait, changes, sent, copied, copied or tried)

    def withdraw(self, request_id: str) -> None:
        """Nobody waits for this request any more; an answer to it will be `Unmatched`."""
        self._give_up(key_of(request_id))

    # Connections

    def connected(self, now: float = 0.0) -> None:
        """A new connection stands: everything pending is to be sent over it."""
        self._connected = True
        self._strays = False
        self._turn = now + TURN

    def disconnected(self, code: int | None = None, now: float = 0.0, unread: bytes | None = None) -> list[Event]:
        """The connection is gone.

        Args:
            code: the close code that the POS gave, if any.
            now: the time.
            unread: the beginning of a message that we hung up on; None where the end was not ours.
        """
        self._connected = False
        self._acquit(now)
        why: Why = "unreadable" if unread is not None else "too_big" if code == MESSAGE_TOO_BIG else "cut"
        events = self._blame(why, now, unread)
        for key, pending in list(self._pending.items()):
            if pending.out:
                pending.repeated = True
                pending.copied = pending.copied or why != "too_big"
            pending.out_since = None
            pending.proven = False
            if pending.unreadable is not None:
                events.append(self._end_unreadable(key, pending.unreadable))
            elif not pending.may_wait and not pending.sent:
                del self._pending[key]
                events.append(Unsent(key))
        return events

    def _blame(self, why: Why, now: float, unread: bytes | None) -> list[Event]:
        """End what caused the connection's end, or make suspects of all that may have."""
        named = self._named(unread or b"")
        if named is not None:
            return [self._end_unreadable(named, NOT_TAKEN)] if named in self._pending else []
        out = {key: pending for key, pending in self._pending.items() if pending.out}
        if why != "unreadable":  # an answer may take its time; what the POS does not like, it does not like at once
            out = {key: pending for key, pending in out.items() if not pending.proven} or (
                out if why == "too_big" else {}
            )
        alone = len(out) == 1 and not self._strays
        if why == "cut":
            return _note_cuts(out.values(), now, alone=alone)
        if alone:
            [(key, culprit)] = out.items()
            self._acquit_all()
            if why == "unreadable":
                return [self._end_unreadable(key, NOT_TAKEN)]
            del self._pending[key]
            return [TooBig(key, culprit.copied)]
        events: list[Event] = []
        for key, pending in out.items():
            pending.suspect = True
            pending.refusals += why == "unreadable"
            if pending.refusals > 1 and not pending.changes:
                events.append(self._end_unreadable(key, "its answer may be one that we cannot take"))
        return events

    def _named(self, unread: bytes) -> str | None:
        """Which of our requests a message answers of which there is only the beginning."""
        found = [key_of(match[1].decode("utf-8", "replace")) for match in _REQUEST_ID.finditer(unread)]
        out = (key for key in found if key in self._pending and self._pending[key].out)
        return next(out, next((key for key in found if key in self._given_up), None))

    def _end_unreadable(self, key: str, why: str) -> Unreadable:
        self._give_up(key)
        return Unreadable(key, why)

    # Sending

    def next_frame(self, now: float) -> str | None:
        """The next text to send, if any; from here on it counts as sent."""
        if not self._connected:
            return None
        self._acquit(now)
        ready = [
            pending
            for pending in self._pending.values()
            if not pending.out and pending.unreadable is None and pending.deadline > now >= pending.held_until
        ]
        chosen = self._choose(ready, now) if ready else None
        if chosen is None:
            return None
        chosen.out_since, chosen.sent = now, True
        return chosen.frame

    def _choose(self, ready: list[_Pending], now: float) -> _Pending | None:
        """The next of those that are ready, if its turn has come."""
        out = [pending for pending in self._pending.values() if pending.out and not pending.proven]
        suspects = [pending for pending in ready if pending.suspect]
        if any(pending.suspect for pending in out):
            return None
        if len(suspects) < len(ready) and (not suspects or now < self._turn):
            return next(pending for pending in ready if not pending.suspect)
        if out:
            return None
        self._turn = now + TURN
        return max(suspects, key=lambda pending: len(pending.frame))

    def pause(self, now: float) -> float | None:
        """Seconds until there may be something to send or to give up without anything happening; None for never."""
        times = [pending.deadline for pending in self._pending.values() if pending.unreadable is not None]
        if self._connected and any(pending.suspect for pending in self._pending.values()):
            for pending in self._pending.values():
                if pending.out_since is not None and not pending.proven:
                    times.append(pending.out_since + PROBATION)
                elif pending.suspect:
                    times.append(max(pending.held_until, self._turn))
        later = [at for at in times if at > now]
        return min(later) - now if later else None

    def _acquit(self, now: float) -> None:
        """Clear what has been out long enough without the connection ending of it."""
        for pending in self._pending.values():
            if pending.out_since is None or pending.proven or now - pending.out_since < PROBATION:
                continue
            pending.proven = True
            if pending.suspect:
                pending.acquit()
                self._silent += 1
                self._turn = now + TURN
        if self._silent >= MOST_SILENT:
            self._acquit_all()

    def _acquit_all(self) -> None:
        self._silent = 0
        for pending in self._pending.values():
            pending.acquit()

    # Answers

    def receive(self, message: str | bytes, now: float = 0.0) -> Event:
        """What a message from the POS means."""
        response = read_response(message)
        if isinstance(response, str):
            self._note_unreadable(message, response, now)
            return Garbage(response)
        key = key_of(response.request_id)
        pending = self._pending.pop(key, None)
        if pending is None:
            return Unmatched(key, response, self._given_up.get(key, True))
        if pending.suspect:
            self._silent, self._turn = 0, now + TURN
        return Answered(key, response, pending.repeated)

    def _note_unreadable(self, message: str | bytes, why: str, now: float) -> None:
        beginning = message[:65_536]
        named = self._named(beginning if isinstance(beginning, bytes) else beginning.encode("utf-8", "replace"))
        if named is not None:
            pending = self._pending[named]
            pending.unreadable = why
            pending.deadline = min(pending.deadline, now + PATIENCE)

    # Giving up

    def expire(self, now: float) -> list[Event]:
        """Give up what is past its deadline."""
        over = [key for key, pending in self._pending.items() if pending.deadline <= now]
        return [*self._expired(over)]

    def _expired(self, over: Iterable[str]) -> Iterable[Event]:
        for key in over:
            pending = self._pending[key]
            self._give_up(key)
            yield Expired(key, pending.sent) if pending.unreadable is None else Unreadable(key, pending.unreadable)

    def _give_up(self, key: str) -> None:
        pending = self._pending.pop(key, None)
        if pending is None:
            return
        self._strays = self._strays or (pending.out and not pending.proven)
        if pending.sent:
            self._given_up[key] = pending.repeated
            while len(self._given_up) > REMEMBERED:
                self._given_up.popitem(last=False)


def _note_cuts(out: Iterable[_Pending], now: float, *, alone: bool) -> list[Event]:
    """Count a connection that broke, against each that may have caused it."""
    for pending in out:
        pending.cuts += 1
        if pending.cuts < MOST_CUTS:
            continue
        if alone and pending.suspect:
            pending.held_until = now + min(LONGEST_HOLD, 0.5 * 2.0 ** min(pending.cuts - MOST_CUTS, 10))
        pending.suspect = True
    return []
