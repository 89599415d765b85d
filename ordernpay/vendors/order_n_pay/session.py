"""A session of Order N Pay: the long-lived thing above one-shot connections.

One place decides what follows the end of a connection:

| it ended because …                              | then                                                      |
|-------------------------------------------------|-----------------------------------------------------------|
| the POS closed it with 1008                     | `refused`: tried again slowly                             |
| credentials were refused (HTTP 401, 403)        | `refused`: tried again slowly                             |
| the POS closed it with 1009                     | the command that caused it ends; then as any other end    |
| it was silent, cut, closed with any other code  | `down`: at once after a stable link, else with back-off   |
| a newer connection of the outlet came (listen)  | the newer one is used                                     |

A link was stable when it stood `stable_seconds`, or when a request was answered over it.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import structlog
from anyio.lowlevel import checkpoint
from attrs import define, field

from ordernpay import crash
from ordernpay.clock import Clock
from ordernpay.commands import Command
from ordernpay.config import Inbound
from ordernpay.outcomes import Failure, Outcome, ended, expired, session_unavailable, unknown
from ordernpay.redaction import of_session
from ordernpay.vendors.backoff import BackOff
from ordernpay.vendors.health import SessionHealth
from ordernpay.vendors.order_n_pay import answers, exchange
from ordernpay.vendors.order_n_pay.dial import POLICY_VIOLATION, CredentialsRefused, Unreachable, open_link
from ordernpay.vendors.order_n_pay.listen import REFUSAL, TokenDesk, outlet_of_request
from ordernpay.vendors.order_n_pay.preparation import Work, is_derived, prepare, supported, unsupported
from ordernpay.vendors.order_n_pay.settings import Options, OrderNPayConfig
from ordernpay.vendors.order_n_pay.wire import AUTH_PATH
from ordernpay.vendors.protocol import (
    Attempt,
    Door,
    HttpRequest,
    Link,
    LinkClosed,
    Prepared,
    Publish,
    Report,
    SessionState,
    SessionStatus,
    Settlement,
    WebsocketDoor,
)
from ordernpay.vendors.pulse import Pulse
from ordernpay.vendors.reporter import Reporter, Signal
from ordernpay.vendors.websocket import first_of

LOOK_AGAIN: Final = 1.0
"""Seconds after which a wait looks at the clock again, so that a machine that slept notices."""

log = structlog.get_logger(__name__)


@define
class _Waiter:
    done: anyio.Event = field(factory=anyio.Event)
    event: exchange.Event | None = None


class OrderNPaySession:
    """One outlet's POS, reached by dialling it or by waiting for it."""

    vendor = "order-n-pay"
    exclusive = True
    options = Options

    def __init__(self, name: str, config: OrderNPayConfig, inbound: Inbound, publish: Publish, clock: Clock) -> None:
        self.name = name
        self._config = config
        self._reporter = Reporter(name, publish, self._told)
        self._clock = clock
        self._exchange = exchange.Exchange()
        self._waiters: dict[str, _Waiter] = {}
        self._link: Link | None = None
        self._link_scope: anyio.CancelScope | None = None
        self._up = Signal()
        self._writable = Signal()
        self._down = Signal()
        self._taken: Callable[[], None] | None = None
        self._hurry = Signal()
        self._probe_now = Signal()
        self._pulse = Pulse("its connection")
        self._certificate_expires: float | None = None
        self._performing = 0
        self._counters = dict.fromkeys(
            ("connections", "answers", "late_answers", "unmatched_answers", "garbage", "superseded"), 0
        )
        self._desk = TokenDesk(config, clock, inbound.token_parameter)
        self.commands = supported(config)
        self._log = log.bind(session=name, vendor=self.vendor)
        first: SessionState = "down" if config.role == "listen" else "connecting"
        self._health = SessionHealth(clock, self._reporter.report, self._log, first)

    # Commands

    def unsupported(self, method: str) -> Failure | None:
        return unsupported(self.name, self._config, method)

    def prepare(self, command: Command) -> Prepared:
        return prepare(self.name, self._config, command)

    def may_repeat(self, method: str) -> bool:
        """Always: the POS detects repeats by RequestID."""
        return method in self.commands

    async def perform(self, command: Command, prepared: Prepared, attempt: Attempt) -> Outcome:
        work: Work = prepared.work
        self._performing += 1
        try:
            return await self._perform(command, work, attempt)
        finally:
            self._performing -= 1

    async def _perform(self, command: Command, work: Work, attempt: Attempt) -> Outcome:
        may_wait = command.when_offline == "wait"
        if not self._connected() and not may_wait:
            return self._offline(attempt)
        while not self._connected():
            remaining = attempt.deadline - self._clock.now()
            if remaining <= 0:
                return self._given_up(command, sent=attempt.sent_before)
            await self._up.wait(min(remaining, LOOK_AGAIN))
        await attempt.sending()
        crash.point("sending")
        if not self._connected() and not may_wait:
            return self._offline(attempt)
        waiter = self._waiters[work.request_id] = _Waiter()
        try:
            self._exchange.submit(
                work.request_id,
                work.frame,
                attempt.deadline,
                may_wait=may_wait,
                sent=attempt.sent_before,
                tried=attempt.tried,
                changes=command.type.changes,
            )
            self._writable.set()
            while not waiter.done.is_set():
                remaining = attempt.deadline - self._clock.now()
                if remaining <= 0:
                    self._dispatch_all(self._exchange.expire(self._clock.now()))
                with anyio.move_on_after(max(0.0, min(remaining, LOOK_AGAIN))):
                    await waiter.done.wait()
        finally:
            self._exchange.withdraw(work.request_id)
            del self._waiters[work.request_id]
        return self._outcome_of(command, waiter.event)

    def _outcome_of(self, command: Command, event: exchange.Event | None) -> Outcome:
        match event:
            case exchange.Answered(response=response, repeated=repeated):
                return answers.outcome(command, response, self._config, repeated=repeated)
            case exchange.Unreadable(why=why):
                return answers.untold(command, f"the POS answered, and the answer cannot be read: {why}")
            case exchange.TooBig(copied=copied):
                if copied and command.type.changes:
                    return unknown("sent before, and now too big for the POS (1009): the earlier copy may have acted")
                return ended(
                    Failure("too_large", "the POS closed the connection: the request is too big for it (1009)")
                )
            case exchange.Unsent():
                return session_unavailable(f"session {self.name} was lost before the request was sent")
            case exchange.Expired(sent=sent):
                return self._given_up(command, sent=sent)
            case _:
                raise AssertionError("a waiter ends with an event of its own request")

    def _connected(self) -> bool:
        return self._link is not None

    def _offline(self, attempt: Attempt) -> Outcome:
        if attempt.sent_before:
            return unknown(f"sent before, and session {self.name} is {self._health.state}")
        return session_unavailable(
            f"session {self.name} is {self._health.state}: {self._health.last_error or 'not connected'}"
        )

    def _given_up(self, command: Command, *, sent: bool) -> Outcome:
        if not sent:
            return expired(
                f"session {self.name} is {self._health.state}; the timeout passed before the request was sent"
            )
        if command.type.changes:
            return unknown("sent, and not answered in time; a late answer will still settle it")
        return ended(Failure("vendor_unavailable", "sent, and not answered in time; it had no effect"))

    # The connection

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._health.keep_running, self._reporter.run, "reporter")
                if self._config.role == "dial":
                    tasks.start_soon(self._health.keep_running, self._dial, "connection")
        finally:
            if self._link is not None:
                with anyio.move_on_after(2, shield=True):
                    await self._link.close(1001, "going away")
            if self._link_scope is not None:
                self._link_scope.cancel()

    async def _dial(self) -> None:
        config = self._config
        back_off = BackOff(config.reconnect_min, config.reconnect_max)
        while not self._health.retired:
            if self._health.state == "down":
                self._health.change("connecting", self._health.last_error)
            self._pulse.within(config.connect_timeout)
            try:
                link = await open_link(config, of_session(self.name).learn)
            except CredentialsRefused as error:
                self._health.change("refused", str(error))
                await self._pause(config.refused_retry)
                continue
            except Unreachable as error:
                self._health.change("down", str(error))
                await self._pause(back_off.after_miss())
                continue
            self._certificate_expires = None if link.certificate is None else link.certificate.expires
            began, answered = self._clock.now(), self._counters["answers"]
            refused = await self._serve(link, keep_alive=True)
            if refused:
                await self._pause(config.refused_retry)
                continue
            stable = self._clock.now() - began >= config.stable_seconds or self._counters["answers"] > answered
            await self._pause(back_off.after_loss(stable=stable))

    async def _pause(self, seconds: float) -> None:
        self._pulse.within(seconds)
        await self._hurry.wait(seconds)

    async def _serve(self, link: Link, *, keep_alive: bool) -> bool:
        """Use a connection until it ends; true when the POS ended it because it does not want us."""
        if self._link is not None:
            self._counters["superseded"] += 1
            self._detach(LinkClosed("superseded by a newer connection"))
        scope = anyio.CancelScope()
        closed = LinkClosed("closed by us")
        self._attach(link, scope)
        try:
            with scope:
                try:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._write, link)
                        tasks.start_soon(self._read, link)
                        if keep_alive:
                            tasks.start_soon(self._keep_alive, link)
                except* LinkClosed as group:
                    closed = first_of(group)
        finally:
            if self._link is link:
                self._detach(closed)
            await link.close(1000, "superseded" if self._link is not None else "closing")
        return closed.code == POLICY_VIOLATION

    def _attach(self, link: Link, scope: anyio.CancelScope) -> None:
        self._link, self._link_scope = link, scope
        self._counters["connections"] += 1
        self._exchange.connected(self._clock.now())
        if self._taken is not None:  # the POS has one live connection, and it is this one
            self._taken()
        self._health.change("up", None)
        self._up.set()

    def _detach(self, closed: LinkClosed) -> None:
        self._link = None
        if self._link_scope is not None:
            self._link_scope.cancel()
            self._link_scope = None
        self._down.set()
        self._dispatch_all(self._exchange.disconnected(closed.code, self._clock.now(), closed.unread))
        self._health.change("refused" if closed.code == POLICY_VIOLATION else "down", closed.reason)

    async def _write(self, link: Link) -> None:
        while self._link is link:  # woken in the turn in which a newer one came, this one must not take its frames
            now = self._clock.now()
            frame = self._exchange.next_frame(now)
            if frame is None:
                await self._writable.wait(self._exchange.pause(now))
                self._dispatch_all(self._exchange.expire(self._clock.now()))
                continue
            await link.send(frame)
            crash.point("written")

    async def _read(self, link: Link) -> None:
        while True:
            self._dispatch(self._exchange.receive(await link.receive(), self._clock.now()))
            self._writable.set()
            await checkpoint()  # a POS that floods us waits for its turn after each message

    async def _keep_alive(self, link: Link) -> None:
        while True:
            self._pulse.within(self._config.ping_interval + self._config.ping_timeout)
            await self._probe_now.wait(self._config.ping_interval)
            with anyio.move_on_after(self._config.ping_timeout) as limit:
                await link.probe()
            if limit.cancelled_caught:
                raise LinkClosed(f"silent: no answer to a ping within {self._config.ping_timeout:g} s")

    def _dispatch_all(self, events: list[exchange.Event]) -> None:
        for event in events:
            self._dispatch(event)

    def _dispatch(self, event: exchange.Event) -> None:
        match event:
            case exchange.Garbage(why=why):
                self._counters["garbage"] += 1
                self._log.warning("message_ignored", reason=why)
            case exchange.Unmatched(request_id=request_id):
                if not is_derived(request_id):  # what a kiosk read, or never asked: no command of the journal has it
                    self._counters["unmatched_answers"] += 1
                    return
                settlement = Settlement("request_id", request_id, self._late(event))
                self._reporter.report(Report(settlement=settlement, size=event.response.size))
            case (
                exchange.Answered() | exchange.Unreadable() | exchange.Expired() | exchange.Unsent() | exchange.TooBig()
            ):
                if isinstance(event, exchange.Answered):
                    self._counters["answers"] += 1
                waiter = self._waiters.get(exchange.key_of(event.request_id))
                if waiter is not None:
                    waiter.event = event
                    waiter.done.set()

    def _late(self, event: exchange.Unmatched) -> Callable[[Command], Outcome]:
        def outcome(command: Command) -> Outcome:
            return answers.outcome(command, event.response, self._config, repeated=event.repeated)

        return outcome

    # What it tells

    def _told(self, report: Report, settled: bool) -> None:  # noqa: FBT001 - a callback's fact, not a switch
        if report.settlement is not None:
            self._counters["late_answers" if settled else "unmatched_answers"] += 1

    def status(self) -> SessionStatus:
        return SessionStatus(
            self._health.state,
            self._health.since,
            self._performing,
            self._health.last_error,
            self._counters | {"breaks": self._health.breaks},
            self._pulse.overdue(),
            certificate_expires=self._certificate_expires,
            flips=self._health.flips,
            unsteady_since=self._health.unsteady_since,
        )

    def follow(self, taken: Callable[[], None]) -> None:
        self._taken = taken

    async def retire(self) -> None:
        self._health.retired = True
        while self._link is not None:
            await self._down.wait()

    def reconnect(self) -> None:
        if self._link_scope is not None:
            self._link_scope.cancel()
        self._hurry.set()

    def suspect(self, why: str) -> None:
        self._log.info("session_suspected", reason=why)
        self._probe_now.set()
        self._dispatch_all(self._exchange.expire(self._clock.now()))

    # The HTTP door

    def doors(self) -> tuple[Door | WebsocketDoor, ...]:
        if self._config.role == "dial":
            return ()
        return (
            Door(AUTH_PATH, self._desk.authenticate, REFUSAL, key=self._desk.outlet, find=outlet_of_request),
            WebsocketDoor("/", self._admit, self._desk.outlet, self._desk.find),
            WebsocketDoor("/ws", self._admit, self._desk.outlet, self._desk.find),
        )

    def _admit(self, request: HttpRequest) -> Callable[[Link], Awaitable[None]] | None:
        token = self._desk.token_of(request)
        if not self._desk.knows(token):
            return None
        of_session(self.name).learn(token)

        async def serve(link: Link) -> None:
            try:
                await self._serve(link, keep_alive=False)
            except Exception as error:  # noqa: BLE001 - the POS comes again, and what is under way goes on then
                self._health.broke("connection", error)

        return serve
