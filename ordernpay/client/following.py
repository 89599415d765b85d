"""Events without end: reconnects, and goes on after the last one."""

import math
from collections.abc import AsyncGenerator, Sequence

import anyio

from ordernpay.client.failures import ConnectionLost, NoDaemon, Overloaded, ShuttingDown, failure_of
from ordernpay.client.wire import SocketPath, Wire, open_wire, sequence_number, subscription_params
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.rpc import jsonrpc
from ordernpay.rpc.jsonrpc import Notification, Response, RpcError

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_STABLE_SECONDS = 10.0


async def follow(
    path: SocketPath | None = None,
    *,
    since: int | None = None,
    sessions: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
) -> AsyncGenerator[JsonObject, None]:
    """Events, in order, without a gap and without a repeat, however often the daemon restarts.

    Waits for a daemon that is not there. If the daemon comes back with another journal, its events are given from the
    first.

    Args:
        path: The daemon's socket; ``None`` for the default.
        since: Begin with what is kept after this number; ``None`` for what happens from now on.
        sessions: Only events of these sessions.
        kinds: Only events of these kinds.

    Raises:
        RpcFailure: The daemon refuses the subscription for good.
        NotPermitted: This user may not open the socket.
    """
    feed = _Feed(path, since, sessions, kinds)
    try:
        while True:
            yield await feed.next()
    finally:
        await feed.drop()


class _Feed:
    """One subscription after the other. No task and no scope outlives a call, since a generator may be left at any yield."""

    def __init__(
        self, path: SocketPath | None, since: int | None, sessions: Sequence[str] | None, kinds: Sequence[str] | None
    ) -> None:
        self._path = path
        self._position = since
        self._sessions = sessions
        self._kinds = kinds
        self._journal: JsonValue = None
        self._wire: Wire | None = None
        self._connected_at = math.inf
        self._pause = _FIRST_PAUSE

    async def next(self) -> JsonObject:
        """The next event, over as many connections as it takes."""
        while True:
            try:
                return await self._next_of(self._wire or await self._subscribe())
            except (NoDaemon, ConnectionLost, Overloaded, ShuttingDown):
                await self.drop()
                await self._rest()

    async def drop(self) -> None:
        """Close the connection, if there is one."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    async def _next_of(self, wire: Wire) -> JsonObject:
        while True:
            match await wire.receive():
                case Notification(method="event", params={"event": dict() as event}):
                    number = sequence_number(event, 0)
                    if self._position is None or number > self._position:
                        self._position = number
                        return event

    async def _subscribe(self) -> Wire:
        wire = self._wire = await open_wire(self._path)
        self._connected_at = anyio.current_time()
        result = await self._ask(wire)
        journal, newest = result.get("journal"), sequence_number(result, 0, "last_seq")
        other_journal = self._journal is not None and self._journal != journal
        self._journal = journal
        if self._position is None:
            self._position = newest
        elif (other_journal or newest < self._position) and self._position > 0:
            # The numbers begin anew: what we have seen is not what they count.
            self._position = 0
            await self.drop()
            return await self._subscribe()
        return wire

    async def _ask(self, wire: Wire) -> JsonObject:
        params = subscription_params(self._position, self._sessions, self._kinds)
        await wire.send(jsonrpc.line_of(jsonrpc.request(1, "event.subscribe", params)))
        while True:
            match await wire.receive():
                case Response(error=RpcError() as error):
                    raise failure_of(error)
                case Response(result=dict() as result):
                    return result
                case Response():
                    raise ConnectionLost("the daemon's result is not an object")

    async def _rest(self) -> None:
        """Wait a little longer each time, until a connection was stable."""
        if anyio.current_time() - self._connected_at > _STABLE_SECONDS:
            self._pause = _FIRST_PAUSE
        self._connected_at = math.inf
        await anyio.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
