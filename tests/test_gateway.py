"""The way of one command through gateway and journal, with a session that does as it is told."""

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field

from ordernpay import gateway as module
from ordernpay import patience
from ordernpay.attempts import Answer
from ordernpay.commands import Command
from ordernpay.conversion import Fault, Faults
from ordernpay.gateway import Gateway
from ordernpay.journal import Journal, JournalUnavailable, Row
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import Failure, Outcome, Refused, State, ended, expired, succeeded
from ordernpay.vendors.protocol import Attempt, Published, Report, Settlement
from tests.support.fakes import (
    ORDER,
    HandClock,
    ScriptedSession,
    act,
    never_sent,
    new_command,
    no_answer,
    refused,
)
from tests.support.kiosk import keyed
from tests.support.wait import until

CALL: JsonObject = {"order": ORDER, "idempotency_key": "k", "timeout": 5}


@define(eq=False)
class Bench:
    """A gateway over a real journal, with one scripted session."""

    journal: Journal
    gateway: Gateway
    session: ScriptedSession
    clock: HandClock
    running: "asyncio.Task[None]"
    tasks: list["asyncio.Task[Any]"] = field(factory=list)

    async def call(self, method: str = "order.create", **params: Any) -> Answer:
        return await self.gateway.call(method, (CALL if method == "order.create" else keyed(method, {})) | params, 1000)

    def start(self, method: str = "order.create", **params: Any) -> "asyncio.Task[Answer]":
        task = asyncio.create_task(self.call(method, **params))
        self.tasks.append(task)
        return task

    async def row(self, key: str = "k") -> Row:
        return next(row for row in await self.journal.list_commands(None, None, None, 99) if row.idempotency_key == key)

    async def state(self, key: str = "k") -> State:
        return (await self.row(key)).state


@contextlib.asynccontextmanager
async def bench(directory: Path, **session: Any) -> AsyncIterator[Bench]:
    journal, clock = Journal(directory), HandClock()
    await journal.open()
    gateway = Gateway(journal, clock)
    one = ScriptedSession(**session)
    gateway.sessions[one.name] = one
    running = asyncio.create_task(gateway.run())
    made = Bench(journal, gateway, one, clock, running)
    await until(lambda: gateway._tasks is not None)
    try:
        yield made
    finally:
        await gateway.stop()
        for task in [running, *made.tasks]:
            task.cancel()
        await asyncio.gather(running, *made.tasks, return_exceptions=True)
        await journal.close()


async def raises(awaitable: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value


class Gate:
    """A script that holds each command until it is let go."""

    def __init__(self, then: Any = act) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.then = then

    async def __call__(self, command: Command, attempt: Attempt) -> Outcome:
        self.entered.set()
        await self.open.wait()
        outcome: Outcome = await self.then(command, attempt)
        return outcome


# One command


async def test_a_command_is_durable_before_its_session_sees_it_and_its_outcome_before_the_caller_has_it(
    tmp_path: Path,
) -> None:
    seen: list[str] = []

    def states() -> list[str]:
        with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as other:
            return [state for (state,) in other.execute("SELECT state FROM commands")]

    async def script(command: Command, attempt: Attempt) -> Outcome:
        seen.extend(states())
        await attempt.sending()
        seen.extend(states())
        await attempt.sending()
        await attempt.remember(uid="7")
        return succeeded({"order": None}, {"ResultCode": 0})

    async with bench(tmp_path, script=script) as it:
        answer = await it.call()
        seen.extend(states())
        assert seen == ["accepted", "sent", "succeeded"]
        assert answer.state == "succeeded"
        assert answer.outcome is not None
        assert answer.outcome.vendor == {"ResultCode": 0}
        row = await it.row()
        assert (row.command_id, row.vendor_ids["uid"], row.peer_uid, row.attempts) == (answer.command_id, "7", 1000, 1)
        assert it.gateway.in_flight == 0


@pytest.mark.parametrize(
    ("script", "state", "code"),
    [(refused, "rejected", 1001), (never_sent, "failed", 1007), (no_answer, "unknown", 1006)],
)
async def test_every_other_end_is_an_outcome_with_a_failure(
    tmp_path: Path, script: Any, state: State, code: int
) -> None:
    async with bench(tmp_path, script=script) as it:
        answer = await it.call()
        assert answer.state == state
        assert answer.outcome is not None
        assert answer.outcome.failure is not None
        assert answer.outcome.failure.code == code
        assert await it.state() == state


async def test_without_wait_the_command_is_durable_and_its_outcome_comes_as_an_event(tmp_path: Path) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        answer = await it.call(wait=False)
        assert (answer.state, answer.outcome) == ("accepted", None)
        assert await it.state() == "accepted"
        gate.open.set()
        await until(lambda: it.gateway.in_flight == 0)
        [event] = await it.journal.events_after(0, 9)
        assert (event.kind, event.data["command_id"]) == ("command.settled", answer.command_id)


async def test_a_read_is_performed_and_not_journaled(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        answer = await it.call("order.list")
        assert answer.state == "succeeded"
        assert await it.journal.list_commands(None, None, None, 9) == []

        async def remembering(command: Command, attempt: Attempt) -> Outcome:
            await attempt.remember(uid="7")
            return succeeded({})

        it.session.script = remembering
        await it.call("order.list", idempotency_key="same")
        await it.call("order.list", idempotency_key="same")
        assert len(it.session.performed) == 3


async def test_an_error_inside_a_session_is_unknown_after_sending_and_no_effect_before(tmp_path: Path) -> None:
    async def after(command: Command, attempt: Attempt) -> Outcome:
        await attempt.sending()
        raise ZeroDivisionError

    async def before(command: Command, attempt: Attempt) -> Outcome:
        raise ZeroDivisionError

    async with bench(tmp_path, script=after) as it:
        assert (await it.call()).state == "unknown"
        it.session.script = before
        assert (await it.call(idempotency_key="other")).state == "failed"
        assert not it.running.done()


async def test_one_line_is_logged_for_each_command_and_its_counts_go_up(tmp_path: Path) -> None:
    from structlog.testing import capture_logs  # noqa: PLC0415

    async with bench(tmp_path) as it:
        stages: list[tuple[str, str, float]] = []
        it.gateway.counts.observe = lambda *stage: stages.append(stage)
        with capture_logs() as logs:
            answer = await it.call()
        [line] = [entry for entry in logs if entry["event"] == "command_ended"]
        assert (line["command_id"], line["state"], line["kind"]) == (answer.command_id, "succeeded", "succeeded")
        assert it.gateway.counts.outcomes == {("bar", "order.create", "succeeded"): 1}
        assert stages == [(stage, "order.create", 0.0) for stage in ("whole", "journal", "wire")]
        assert it.gateway.counts.in_flight == {"bar": 0}


def slow(it: Bench, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Have the journal take so long for each of its writes."""
    for name, took in seconds.items():
        monkeypatch.setattr(it.journal, name, functools.partial(_after, it, took, getattr(it.journal, name)))


async def _after(it: Bench, seconds: float, write: Any, *given: Any) -> Any:
    it.clock.forward(seconds)
    return await write(*given)


async def test_each_stage_gets_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(tmp_path) as it:

        async def script(command: Command, attempt: Attempt) -> Outcome:
            it.clock.forward(16)  # the session is down
            await attempt.sending()
            it.clock.forward(32)
            await attempt.remember(uid="u")
            await attempt.sending()
            it.clock.forward(64)
            return succeeded({})

        it.session.script = script
        slow(it, monkeypatch, accept=1, mark_sent=2, remember=4, settle=8)
        taken: dict[str, float] = {}
        it.gateway.counts.observe = lambda stage, method, seconds: taken.update({stage: seconds})
        await it.call(timeout=600)
        assert taken == {"whole": 127, "journal": 1 + 2 + 4 + 8, "wire": 32 + 64}


async def test_what_was_never_sent_has_no_time_on_the_wire_and_a_read_none_in_the_journal(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:

        async def script(command: Command, attempt: Attempt) -> Outcome:
            it.clock.forward(3)
            return succeeded({"orders": []}) if command.method == "order.list" else expired("never sent")

        it.session.script = script
        stages: list[tuple[str, str, float]] = []
        it.gateway.counts.observe = lambda *stage: stages.append(stage)
        await it.call()
        await it.call("order.list")
        assert stages == [("whole", "order.create", 3), ("journal", "order.create", 0), ("whole", "order.list", 3)]


async def test_a_command_that_an_earlier_life_sent_is_on_the_wire_once_it_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as it:
        row, _ = await it.journal.accept(new_command())
        await it.journal.mark_sent(row.command_id, it.clock.wall())

        async def script(command: Command, attempt: Attempt) -> Outcome:
            it.clock.forward(16)
            await attempt.sending()
            it.clock.forward(32)
            return succeeded({})

        it.session.script = script
        slow(it, monkeypatch, mark_sent=2, settle=8)
        taken: dict[str, float] = {}
        it.gateway.counts.observe = lambda stage, method, seconds: taken.update({stage: seconds})
        assert await it.gateway.recover() == 1
        await until(lambda: taken)
        assert taken == {"whole": 56, "journal": 8, "wire": 32}


# A repeated key


async def test_a_repeat_joins_a_command_under_way_and_both_get_its_outcome(tmp_path: Path) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        calls = [it.start() for _ in range(5)]
        await gate.entered.wait()
        calls += [it.start() for _ in range(5)]
        await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(*calls)
        assert len({answer.command_id for answer in answers}) == 1
        assert {answer.state for answer in answers} == {"succeeded"}
        assert len(it.session.performed) == 1


@pytest.mark.parametrize(("ended_so", "again"), [(no_answer, ("k", True)), (never_sent, ("k", False))])
async def test_a_repeat_that_may_wait_longer_than_the_first_goes_on_when_the_first_ends(
    tmp_path: Path, ended_so: Any, again: tuple[str, bool]
) -> None:
    gate = Gate(then=ended_so)
    async with bench(tmp_path, script=gate) as it:
        first = it.start(timeout=2)
        await gate.entered.wait()
        patient, impatient = it.start(timeout=9), it.start(timeout=2)
        await until(lambda: it.gateway._waiting == 3)
        it.clock.forward(2)
        it.session.script = act
        gate.open.set()
        assert (await first).state == (await impatient).state != "succeeded"
        answer = await patient
        assert (answer.state, answer.command_id) == ("succeeded", (await first).command_id)
        assert it.session.performed == [("k", False), again]
        assert (await it.row()).timeout == 7.0


async def test_a_repeat_that_may_wait_longer_is_told_unknown_where_the_vendor_knows_no_duplicates(
    tmp_path: Path,
) -> None:
    gate = Gate(then=no_answer)
    async with bench(tmp_path, script=gate, repeats=False) as it:
        first = it.start(timeout=2)
        await gate.entered.wait()
        patient = it.start(timeout=9)
        await until(lambda: it.gateway._waiting == 2)
        gate.open.set()
        assert (await first).state == (await patient).state == "unknown"
        assert len(it.session.performed) == 1


@pytest.mark.parametrize(("script", "state"), [(act, "succeeded"), (refused, "rejected")])
async def test_a_repeat_of_what_the_vendor_settled_gets_the_same_answer_and_nothing_is_sent(
    tmp_path: Path, script: Any, state: State
) -> None:
    async with bench(tmp_path, script=script) as it:
        first = await it.call()
        again = await it.call()
        waitless = await it.call(wait=False)
        assert again.outcome is not None
        assert first.outcome is not None
        assert (again.command_id, again.state, again.outcome.result) == (first.command_id, state, first.outcome.result)
        assert again.outcome.failure == first.outcome.failure
        assert waitless.state == state
        assert len(it.session.performed) == 1


async def test_a_repeat_of_what_had_no_effect_is_a_new_try_of_the_same_command(tmp_path: Path) -> None:
    async with bench(tmp_path, script=never_sent) as it:
        first = await it.call()
        it.session.script = act
        again = await it.call(timeout=9)
        assert (first.state, again.state) == ("failed", "succeeded")
        assert again.command_id == first.command_id
        assert it.session.performed == [("k", False), ("k", False)]
        row = await it.row()
        assert (row.attempts, row.timeout) == (2, 9.0)


async def test_a_new_try_of_what_had_no_effect_knows_nothing_of_the_first(tmp_path: Path) -> None:
    remembered: list[dict[str, str]] = []

    async def script(_: Command, attempt: Attempt) -> Outcome:
        remembered.append(dict(attempt.remembered))
        await attempt.remember(uid=str(len(remembered)))
        return expired("not sent")

    async with bench(tmp_path, script=script) as it:
        await it.call()
        await it.call()
        assert remembered == [{"request_id": "id-k"}, {"request_id": "id-k"}]
        assert (await it.row()).vendor_ids == {"request_id": "id-k", "uid": "2"}


async def test_a_repeat_of_an_unknown_is_sent_again_where_the_vendor_knows_duplicates(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        assert (await it.call()).state == "unknown"
        it.session.script = act
        assert (await it.call()).state == "succeeded"
        assert it.session.performed == [("k", False), ("k", True)]


async def test_a_repeat_of_an_unknown_stays_unknown_where_it_does_not(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer, repeats=False) as it:
        assert (await it.call()).state == "unknown"
        answer = await it.call()
        assert answer.state == "unknown"
        assert answer.outcome is not None
        assert answer.outcome.failure is not None
        assert answer.outcome.failure.kind == "outcome_unknown"
        assert len(it.session.performed) == 1


@pytest.mark.parametrize("first", [act, never_sent, no_answer, refused])
async def test_other_content_under_the_same_key_is_a_conflict_whatever_became_of_the_first(
    tmp_path: Path, first: Any
) -> None:
    async with bench(tmp_path, script=first) as it:
        answer = await it.call()
        for change in ({"order": ORDER | {"table": "15"}}, {"options": {"device_id": "x"}}):
            error = await raises(it.call(**change))
            assert error.failure.code == -32005
            assert error.command_id == answer.command_id
        assert len(it.session.performed) == 1
        assert (await it.call(timeout=6, when_offline="fail")).command_id == answer.command_id  # no other content


async def test_many_repeats_of_a_failed_command_make_one_new_try(tmp_path: Path) -> None:
    async with bench(tmp_path, script=never_sent) as it:
        await it.call()
        gate = Gate()
        it.session.script = gate
        calls = [it.start() for _ in range(20)]
        await gate.entered.wait()
        gate.open.set()
        answers = await asyncio.gather(*calls)
        assert {answer.state for answer in answers} == {"succeeded"}
        assert len(it.session.performed) == 2


# Callers


async def test_a_caller_that_goes_leaves_a_command_that_goes_on(tmp_path: Path) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        call = it.start()
        await gate.entered.wait()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        gate.open.set()
        await until(lambda: it.gateway.in_flight == 0)
        assert await it.state() == "succeeded"
        assert it.gateway.counts.in_flight == {"bar": 0}


@pytest.mark.parametrize("turns", range(6))
async def test_a_caller_that_goes_while_it_is_written_down_leaves_no_orphan(tmp_path: Path, turns: int) -> None:
    async with bench(tmp_path) as it:
        async with anyio.create_task_group() as connection:  # as the socket's server runs its calls

            async def call() -> None:
                await it.call()

            connection.start_soon(call)
            for _ in range(turns):
                await asyncio.sleep(0)
            connection.cancel_scope.cancel()
        await until(lambda: it.gateway.in_flight == 0)
        await it.journal.turn()  # by now it is written down, if ever
        rows = await it.journal.list_commands(None, None, None, 9)
        assert [row.state for row in rows] in ([], ["succeeded"])
        assert len(it.session.performed) == len(rows)


async def test_a_caller_whose_timeout_passes_is_told_unknown_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        answer = await it.call(timeout=0.1)
        assert answer.state == "unknown"
        gate.open.set()
        await until(lambda: it.gateway.in_flight == 0)
        assert await it.state() == "succeeded"


# Refusals, before anything is written


@pytest.mark.parametrize("session", [{}, {"session": "bar"}])
async def test_faults_of_the_options_are_told_beside_the_others(tmp_path: Path, session: dict[str, Any]) -> None:
    async with bench(tmp_path) as it:
        error = await raises(it.call(wait=5, options={"device_id": 5, "tip": 1}, **session))
        details = error.failure.details
        assert isinstance(details, list)
        paths = [fault["path"] for fault in details if isinstance(fault, dict)]
        assert paths == ["wait", "options.device_id", "options.tip"]
        for wrong in ("cellar", 5):  # nobody can tell whose options these are
            error = await raises(it.call(wait=5, options={"device_id": 5}, session=wrong))
            assert "options" not in error.failure.message


async def test_wrong_params_are_refused_with_their_faults_and_nothing_is_written(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        error = await raises(it.call(timeout=0, order={}))
        assert error.failure.code == -32602
        assert {fault["path"] for fault in error.failure.details} == {"timeout", "order.reference"}  # type: ignore[union-attr,index,call-overload]
        it.session.refuse = Faults([Fault("order.table", "too long")])
        error = await raises(it.call())
        assert error.failure.details == [{"path": "order.table", "message": "too long"}]
        assert await it.journal.list_commands(None, None, None, 9) == []
        assert it.session.performed == []


async def test_an_unsupported_command_says_so_before_its_params_are_looked_at(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        it.session.commands = ("order.list",)
        wrong: list[JsonObject] = [{"session": "bar"}, {"surprise": 1, "timeout": 0}]
        for given in wrong:
            error = await raises(it.gateway.call("order.cancel", given))
            assert error.failure.code == -32004
            assert error.failure.details == {"supported": ["order.list"]}
        assert (await raises(it.gateway.call("order.cancel", {"session": "cellar"}))).failure.code == -32602


async def test_the_session_may_be_left_out_where_there_is_one_and_must_be_known(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        assert (await it.call()).session == "bar"
        error = await raises(it.call(session="cellar"))
        assert (error.failure.code, error.failure.details) == (-32007, {"sessions": ["bar"], "nearest": None})
        it.gateway.sessions["terrace"] = ScriptedSession("terrace")
        error = await raises(it.call())
        assert error.failure.code == -32602
        assert "bar, terrace" in error.failure.message
        it.gateway.sessions.clear()
        assert "none is configured" in (await raises(it.call())).failure.message


async def test_a_session_takes_only_so_many_commands_at_once(tmp_path: Path) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        it.gateway.limits["bar"] = 1
        first = it.start(idempotency_key="a", order=ORDER)
        await gate.entered.wait()
        for call in (it.call(idempotency_key="b"), it.call("order.list")):
            error = await raises(call)
            assert error.failure.code == -32002
            assert error.failure.details == {"limit": "max_in_flight", "value": 1}
        gate.open.set()
        assert (await first).state == "succeeded"
        assert (await it.call(idempotency_key="b")).state == "succeeded"
        assert [row.idempotency_key for row in await it.journal.list_commands(None, None, None, 9)] == ["b", "a"]


async def test_where_there_is_no_room_a_repeated_key_is_answered_all_the_same(tmp_path: Path) -> None:
    gate = Gate()
    gate.open.set()
    async with bench(tmp_path, script=gate) as it:
        done = await it.call(idempotency_key="done")
        gate.open.clear()
        it.gateway.limits["bar"] = 1
        first = it.start(idempotency_key="a")
        await until(lambda: len(it.session.performed) == 2)
        again = await it.call(idempotency_key="done")
        assert (again.command_id, again.state) == (done.command_id, "succeeded")
        conflict = await raises(it.call(idempotency_key="done", order=ORDER | {"reference": "other"}))
        assert conflict.failure.kind == "idempotency_conflict"
        joined = it.start(idempotency_key="a")
        await until(lambda: it.gateway._waiting == 2)
        gate.open.set()
        assert (await joined).command_id == (await first).command_id
        assert len(it.session.performed) == 2


async def test_no_moment_of_a_commands_way_leaves_room_for_one_too_many(tmp_path: Path) -> None:
    gate, accepted = Gate(), []
    async with bench(tmp_path, script=gate) as it:
        it.gateway.limits["bar"] = 5

        async def eager(name: str) -> None:
            for number in range(100):
                with contextlib.suppress(Refused):
                    accepted.append(await it.call(idempotency_key=f"{name}-{number}", wait=False))
                await asyncio.sleep(0)

        await asyncio.gather(*(eager(name) for name in "abcdefgh"))
        await until(lambda: len(it.session.performed) == len(accepted))
        assert (len(accepted), it.gateway.counts.in_flight) == (5, {"bar": 5})
        gate.open.set()
        await until(lambda: it.gateway.counts.in_flight == {"bar": 0})


# A journal that cannot be written


class Broken:
    """A journal's operation that fails as long as it is told to."""

    def __init__(self, works: Any) -> None:
        self.works = works
        self.broken = True
        self.tries = 0

    async def __call__(self, *given: Any) -> Any:
        self.tries += 1
        if self.broken:
            raise JournalUnavailable("the journal cannot be written: disk full")
        return await self.works(*given)


async def test_a_full_disk_refuses_commands_before_they_are_sent_and_reads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as it:
        accept = Broken(it.journal.accept)
        monkeypatch.setattr(it.journal, "accept", accept)
        error = await raises(it.call())
        assert error.failure.code == -32002
        assert "disk full; nothing was sent" in error.failure.message
        assert it.session.performed == []
        assert (await it.call("order.list")).state == "succeeded"
        accept.broken = False
        assert (await it.call()).state == "succeeded"


async def test_a_disk_that_is_full_as_the_command_is_to_be_sent_lets_no_byte_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as it:
        monkeypatch.setattr(it.journal, "mark_sent", Broken(it.journal.mark_sent))
        answer = await it.call()
        assert (answer.state, await it.state()) == ("failed", "failed")
        assert answer.outcome is not None
        assert answer.outcome.failure is not None
        assert answer.outcome.failure.kind == "expired"


async def test_what_cannot_be_remembered_after_sending_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(command: Command, attempt: Attempt) -> Outcome:
        await attempt.sending()
        await attempt.remember(uid="1")
        return succeeded({})

    async with bench(tmp_path, script=script) as it:
        monkeypatch.setattr(it.journal, "remember", Broken(it.journal.remember))
        assert (await it.call()).state == "unknown"


async def test_an_outcome_is_told_only_once_it_is_durable_however_long_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    async with bench(tmp_path) as it:
        settle = Broken(it.journal.settle)
        monkeypatch.setattr(it.journal, "settle", settle)
        call = it.start()
        await until(lambda: settle.tries > 3)
        assert not call.done()
        assert await it.state() == "sent"
        settle.broken = False
        assert (await call).state == "succeeded"


async def test_an_outcome_that_news_made_stale_is_told_once_the_journal_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    gate = Gate(no_answer)
    async with bench(tmp_path, script=gate) as it:
        call = it.start()
        await gate.entered.wait()
        row = await it.row()
        await it.journal.mark_sent(row.command_id, it.clock.wall())
        await settle_late(it, succeeded({"order": None}))
        get = Broken(it.journal.get)
        monkeypatch.setattr(it.journal, "get", get)
        monkeypatch.setattr(it.journal, "mark_sent", never_again)
        gate.open.set()
        await until(lambda: get.tries > 3)
        assert not call.done()
        get.broken = False
        assert (await call).state == "succeeded"


async def never_again(*_: object) -> None:
    """The command is marked as sent already."""


# What sessions tell


async def settle_late(it: Bench, outcome: Outcome, key: str = "k") -> bool:
    publish = it.gateway.publisher("bar")
    published = await publish([Report(settlement=Settlement("request_id", f"id-{key}", lambda _: outcome))])
    return published.settled == 1


async def test_a_late_answer_settles_an_unknown_command_once(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        await it.call()
        assert await settle_late(it, succeeded({"order": None})) is True
        assert await settle_late(it, ended(Failure("rejected", "no"))) is False
        assert await settle_late(it, succeeded({}), key="nobody's") is False
        assert (await it.call()).state == "succeeded"
        assert [event.data["state"] for event in await it.journal.events_after(0, 9)] == ["unknown", "succeeded"]


async def test_an_outcome_that_news_made_stale_does_not_overwrite_it(tmp_path: Path) -> None:
    async def script(command: Command, attempt: Attempt) -> Outcome:
        await attempt.sending()
        assert await settle_late(it, succeeded({"order": None}))
        return ended(Failure("outcome_unknown", "no answer"))

    async with bench(tmp_path) as it:
        it.session.script = script
        answer = await it.call()
        assert (answer.state, await it.state()) == ("succeeded", "succeeded")


async def test_news_end_a_try_that_would_go_on_to_send_again(tmp_path: Path) -> None:
    sent: list[str] = []

    async def tries_again(command: Command, attempt: Attempt) -> Outcome:
        await attempt.sending()
        while True:
            sent.append(command.key)
            await asyncio.sleep(0.3)

    async with bench(tmp_path, script=tries_again, repeats=False) as it:
        call = it.start()
        await until(lambda: sent)
        assert await settle_late(it, succeeded({"order": None}))
        answer = await call
        assert (answer.state, answer.outcome and answer.outcome.result) == ("succeeded", {"order": None})
        assert it.gateway.in_flight == 0
        await asyncio.sleep(0.4)
        assert sent == ["k"]
        assert len([row for row in await it.journal.events_after(0, 9) if row.kind == "command.settled"]) == 1


async def test_an_event_of_a_session_is_durable_when_it_is_published(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        publish = it.gateway.publisher("bar")
        assert await publish([Report("session.up", {"state": "up"}, vendor={"x": 1})]) == Published(
            news=True, settled=0
        )
        [event] = await it.journal.events_after(0, 9)
        assert (event.session, event.kind, event.data, event.vendor) == ("bar", "session.up", {"state": "up"}, {"x": 1})


# Draining and stopping


async def test_draining_takes_nothing_new_and_waits_for_what_is_under_way(tmp_path: Path) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        call = it.start()
        await gate.entered.wait()
        draining = asyncio.create_task(it.gateway.drain(5))
        await until(lambda: it.gateway._draining)
        assert (await raises(it.call(idempotency_key="new"))).failure.code == -32006
        assert not draining.done()
        gate.open.set()
        assert await draining == 0
        assert (await call).state == "succeeded"


async def test_draining_waits_for_reads_too(tmp_path: Path) -> None:
    gate = Gate(never_sent)
    async with bench(tmp_path, script=gate) as it:
        call = it.start("order.get", order_id="o-1")
        await gate.entered.wait()
        draining = asyncio.create_task(it.gateway.drain(5))
        await until(lambda: it.gateway._draining)
        await asyncio.sleep(0)
        assert not draining.done()
        gate.open.set()
        assert await draining == 0
        assert call.done()


async def test_what_does_not_end_in_time_is_left_to_the_next_start_and_its_caller_told(tmp_path: Path) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        call = it.start()
        await gate.entered.wait()
        assert await it.gateway.drain(0.01) == 1
        await it.gateway.stop()
        error = await raises(call)
        assert (error.failure.code, error.state) == (-32006, None)
        assert await it.state() == "accepted"
        assert error.command_id == (await it.row()).command_id


async def test_a_gateway_that_does_not_run_takes_no_command(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    await journal.open()
    gateway = Gateway(journal, HandClock())
    gateway.sessions["bar"] = ScriptedSession()
    with pytest.raises(RuntimeError, match="not running"):
        await gateway.call("order.create", CALL)
    await gateway.stop()
    await journal.close()


# A session that a reload closed


async def test_what_is_under_way_on_a_closed_session_goes_on_with_its_successor_and_nothing_else_is_touched(
    tmp_path: Path,
) -> None:
    gate, successors = Gate(), Gate()
    async with bench(tmp_path, script=gate, repeats=False) as it:
        first = it.start(idempotency_key="a")
        await gate.entered.wait()
        successor = it.gateway.sessions["bar"] = ScriptedSession(script=successors, repeats=False)
        second = it.start(idempotency_key="b")
        await successors.entered.wait()
        it.gateway.hand_over(it.session)
        await until(lambda: len(successor.performed) == 2)
        successors.open.set()
        assert [(await call).state for call in (first, second)] == ["succeeded", "succeeded"]
        assert successor.performed == [("b", False), ("a", False)]


async def test_what_is_written_down_while_its_session_is_replaced_is_performed_by_the_successor_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as it:
        accept, written = it.journal.accept, asyncio.Event()

        async def slowly(new: Any) -> Any:
            await written.wait()
            return await accept(new)

        monkeypatch.setattr(it.journal, "accept", slowly)
        call = it.start()
        await until(lambda: it.gateway.counts.in_flight.get("bar") == 1)
        successor = it.gateway.sessions["bar"] = ScriptedSession()
        it.gateway.hand_over(it.session)
        written.set()
        assert (await call).state == "succeeded"
        assert (it.session.performed, successor.performed) == ([], [("k", False)])


# After a restart


async def left(directory: Path, state: str, *, whole: bool = True, late: bool = False, session: str = "bar") -> None:
    """A journal as an earlier life left it, with one command `k` in a state."""
    journal, clock = Journal(directory), HandClock()
    await journal.open()
    at = clock.wall() - (3600 if late else 1)
    new = new_command(idempotency_key="k", whole=whole, accepted_at=at, session=session, timeout=30.0)
    row, _ = await journal.accept(new)
    if state != "accepted":
        await journal.mark_sent(row.command_id, at)
    if state == "unknown":
        await journal.settle(row.command_id, ended(Failure("outcome_unknown", "?")), at)
    await journal.close()


@pytest.mark.parametrize(("state", "sent_before"), [("accepted", False), ("sent", True)])
async def test_what_was_open_goes_on_under_its_own_identity(tmp_path: Path, state: str, sent_before: bool) -> None:  # noqa: FBT001
    await left(tmp_path, state)
    async with bench(tmp_path) as it:
        assert await it.gateway.recover() == 1
        await until(lambda: it.gateway.in_flight == 0)
        assert it.session.performed == [("k", sent_before)]
        assert await it.state() == "succeeded"


async def test_a_call_again_after_a_restart_joins_what_goes_on(tmp_path: Path) -> None:
    await left(tmp_path, "sent")
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        await it.gateway.recover()
        call = it.start()
        await gate.entered.wait()
        gate.open.set()
        assert (await call).state == "succeeded"
        assert len(it.session.performed) == 1


@pytest.mark.parametrize(("stepped", "seconds"), [(0.0, 29.0), (-10_000.0, 30.0)])
async def test_a_deadline_lasts_over_a_restart_and_a_clock_set_back_does_not_stretch_it(
    tmp_path: Path, stepped: float, seconds: float
) -> None:
    await left(tmp_path, "accepted")
    deadlines: list[float] = []

    async def script(command: Command, attempt: Attempt) -> Outcome:
        deadlines.append(attempt.deadline)
        return await never_sent(command, attempt)

    async with bench(tmp_path, script=script) as it:
        it.clock.stepped = stepped
        await it.gateway.recover()
        await until(lambda: it.gateway.in_flight == 0)
        await it.call("order.create", timeout=5)
        assert deadlines == [it.clock.now() + seconds, it.clock.now() + 5.0]


async def test_what_is_past_its_deadline_is_given_to_its_session_with_no_time_left(tmp_path: Path) -> None:
    await left(tmp_path, "sent", late=True)
    deadlines: list[float] = []

    async def script(command: Command, attempt: Attempt) -> Outcome:
        deadlines.append(attempt.deadline)
        return await no_answer(command, attempt)

    async with bench(tmp_path, script=script) as it:
        await it.gateway.recover()
        await until(lambda: it.gateway.in_flight == 0)
        assert deadlines == [it.clock.now()]
        assert await it.state() == "unknown"


@pytest.mark.parametrize("why", ["concealed", "session gone", "no longer allowed", "unsupported"])
@pytest.mark.parametrize(("state", "ends"), [("accepted", "failed"), ("sent", "unknown")])
async def test_what_cannot_go_on_is_settled_by_whether_it_was_sent(
    tmp_path: Path, why: str, state: str, ends: str
) -> None:
    await left(tmp_path, state, whole=why != "concealed", session="cellar" if why == "session gone" else "bar")
    async with bench(tmp_path) as it:
        if why == "no longer allowed":
            it.session.refuse = Faults([Fault("options.device_id", "required")])
        if why == "unsupported":
            it.session.commands = ()
        assert await it.gateway.recover() == 1
        await until(lambda: settled(it))
        assert await it.state() == ends
        assert it.session.performed == []


async def settled(it: Bench) -> bool:
    return not await it.journal.open_commands()


async def test_a_vendor_that_cannot_tell_duplicates_gets_nothing_twice(tmp_path: Path) -> None:
    await left(tmp_path, "sent")
    async with bench(tmp_path, repeats=False) as it:
        await it.gateway.recover()
        await until(lambda: settled(it))
        assert (await it.state(), it.session.performed) == ("unknown", [])


@pytest.mark.parametrize(
    ("state", "whole", "ends", "performed"),
    [
        ("sent", True, "unknown", []),
        (
            "accepted",
            False,
            "succeeded",
            [("k", False)],
        ),  # it had no effect: the repeat brings the secret and tries afresh
    ],
)
async def test_a_repeat_of_what_cannot_go_on_sends_nothing_while_its_end_waits_for_the_disk(
    tmp_path: Path,
    state: str,
    whole: bool,  # noqa: FBT001
    ends: str,
    performed: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    await left(tmp_path, state, whole=whole)
    async with bench(tmp_path, repeats=False) as it:
        settle = Broken(it.journal.settle)
        monkeypatch.setattr(it.journal, "settle", settle)
        assert await it.gateway.recover() == 1
        call = it.start()
        await until(lambda: settle.tries > 3)
        assert (call.done(), it.gateway.in_flight, it.session.performed) == (False, 1, [])
        settle.broken = False
        assert (await call).state == ends
        assert (await it.state(), it.session.performed, it.gateway.in_flight) == (ends, performed, 0)


async def test_what_ends_at_the_start_is_logged_and_counted_like_any_other(tmp_path: Path) -> None:
    from structlog.testing import capture_logs  # noqa: PLC0415

    await left(tmp_path, "sent")
    async with bench(tmp_path, repeats=False) as it:
        with capture_logs() as lines:
            await it.gateway.recover()
            await until(lambda: it.gateway.in_flight == 0)
        ended = [line for line in lines if line["event"] == "command_ended"]
        assert [(line["command_id"], line["state"]) for line in ended] == [((await it.row()).command_id, "unknown")]
        assert it.gateway.counts.outcomes == {("bar", "order.create", "outcome_unknown"): 1}


async def test_what_was_settled_is_left_alone(tmp_path: Path) -> None:
    await left(tmp_path, "unknown")
    async with bench(tmp_path) as it:
        assert await it.gateway.recover() == 0
        assert it.session.performed == []


async def test_a_command_of_params_that_this_version_does_not_know_does_not_keep_the_daemon_from_starting(
    tmp_path: Path,
) -> None:
    await left(tmp_path, "accepted")
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as db:
        db.execute("""UPDATE commands SET content = json_set(content, '$.params.order.of_the_future', 1)""")
        db.commit()
    async with bench(tmp_path) as it:
        await it.gateway.recover()
        await until(lambda: settled(it))
        assert await it.state() == "failed"


# A person's word


async def test_a_retry_sends_an_unknown_command_again(tmp_path: Path) -> None:
    knowingly: list[bool] = []

    async def script(command: Command, attempt: Attempt) -> Outcome:
        knowingly.append(attempt.knowingly)
        return await (act if attempt.sent_before else no_answer)(command, attempt)

    async with bench(tmp_path, script=script, repeats=False) as it:
        await it.call()
        answer = await it.gateway.retry(await it.row(), 5.0)
        assert (answer.state, await it.state()) == ("succeeded", "succeeded")
        assert it.session.performed == [("k", False), ("k", True)]
        assert knowingly == [False, True]


@pytest.mark.parametrize("script", [act, refused, never_sent])
async def test_only_an_unknown_command_is_retried_or_resolved(tmp_path: Path, script: Any) -> None:
    async with bench(tmp_path, script=script) as it:
        answer = await it.call()
        row = await it.row()
        for error in (
            await raises(it.gateway.retry(row, 5.0)),
            await raises(it.gateway.resolve(row, succeeded({}), "note")),
        ):
            assert (error.failure.code, error.command_id, error.state) == (-32602, row.command_id, answer.state)
        assert await it.state() == answer.state


async def test_a_retry_of_what_was_settled_meanwhile_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        await it.call()
        row = await it.row()
        await settle_late(it, succeeded({}))
        assert (await raises(it.gateway.retry(row, 5.0))).state == "succeeded"
        assert (await raises(it.gateway.resolve(row, succeeded({}), "note"))).state == "succeeded"


@pytest.mark.parametrize("verdict", [succeeded({}), Outcome("failed", failure=Failure("vendor_unavailable", "seen"))])
async def test_a_verdict_on_a_command_that_is_being_sent_again_is_refused(tmp_path: Path, verdict: Outcome) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        await it.call()
        seen = await it.row()
        it.session.script = gate = Gate()
        again = it.start()
        await gate.entered.wait()
        error = await raises(it.gateway.resolve(seen, verdict, "asha: seen at the till"))
        assert (error.failure.code, error.state) == (-32602, "sent")
        assert (await raises(it.gateway.retry(seen, 5.0))).state == "sent"
        gate.open.set()
        assert ((await again).state, (await it.row()).note) == ("succeeded", None)


async def test_a_repeat_joins_no_try_that_news_have_overtaken(tmp_path: Path) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        first = it.start()
        await gate.entered.wait()
        await it.journal.mark_sent((await it.row()).command_id, it.clock.wall())
        assert await settle_late(it, ended(Failure("vendor_unavailable", "it could not act")))
        assert (await it.call()).state == "failed"
        gate.then = no_answer
        gate.open.set()
        assert (await first).state == "failed"
        it.session.script = None
        assert (await it.call()).state == "succeeded"


async def test_a_retry_that_cannot_be_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer, whole=False) as it:
        await it.call()
        assert (await raises(it.gateway.retry(await it.row(), 5.0))).failure.kind == "unsupported"
    async with bench(tmp_path, script=no_answer) as it:
        await it.call(idempotency_key="w")
        row = await it.row("w")
        it.session.refuse = Faults([Fault("options.device_id", "required")])
        assert (await raises(it.gateway.retry(row, 5.0))).failure.kind == "invalid_params"
        it.gateway.sessions.clear()
        assert (await raises(it.gateway.retry(row, 5.0))).failure.kind == "unknown_session"
        it.gateway.sessions["bar"] = it.session
        it.gateway.limits["bar"] = 0
        assert (await raises(it.gateway.retry(row, 5.0))).failure.kind == "overloaded"
        assert await it.state("w") == "unknown"


@pytest.mark.parametrize(
    "verdict", [succeeded({}), Outcome("failed", failure=Failure("vendor_unavailable", "resolved by hand: seen"))]
)
async def test_a_persons_verdict_settles_an_unknown_command_with_a_note_and_an_event(
    tmp_path: Path, verdict: Outcome
) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        await it.call()
        row = await it.gateway.resolve(await it.row(), verdict, "asha: seen at the till")
        assert (row.state, row.note) == (verdict.state, "asha: seen at the till")
        assert [event.data["state"] for event in await it.journal.events_after(0, 9)] == ["unknown", verdict.state]


# What a journal in trouble still tells


@contextlib.asynccontextmanager
async def unwritable(it: Bench, monkeypatch: pytest.MonkeyPatch, *, readable: bool = True) -> AsyncIterator[None]:
    """Whatever is written fails meanwhile, as on a full disk."""

    async def fails(*_: Any) -> Any:
        raise JournalUnavailable("the journal cannot be written: disk full")

    with monkeypatch.context() as patch:
        patch.setattr(it.journal._writer, "do", fails)
        if not readable:
            patch.setattr(it.journal._reader, "do", fails)
        yield


@pytest.mark.parametrize("script", [act, refused])
async def test_while_nothing_can_be_written_a_settled_key_has_its_answer(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, script=script) as it:
        first = await it.call()
        async with unwritable(it, monkeypatch):
            again = await it.call()
            conflict = await raises(it.call(order={"reference": "other"}))
        assert (again.command_id, again.outcome) == (first.command_id, first.outcome)
        assert (conflict.failure.kind, conflict.command_id) == ("idempotency_conflict", first.command_id)
        assert first.command_id in conflict.failure.message
        assert len(it.session.performed) == 1


async def test_while_nothing_can_be_written_an_unknown_key_stays_so_and_a_new_one_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        first = await it.call()
        async with unwritable(it, monkeypatch):
            again = await it.call()
            new = await raises(it.call(idempotency_key="new"))
        assert (again.command_id, again.state) == (first.command_id, "unknown")
        assert "nothing was sent" in new.failure.message


async def test_while_nothing_can_be_read_either_nobody_says_that_nothing_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as it, unwritable(it, monkeypatch, readable=False):
        refusal = await raises(it.call())
    assert refusal.failure.kind == "overloaded"
    assert "nothing was sent" not in refusal.failure.message


async def test_a_command_under_way_is_joined_without_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    async with bench(tmp_path, script=gate) as it:
        first = it.start()
        await gate.entered.wait()
        async with unwritable(it, monkeypatch, readable=False):
            second = it.start()
            conflict = await raises(it.call(order={"reference": "other"}))
        gate.open.set()
        assert (await first).command_id == (await second).command_id
        assert conflict.failure.kind == "idempotency_conflict"
        assert len(it.session.performed) == 1


# Nobody else's code in the journal's transaction


async def test_a_later_word_that_cannot_be_read_is_dropped_and_its_event_is_kept(tmp_path: Path) -> None:
    def breaks(_: Command) -> Outcome:
        raise TypeError("a list where an object was")

    async with bench(tmp_path, script=no_answer) as it:
        await it.call()
        publish = it.gateway.publisher("bar")
        word = Report("order.updated", settlement=Settlement("request_id", "id-k", breaks))
        assert (await publish([word])).settled == 0
        assert it.gateway.counts.dropped == {"bar": 1}
        assert [event.kind for event in await it.journal.events_after(0, 9)] == ["command.settled", "order.updated"]
        assert await settle_late(it, succeeded({"order": None})) is True


async def test_a_later_word_is_read_again_where_the_command_has_moved_on_meanwhile(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        row_id = (await it.call()).command_id
        read: list[str] = []

        def slowly(_: Command) -> Outcome:
            read.append("read")
            if len(read) == 1:  # another writer is faster
                with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3", timeout=10)) as other:
                    other.execute("UPDATE commands SET attempts = 2 WHERE command_id = ?", (row_id,))
                    other.commit()
            return succeeded({"order": None})

        word = Report(settlement=Settlement("request_id", "id-k", slowly))
        assert (await it.gateway.publisher("bar")([word])).settled == 1
        assert read == ["read", "read"]
        assert await it.state() == "succeeded"
