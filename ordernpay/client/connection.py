"""A connection to the daemon: calls side by side, and subscriptions."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Self

import anyio
import attrs

from ordernpay.client.failures import ConnectionLost, OrdernpayError, Overloaded, RpcFailure, TooSlow, failure_of
from ordernpay.client.wire import SocketPath, Wire, open_wire, sequence_number, subscription_params
from ordernpay.jsontext import JsonObject, JsonValue, loads
from ordernpay.rpc import jsonrpc
from ordernpay.rpc.jsonrpc import Notification, Response, RpcError

_EVENTS_WAITING = 10_000
_UNSUBSCRIBE_SECONDS = 1.0


@asynccontextmanager
async def connect(path: SocketPath | None = None) -> AsyncIterator["Client"]:
    """Connect to the daemon, for as long as the block lasts.

    Args:
        path: Its socket; ``None`` for :func:`default_socket`.

    Raises:
        NoDaemon: Nobody answers there.
        NotPermitted: This user may not open it.
    """
    failure: Exception | None = None
    async with await open_wire(path) as wire, anyio.create_task_group() as group:
        client = Client(wire)
        group.start_soon(client.run)
        try:
            yield client
        except Exception as error:  # noqa: BLE001 - raised again below, where the task group does not wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


class EventStream:
    """Events as they come; made by :meth:`Client.events`.

    Attributes:
        subscription: Its number at the daemon.
        journal: Whose numbers these are: with another journal they begin anew.
        last_seq: The newest event when the subscription began.
        position: Subscribe since this to go on after the last event taken.
    """

    def __init__(self, since: int | None) -> None:
        self.subscription: int | str | None = None
        self.journal: JsonValue = None
        self.last_seq = 0
        self.position = since or 0
        self._since = since
        self._events: deque[JsonObject] = deque()
        self._changed = anyio.Event()
        self._failure: Callable[[], OrdernpayError] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JsonObject:
        """The next event.

        Raises:
            ConnectionLost: There are no more.
            TooSlow: More came than may wait.
        """
        while not self._events:
            if self._failure is not None:
                raise self._failure()
            self._changed = anyio.Event()
            await self._changed.wait()
        event = self._events.popleft()
        self.position = sequence_number(event, self.position)
        return event

    def begin(self, result: JsonObject) -> None:
        """Told by the connection what the daemon answered."""
        subscription = result.get("subscription")
        self.subscription = subscription if isinstance(subscription, int | str) else None
        self.journal = result.get("journal")
        self.last_seq = sequence_number(result, 0, "last_seq")
        self.position = self.last_seq if self._since is None else self._since

    def add(self, event: JsonObject) -> None:
        """Told by the connection of an event."""
        if len(self._events) < _EVENTS_WAITING:
            self._events.append(event)
            self._changed.set()
        else:
            self.end(lambda: TooSlow(f"more than {_EVENTS_WAITING} events wait to be taken"))

    def end(self, failure: Callable[[], OrdernpayError]) -> None:
        """Told by the connection that there are no more."""
        self._failure = self._failure or failure
        self._changed.set()


@attrs.define(eq=False)
class _Waiter:
    """A call that is not answered yet."""

    on_result: Callable[[JsonObject], None]
    answered: anyio.Event = attrs.field(factory=anyio.Event)
    result: JsonObject = attrs.field(factory=dict)
    failure: OrdernpayError | None = None


class Client:
    """A connection to the daemon; calls may run side by side. Made by :func:`connect`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._numbers = count(1)
        self._unsent: deque[bytes] = deque()
        self._ready = anyio.Event()
        self._waiters: dict[jsonrpc.Id, _Waiter] = {}
        self._streams: dict[int | str | None, EventStream] = {}
        self._verdict: RpcFailure | None = None
        self._lost: str | None = None

    async def call(self, method: str, params: JsonObject | None = None) -> JsonObject:
        """Call a method and wait for its result.

        Being cancelled while it waits takes nothing back: the daemon goes on with the command.

        Raises:
            RpcFailure: The daemon answered with an error; by its kind, one of the subclasses in :data:`FAILURES`.
            ConnectionLost: It did not answer: call again with the same ``idempotency_key``.
            JsonError: The params cannot be written as JSON that the daemon would accept.
        """
        return await self._exchange(method, params, lambda _result: None)

    @asynccontextmanager
    async def events(
        self,
        *,
        since: int | None = None,
        sessions: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
    ) -> AsyncIterator[EventStream]:
        """Subscribe to events, for as long as the block lasts.

        Args:
            since: Begin with what is kept after this number; ``None`` for what happens from now on.
            sessions: Only events of these sessions.
            kinds: Only events of these kinds.

        Raises:
            RpcFailure: The daemon refused.
            ConnectionLost: It did not answer.
        """
        stream = EventStream(since)

        def begin(result: JsonObject) -> None:
            stream.begin(result)
            self._streams[stream.subscription] = stream

        try:
            await self._exchange("event.subscribe", subscription_params(since, sessions, kinds), begin)
            yield stream
        finally:
            if self._streams.pop(stream.subscription, None) is not None:
                with anyio.move_on_after(_UNSUBSCRIBE_SECONDS, shield=True), suppress(OrdernpayError):
                    await self.call("event.unsubscribe", {"subscription": stream.subscription})

    async def _exchange(
        self, method: str, params: JsonObject | None, on_result: Callable[[JsonObject], None]
    ) -> JsonObject:
        number = next(self._numbers)
        line = jsonrpc.line_of(jsonrpc.request(number, method, params))
        loads(line)  # what the daemon cannot read it answers to nobody, so it must not get out of here
        if self._lost is not None:
            raise self._failure(sent=False)
        waiter = self._waiters[number] = _Waiter(on_result)
        self._unsent.append(line)
        self._ready.set()
        try:
            await waiter.answered.wait()
        finally:
            self._waiters.pop(number, None)
        if waiter.failure is not None:
            raise waiter.failure
        return waiter.result

    async def run(self) -> None:
        """Carry the messages, until the connection is lost; :func:`connect` does so."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._write)
            await self._read()
            group.cancel_scope.cancel()

    async def _write(self) -> None:
        """Write whole lines, whoever is cancelled meanwhile. If it cannot, the reader learns why."""
        with suppress(ConnectionLost):
            while True:
                while self._unsent:
                    await self._wire.send(self._unsent.popleft())
                self._ready = anyio.Event()
                await self._ready.wait()

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._wire.receive())
        except ConnectionLost as error:
            self._lost = self._lost or str(error)
        only = len(self._waiters) == 1
        for waiter in self._waiters.values():
            waiter.failure = self._failure(sent=True, about_this=only)
            waiter.answered.set()
        for stream in self._streams.values():
            stream.end(lambda: self._failure(sent=True))
        self._streams.clear()

    def _failure(self, *, sent: bool, about_this: bool = False) -> OrdernpayError:
        """What to raise once the connection is lost, as precisely as is known."""
        verdict = self._verdict
        if verdict is not None and (about_this or isinstance(verdict, Overloaded)):
            return type(verdict)(verdict.code, verdict.message, verdict.data)
        return ConnectionLost(self._lost or "the connection is closed", sent=sent)

    def _take(self, message: Response | Notification) -> None:
        match message:
            case Response(id=None, error=RpcError() as error):
                # Said of the connection and not of a call: a client too many, or a line too long.
                self._verdict = failure_of(error)
                self._lost = f"the daemon closed the connection: {self._verdict}"
            case Response():
                self._settle(message)
            case Notification(
                method="event", params={"subscription": int() | str() as subscription, "event": dict() as event}
            ):
                stream = self._streams.get(subscription)
                if stream is not None:
                    stream.add(event)
            case Notification(method="closed", params={"reason": str(reason)}):
                self._lost = f"the daemon closed the connection: {reason}"

    def _settle(self, response: Response) -> None:
        waiter = self._waiters.pop(response.id, None)
        if waiter is None:
            return
        if response.error is not None:
            waiter.failure = failure_of(response.error)
        elif isinstance(response.result, dict):
            waiter.result = response.result
            waiter.on_result(response.result)
        else:
            waiter.failure = RpcFailure(jsonrpc.INTERNAL_ERROR, "The daemon's result is not an object", {})
        waiter.answered.set()
