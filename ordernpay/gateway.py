"""The way of one command: check, write down, perform, write down, answer.

A command belongs to the gateway, not to its caller: it goes on when the kiosk is gone. What a repeated key does
follows from the state of the first command (contract, section 2):

| first command            | the repeat                                                                          |
|--------------------------|-------------------------------------------------------------------------------------|
| `accepted`, `sent`       | joins it and waits; ended by the first's timeout, it is a repeat by the rows below  |
| `succeeded`, `rejected`  | gets the same answer; nothing is sent                                               |
| `failed`                 | is a new try, since the first had no effect                                         |
| `unknown`                | is sent again under its own identity where the vendor detects that, else stays so   |
"""

from collections.abc import Callable
from typing import Final

import anyio
import anyio.abc
import anyio.lowlevel
import structlog
from attrs import evolve

from ordernpay import crash, patience, refusals
from ordernpay.attempts import Answer, Flights, JournaledAttempt, Running, Stopwatch
from ordernpay.clock import Clock
from ordernpay.commands import SHORTEST_TIMEOUT, Command, Common, new_id, read_params
from ordernpay.conversion import Faults
from ordernpay.counts import Counts
from ordernpay.journal import OPEN, InvalidTransition, Journal, JournalUnavailable, NewCommand, Row
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, Refused, expired, unknown
from ordernpay.publisher import SessionPublisher
from ordernpay.reads import Reads
from ordernpay.recovery import already_known, known_by_key, ready_to_go_on
from ordernpay.vendors.protocol import Prepared, Publish, Session
from ordernpay.workload import Load, beside_if_large, weigh

GRACE: Final = 0.25
"""Seconds that a caller waits beyond its timeout, so that the outcome of that very deadline still reaches it."""

log = structlog.get_logger(__name__)


class Gateway:
    """Takes calls, keeps the journal, drives the sessions."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.journal = journal
        self.clock = clock
        self.counts = Counts()
        self.sessions: dict[str, Session] = {}
        self.limits: dict[str, int] = {}
        self._flights = Flights()
        self.load = Load()
        self._reads = Reads(self.sessions, clock)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._draining = False
        self._waiting = 0

    # Life

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Own every command under way, until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            task_status.started()
            await anyio.sleep_forever()

    async def recover(self) -> int:
        """Go on with what an earlier life left open, as the table of states says; how many commands that were."""
        for row in (rows := await self.journal.open_commands()):
            self._resume(row)
        return len(rows)

    async def drain(self, seconds: float) -> int:
        """Take nothing new and wait for what is under way; how many commands are left to the next start."""
        self._draining = True
        with anyio.move_on_after(seconds):
            while self._flights or any(self.counts.in_flight.values()):  # noqa: ASYNC110 - once in a life; reads, too
                await anyio.sleep(0.01)
        return len(self._flights)

    async def stop(self) -> None:
        """Leave what is under way to the next start, and tell those who wait."""
        self._draining = True
        self._reads.stop()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        with anyio.move_on_after(1):
            while self._waiting or self._reads:
                await anyio.lowlevel.checkpoint()

    @property
    def in_flight(self) -> int:
        """Journaled commands under way."""
        return len(self._flights)

    @property
    def trouble(self) -> str | None:
        """Why no command can be taken now; None while all is well."""
        return "the daemon is stopping" if self._draining else self.journal.trouble

    # Calls

    async def call(self, method: str, params: JsonObject, peer_uid: int | None = None) -> Answer:
        """One call of a vendor's command.

        Args:
            method: one of `COMMANDS`.
            params: as they came.
            peer_uid: the local user who asks.

        Raises:
            Refused: with the failure that the caller is told; nothing was written or sent.
        """
        session, common, command, prepared = await beside_if_large(params, self._checked, method, params)
        try:
            self._admit(session, weigh(prepared.kept))
        except Refused:
            known = None if self._draining else await already_known(self.journal, self._flights, command, prepared)
            if known is None:
                raise
            if isinstance(known, Answer):
                return known
        crash.point("received")
        if not command.type.changes:
            return await self._read(session, command, prepared)
        return await self._change(session, command, prepared, wait=common.wait, peer_uid=peer_uid)

    def _checked(self, method: str, params: JsonObject) -> tuple[Session, Common, Command, Prepared]:
        """Check and translate a call; nothing of it touches what others do meanwhile."""
        meant = self._meant(params.get("session"))
        if meant is not None:  # first: params of a command that there is not are nothing to complain of
            refusals.check_supported(meant, method)
        try:
            common, own = read_params(method, params, meant.options if meant else None)
        except Faults as error:
            raise refusals.invalid(error) from None
        session = self._meant(common.session)
        if session is None:
            raise refusals.no_session(common.session, self.sessions)
        command = Command(
            id=new_id(),
            session=session.name,
            method=method,
            params=own,
            options=common.options,
            key=common.idempotency_key or new_id(),
            timeout=common.timeout,
            when_offline=common.when_offline,
        )
        try:
            return session, common, command, session.prepare(command)
        except Faults as error:
            raise refusals.invalid(error) from None

    def _meant(self, name: JsonValue) -> Session | None:
        """The session that a call names, or the only one there is."""
        if name is None and len(self.sessions) == 1:
            return next(iter(self.sessions.values()))
        return self.sessions.get(name) if isinstance(name, str) else None

    def _admit(self, session: Session, weight: int = 0) -> None:
        if self._draining:
            raise Refused(Failure("shutting_down", "the daemon is stopping; call again with the same key"))
        limit = self.limits.get(session.name, 256)
        if self.counts.in_flight.get(session.name, 0) >= limit:
            raise refusals.too_many(session.name, limit)
        if not self.load.has_room(session.name, weight):
            raise refusals.too_much(session.name, self.load.most_each)

    async def _read(self, session: Session, command: Command, prepared: Prepared) -> Answer:
        watch = Stopwatch(self.clock)
        with self.counts.flying(session.name), self.load.holding(session.name, weigh(prepared.kept)):
            outcome = await self._reads.perform(session, command, prepared)
        self.counts.ended(command, outcome, {"whole": watch.stages()["whole"]}, command.id)
        return Answer(command.id, session.name, outcome.state, outcome)

    async def _change(
        self, session: Session, command: Command, prepared: Prepared, *, wait: bool, peer_uid: int | None
    ) -> Answer:
        began, wall = self.clock.now(), self.clock.wall()
        new = NewCommand(
            command, prepared.kept, prepared.whole, wall + command.timeout, wall, peer_uid, prepared.vendor_ids
        )
        watch = Stopwatch(self.clock)
        with self.counts.flying(session.name), anyio.CancelScope(shield=True):  # a caller that goes leaves no orphan
            joined = self._flights.find(session.name, command.key)
            if joined is None or joined.overtaken:
                with watch.writing():
                    row = await self._accept(session, new, prepared)
                crash.point("accepted")
                if row.state not in {"accepted", "sent"}:
                    return Answer(row.command_id, row.session, row.state, row.outcome())
                joined = self._flights.get(row.command_id)
            elif not joined.row.asks_the_same(new):
                raise refusals.conflict(joined.row)
            else:
                row = joined.row
            running = joined or self._start(session, row, command, prepared, watch)
        if not wait:
            return Answer(row.command_id, row.session, "accepted", None)
        answer = await self._wait(running, row, command.timeout)
        left = command.timeout - (self.clock.now() - began)
        if joined is None or running.outcome is not answer.outcome or not self._may_go_on(session, answer, left):
            return answer
        patient = evolve(command, timeout=left)  # it ended by the timeout of another caller, and this one's lasts
        return await self._change(session, patient, prepared, wait=wait, peer_uid=peer_uid)

    def _may_go_on(self, session: Session, answer: Answer, left: float) -> bool:
        """Whether a caller with so many seconds left may take up again what it has joined, as any repeat would."""
        if answer.state not in {"failed", "unknown"} or left < SHORTEST_TIMEOUT:
            return False
        return not self._draining and self.sessions.get(session.name) is session

    async def _accept(self, session: Session, new: NewCommand, prepared: Prepared) -> Row:
        """Write a command down, or find what its key stands for already.

        While the journal is in trouble its reader is asked first: what has ended is answered at once.
        """
        if self.journal.trouble is not None:
            known = await known_by_key(self.journal, new)
            if known is not None and known.state in {"succeeded", "rejected"}:
                return known
        try:
            row, written = await self.journal.accept(new)
            if not row.asks_the_same(new):
                raise refusals.conflict(row)
            if not written:
                try:
                    row = await self._again(session, row, new.command, prepared)
                except InvalidTransition:  # another call was faster: ask the writer, who is never behind
                    row, _ = await self.journal.accept(new)
        except JournalUnavailable as error:
            known = await known_by_key(self.journal, new)
            if known is None:
                raise refusals.not_journaled(error) from None
            if known.state in OPEN and self._flights.get(known.command_id) is None:
                raise refusals.not_continued(known, error) from None
            return known
        return row

    async def _again(self, session: Session, row: Row, command: Command, prepared: Prepared) -> Row:
        """What a repeated key does to its first command; raises `InvalidTransition` where that has moved on."""
        if self._flights.get(row.command_id) is not None:
            return row  # news were faster than the try that is under way: no other one begins before that has ended
        deadline_at = self.clock.wall() + command.timeout
        if row.state == "failed":
            fresh = prepared.vendor_ids
            return await self.journal.reopen(row.command_id, "accepted", command.timeout, deadline_at, fresh)
        if row.state == "unknown" and session.may_repeat(row.method):
            return await self.journal.reopen(row.command_id, "sent", command.timeout, deadline_at)
        return row

    async def _wait(self, running: Running, row: Row, seconds: float) -> Answer:
        self._waiting += 1
        try:
            with anyio.move_on_after(seconds + GRACE):
                await running.done.wait()
        finally:
            self._waiting -= 1
        outcome = running.outcome
        if outcome is None and running.done.is_set():
            raise refusals.left_to_next_start(row)
        if outcome is None:
            outcome = unknown("still under way when this call's timeout passed; its outcome will be told by an event")
        return Answer(row.command_id, row.session, outcome.state, outcome)

    # A command under way

    def _start(self, session: Session, row: Row, command: Command, prepared: Prepared, watch: Stopwatch) -> Running:
        running = self._flights.add(row, watch)
        running.weight = weigh(prepared.kept)
        self._spawn(self._execute, session, row, command, prepared, running)
        self.load.add(session.name, running.weight)
        self.counts.took_off(session.name)  # here, not in its task, or there were room for one too many
        return running

    def _spawn(self, work: Callable[..., object], *args: object) -> None:
        if self._tasks is None:
            raise RuntimeError("the gateway is not running")
        self._tasks.start_soon(work, *args)  # type: ignore[arg-type]

    async def _execute(
        self, session: Session, row: Row, command: Command, prepared: Prepared, running: Running
    ) -> None:
        try:
            outcome = None
            if self.sessions.get(session.name) is session:  # else a reload was faster than the disk
                outcome = await self._perform(session, row, command, prepared, running)
            while outcome is None:  # its session was closed by a reload, or news have settled it
                row = await patience.newest(self.journal, row)
                ready = ready_to_go_on(self.sessions, row, command)
                outcome = ready if isinstance(ready, Outcome) else await self._perform(*ready, running)
            running.watch.answered()
            crash.point("answered")
            with running.watch.writing():
                running.outcome = await patience.settle(self.journal, self.clock, row.command_id, outcome)
            crash.point("settled")
            self.counts.ended(command, running.outcome, running.watch.stages(), row.command_id)
        finally:
            self.counts.landed(session.name)
            self._flights.end(running)
            self.load.add(session.name, -running.weight)

    async def _perform(
        self, session: Session, row: Row, command: Command, prepared: Prepared, running: Running
    ) -> Outcome | None:
        """One session's try; None where another session of that name has to go on with it, or news have ended it."""
        # A wall clock that was stepped back must not stretch a deadline beyond the caller's timeout.
        left = max(0.0, min(row.deadline_at - self.clock.wall(), row.timeout))
        deadline, knowingly = self.clock.now() + left, running.knowingly
        attempt = JournaledAttempt(self.journal, self.clock, row, deadline, running.watch, knowingly=knowingly)
        running.session, running.scope = session, anyio.CancelScope()
        with running.scope:
            try:
                return await session.perform(command, prepared, attempt)
            except JournalUnavailable as error:
                return unknown(str(error)) if attempt.may_have_acted else expired(f"{error}; nothing was sent")
            except Exception:
                log.exception("command_broke", session=session.name, command_id=row.command_id)
                return refusals.broken(attempt)
        return None

    async def idle(self, session: Session) -> None:
        """Return when all has ended that is under way on a session, which takes nothing new."""
        for done in self._flights.ends(session) + self._reads.ends(session):
            await done.wait()

    def hand_over(self, closed: Session) -> int:
        """Have a closed session's commands and reads go on with the one in its place; return how many those are."""
        return self._flights.leave(closed) + self._reads.leave(closed)

    def _resume(self, row: Row) -> None:
        ready, watch = ready_to_go_on(self.sessions, row), Stopwatch(self.clock)
        if isinstance(ready, Outcome):
            self._spawn(self._end, row, ready, self._flights.add(row, watch))
        else:
            self._start(*ready, watch)

    async def _end(self, row: Row, outcome: Outcome, running: Running) -> None:
        """End what cannot go on; until that is durable a repeat of its key joins it, and nothing is sent."""
        try:
            with running.watch.writing():
                running.outcome = await patience.settle(self.journal, self.clock, row.command_id, outcome)
            self.counts.ended(row, running.outcome, running.watch.stages(), row.command_id)
        finally:
            self._flights.end(running)

    # A person's word

    async def retry(self, row: Row, seconds: float) -> Answer:
        """Send an `unknown` command again under its own identity.

        Raises:
            Refused: it is not `unknown`, or cannot be sent again.
        """
        session = self.sessions.get(row.session)
        if session is None:
            raise refusals.unknown_session(row.session, self.sessions)
        if not row.whole:
            raise refusals.secret_not_kept(row)
        refusals.check_supported(session, row.method)
        self._admit(session)
        try:
            command = row.command()
            prepared = session.prepare(command)
        except Faults as error:
            raise refusals.invalid(error) from None
        watch = Stopwatch(self.clock)
        with anyio.CancelScope(shield=True):
            try:
                with watch.writing():
                    row = await self.journal.reopen(row.command_id, "sent", seconds, self.clock.wall() + seconds)
            except InvalidTransition as error:
                raise Refused(refusals.not_unknown(error.was), command_id=row.command_id, state=error.was) from None
            running = self._flights.get(row.command_id) or self._start(session, row, command, prepared, watch)
            running.knowingly = True
        return await self._wait(running, row, seconds)

    async def resolve(self, row: Row, outcome: Outcome, note: str) -> Row:
        """A person's verdict on an `unknown` command.

        Raises:
            Refused: it is not `unknown`.
        """
        if row.state != "unknown":
            raise Refused(refusals.not_unknown(row.state), command_id=row.command_id, state=row.state)
        try:
            row = await self.journal.resolve(row.command_id, outcome, self.clock.wall(), note)
        except InvalidTransition as error:
            raise Refused(refusals.not_unknown(error.was), command_id=row.command_id, state=error.was) from None
        log.info("command_resolved", command_id=row.command_id, session=row.session, state=row.state)
        return row

    # What sessions tell

    def publisher(self, session: str) -> Publish:
        """How a session reaches the journal."""
        return SessionPublisher(self.journal, self.clock, self.counts, session, self._flights)
