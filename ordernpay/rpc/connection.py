"""One local client: its requests side by side, its bounded queue, and the ways in which it ends.

==============================  ========================================================================
what happens                    what becomes of the client
==============================  ========================================================================
it shuts down its sending side  it gets its answers, then the connection is closed
it vanishes                     its requests are cancelled at once; a command under way goes on without it
it sends too long a line        it gets -32001 with id null, then the connection is closed
it does not read                the queue fills, then the reader waits; no progress for ``stall_seconds``: cut off
it asks too much at once        each request over ``in_flight`` or the bytes of :class:`Load` is answered -32002
its lines fill the memory       the same, and where the beginning of a line does, the connection is closed
it speaks HTTP or headers       it gets -32600 with id null, then the connection is closed
somebody calls ``cut_off``      nothing more is produced; it gets what is queued and ``closed``, if it reads soon
the daemon stops                the same, with the reason ``shutting_down``
==============================  ========================================================================
"""

import select
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import anyio
import attrs
import structlog
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from ordernpay import crash
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.rpc import jsonrpc
from ordernpay.rpc.jsonrpc import Batch, Invalid, LineBuffer, Notification, Request, RpcError
from ordernpay.rpc.limits import Limits, Loads
from ordernpay.rpc.outbox import ClientGone, Outbox, Stalled
from ordernpay.rpc.sockets import Peer
from ordernpay.workload import LARGE, beside, beside_if_large, weigh_text

_CHUNK = 65536
_TURN = 32
"""Answers of one line after which others get their turn."""

FollowUp: TypeAlias = Callable[[], Awaitable[None]]

_log = structlog.get_logger()


@attrs.frozen
class Reply:
    """What a method answers.

    Args:
        value: The result.
        follow_up: Run once the answer is queued, so that what it sends comes after; it ends with the client.
        text: The result as JSON, in place of the value, where it is written already.
    """

    value: JsonValue = None
    follow_up: FollowUp | None = None
    text: str | None = None


class Handler(Protocol):
    """Performs the methods."""

    async def call(self, client: "Client", method: str, params: jsonrpc.Params) -> Reply:
        """Perform one method. It is cancelled if the client vanishes.

        Raises:
            RpcError: What the client is answered. Any other exception is logged and answered as -32603.
        """
        ...


class Client:
    """One connection, as the handler sees it. It is run once, by the server.

    Attributes:
        id: Its number, unique in the life of the daemon.
        peer: Who it is.
        reason: Why it was cut off; ``None`` if it was not.
    """

    def __init__(
        self, number: int, sock: socket.socket, peer: Peer, handler: Handler, limits: Limits, loads: Loads | None = None
    ) -> None:
        self.id = number
        self.peer = peer
        self.reason: str | None = None
        self._sock = sock
        self._handler = handler
        self._limits = limits
        self._loads = loads or Loads()
        self._outbox = Outbox(
            sock,
            max_lines=limits.queue_lines,
            max_bytes=limits.queue_bytes,
            stall_seconds=limits.stall_seconds,
            on_bytes=self._count_answers,
        )
        self._scope = anyio.CancelScope()
        self._in_flight = 0
        self._followed = 0
        self._asked = False
        self._since = anyio.current_time()
        self._last: bytes | None = None
        self._vanished = False
        self._closed = False
        self._log = _log.bind(client=number, peer_pid=peer.pid, peer_uid=peer.uid)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent to it."""
        return self._closed or self._vanished or self.reason is not None

    @property
    def busy(self) -> bool:
        """Whether a request of it is being worked on."""
        return self._in_flight > 0

    @property
    def idle(self) -> tuple[bool, float] | None:
        """Whether it never asked anything, and since when it has not; None where something goes on."""
        if self.busy or self._followed or not self._outbox.empty:
            return None
        return not self._asked, self._since

    async def notify(self, method: str, params: JsonValue) -> None:
        """Send a notification; wait for room in the client's queue.

        Raises:
            ClientGone: The client is closed, or was while this waited.
        """
        await self.send(jsonrpc.notification(method, params))

    async def send(self, text: str) -> None:
        """Send a notification that is written already, as `notify` does."""
        if self.closed:
            raise ClientGone
        await self._outbox.put(jsonrpc.line_of(text))

    def cut_off(self, reason: str, data: JsonObject | None = None) -> None:
        """Close the client for good: cancel its requests, and tell it why, if it reads soon.

        Args:
            reason: A word for programs, such as ``stalled``.
            data: Further members of the ``closed`` notification.
        """
        self._cut_off(reason, jsonrpc.notification("closed", {**(data or {}), "reason": reason}))

    async def run(self) -> None:
        """Serve the connection until it ends. The socket is the caller's to close."""
        try:
            with self._scope:
                await self._converse()
        except anyio.get_cancelled_exc_class():
            self._last = self._last or jsonrpc.line_of(jsonrpc.notification("closed", {"reason": "shutting_down"}))
            raise
        finally:
            self._closed = True
            self._outbox.close(self._last)
            with anyio.move_on_after(self._limits.grace_seconds, shield=True):
                await self._leave()
            self._outbox.discard()

    async def _converse(self) -> None:
        async with anyio.create_task_group() as life:
            life.start_soon(self._write)
            async with anyio.create_task_group() as work:
                await self._read(work)
                life.start_soon(self._watch_for_hangup)
            await self._outbox.drained()
            life.cancel_scope.cancel()

    async def _leave(self) -> None:
        """Let the client read its last lines. Who was cut off may be sending yet, and would read an error instead of them."""
        if self._vanished:
            return
        try:
            await self._outbox.flush()
            if self.reason is not None:
                self._sock.shutdown(socket.SHUT_WR)
                while await self._receive():
                    await checkpoint()
        except (OSError, Stalled):
            return

    async def _write(self) -> None:
        try:
            await self._outbox.run()
        except Stalled:
            self.cut_off("stalled")
        except OSError:
            self._vanish()

    async def _read(self, work: TaskGroup) -> None:
        """Start what the client asks for, one line at a time, until it says no more."""
        buffer = LineBuffer(self._limits.message_bytes)
        held = 0
        try:
            while data := await self._receive():
                for line in buffer.feed(data):
                    await self._take(line, work)
                    await checkpoint()  # whoever floods us waits for its turn after each request
                if buffer.too_long:
                    most = buffer.max_bytes
                    error = jsonrpc.too_large(f"A line of more than {most} bytes", {"max_message_bytes": most})
                    self._cut_off("too_large", jsonrpc.failure(None, error))
                elif not self._loads.receiving.has_room(self, buffer.held - held):
                    self._cut_off("overloaded", jsonrpc.failure(None, self._too_much()))
                self._loads.receiving.add(self, buffer.held - held)
                held = buffer.held
                await checkpoint()
            for line in buffer.finish():
                await self._take(line, work)
        finally:
            self._loads.receiving.add(self, -held)

    async def _receive(self) -> bytes:
        while True:
            try:
                return self._sock.recv(_CHUNK)
            except BlockingIOError:
                await anyio.wait_readable(self._sock)
            except OSError:
                self._vanish()
                return b""

    async def _watch_for_hangup(self) -> None:
        """After the end of input, tell who only stopped sending from who is gone."""
        with select.epoll() as hangup:
            hangup.register(self._sock, 0)  # a hang-up is always reported, and the end of input is not
            await anyio.wait_readable(hangup.fileno())
        self._vanish()

    async def _take(self, line: bytes, work: TaskGroup) -> None:
        await self._outbox.room()  # who does not read its answers is not asked for more questions
        self._asked, weight = True, weigh_text(line)
        parse = partial(jsonrpc.parse, line, max_batch=self._limits.batch)
        parsed = await beside(parse) if weight >= LARGE else parse()
        if (error := jsonrpc.other_protocol(line)) is not None:
            self._cut_off("not_json_rpc", jsonrpc.failure(None, error))
            return
        messages = parsed.messages if isinstance(parsed, Batch) else (parsed,)
        refusal = None if self._loads.working.has_room(self, weight) else self._too_much()
        admitted: list[Request | Notification] = []
        answers: list[str] = []
        for message in messages:
            if isinstance(message, Invalid):
                answers.append(jsonrpc.failure(message.id, message.error))
            elif refusal is None and self._in_flight < self._limits.in_flight:
                self._in_flight += 1
                admitted.append(message)
            elif isinstance(message, Request):
                answers.append(jsonrpc.failure(message.id, refusal or self._overloaded()))
            if len(answers) % _TURN == _TURN - 1:
                await checkpoint()
        join = jsonrpc.batch if isinstance(parsed, Batch) else _only
        if admitted:
            self._loads.working.add(self, weight)
            work.start_soon(self._perform_all, admitted, answers, join, weight)
        else:
            await self._answer(join(answers))

    @staticmethod
    def _too_much() -> RpcError:
        return jsonrpc.overloaded("Too much of this client is in memory for one more so large", {"limit": "bytes"})

    def _overloaded(self) -> RpcError:
        most = self._limits.in_flight
        return jsonrpc.overloaded(f"More than {most} requests of this client in flight", {"in_flight": most})

    async def _perform_all(
        self,
        messages: Sequence[Request | Notification],
        answers: list[str],
        join: Callable[[Sequence[str]], str | None],
        weight: int,
    ) -> None:
        """Perform what came in one line, answer it in one line, then do what is to follow."""
        follow_ups: list[FollowUp] = []

        async def perform(message: Request | Notification) -> None:
            text, follow_up = await self._perform(message)
            if isinstance(message, Request):
                answers.append(text)
            if follow_up is not None:
                follow_ups.append(follow_up)

        try:
            await _side_by_side([partial(perform, message) for message in messages])
            await self._answer(join(answers))
            crash.point("replied")
        finally:
            self._in_flight -= len(messages)
            self._loads.working.add(self, -weight)
            self._since = anyio.current_time()
        self._followed += len(follow_ups)
        try:
            await _side_by_side([partial(self._follow, follow_up) for follow_up in follow_ups])
        finally:
            self._followed -= len(follow_ups)

    async def _answer(self, text: str | None) -> None:
        if text is not None:
            await self._outbox.put(jsonrpc.line_of(text))

    async def _perform(self, message: Request | Notification) -> tuple[str, FollowUp | None]:
        """The text that would answer a message, and what is to follow."""
        id_ = message.id if isinstance(message, Request) else None
        try:
            return await self._call(id_, message)
        except Exception as error:  # noqa: BLE001 - one request's fault is an answer to its client and ends nothing else
            self._log.error("request_failed", error=type(error).__name__, at=_origin(error))
            return jsonrpc.failure(id_, jsonrpc.internal_error()), None

    async def _call(self, id_: jsonrpc.Id, message: Request | Notification) -> tuple[str, FollowUp | None]:
        try:
            reply = await self._handler.call(self, message.method, message.params)
        except RpcError as error:
            return jsonrpc.failure(id_, error), None
        if reply.text is not None:
            return jsonrpc.success_text(id_, reply.text), reply.follow_up
        return await beside_if_large(reply.value, jsonrpc.success, id_, reply.value), reply.follow_up

    async def _follow(self, follow_up: FollowUp) -> None:
        try:
            await follow_up()
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - as in _perform
            self._log.error("follow_up_failed", error=type(error).__name__, at=_origin(error))

    def _cut_off(self, reason: str, last: str) -> None:
        if self.closed:
            return
        self.reason = reason
        self._last = jsonrpc.line_of(last)
        self._log.warning("client_cut_off", reason=reason)
        self._scope.cancel()

    def _count_answers(self, more: int) -> None:
        """Count what waits to be read; where all clients together leave too much, who left most is cut off."""
        answers = self._loads.answers
        answers.add(self, more)
        if more > 0 and answers.total > answers.most:
            holders = [one for one in answers.each if isinstance(one, Client) and not one.closed]
            if holders:
                most = max(holders, key=answers.each.__getitem__)
                most._outbox.shed()  # noqa: SLF001 - another of ours
                most.cut_off("slow")

    def _vanish(self) -> None:
        self._vanished = True
        self._scope.cancel()


def _only(answers: Sequence[str]) -> str | None:
    return answers[0] if answers else None


async def _side_by_side(calls: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    if len(calls) == 1:
        await calls[0]()
        return
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


def _origin(error: BaseException) -> str:
    """Where an exception was raised: what a log may say of it, since its text may quote anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
