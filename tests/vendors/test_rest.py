"""One command over a session's way to its vendor, how that way is told to stand, and news that are never lost."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve

from ordernpay.clock import SystemClock
from ordernpay.outcomes import Failure, Outcome, ended, succeeded
from ordernpay.vendors.backoff import BackOff
from ordernpay.vendors.http import Answered, Call, Mark, NoAnswer, NotSent, Result
from ordernpay.vendors.protocol import Report, Settlement
from ordernpay.vendors.reporter import KEPT, Reporter, Signal
from ordernpay.vendors.rest import Probing, RestLine, ended_late
from ordernpay.vendors.tries import Rules
from tests.support.wait import until
from tests.vendors.given import HandClock, Journal, Script, Try, serving

CALL = Call("POST", "http://127.0.0.1:1/")
ONCE = Rules(repeatable=False, changes=True, unavailable_seconds=0.01, error_delays=(0.01, 0.01))
READ = Rules(repeatable=True, changes=False, unavailable_seconds=0.01, error_delays=(0.01, 0.01))


def way(*results: Result, journal: Journal | None = None) -> tuple[RestLine, Script, HandClock]:
    clock, http = HandClock(), Script(*results)
    return RestLine("cafe", "acme", http, journal or Journal(), clock), http, clock


async def built() -> Call:
    return CALL


def attempt(**more: Any) -> Try:
    return Try(1_010.0, **more)


def kind(outcome: object) -> tuple[str, str]:
    assert isinstance(outcome, Outcome), outcome
    assert outcome.failure is not None
    return outcome.state, outcome.failure.kind


def told(line: RestLine) -> list[tuple[str | None, Any]]:
    return [(report.kind, report.data.get("state")) for report in line.reporter._reports]


# One request under its rules


async def test_an_answer_ends_it() -> None:
    line, http, _ = way(Answered(200))
    trying = attempt()
    assert await line.perform(built, trying, ONCE) == Answered(200)
    assert http.asked == [(CALL, 1_010.0)]
    assert trying.marks == 1
    assert line.status().counters == {
        "breaks": 0,
        "connections": 1,
        "requests": 1,
        "answers": 1,
        "unanswered": 0,
        "not_sent": 0,
        "late_answers": 0,
        "webhooks": 0,
    }


async def test_a_read_is_not_marked_as_sent() -> None:
    line, _, _ = way(Answered(200))
    trying = attempt()
    await line.perform(built, trying, READ)
    assert trying.marks == 0


@pytest.mark.parametrize("rules", [ONCE, evolve(ONCE, repeatable=True)], ids=["sent once", "repeatable"])
async def test_a_change_that_cannot_be_marked_ends_with_what_broke(rules: Rules) -> None:
    line, _, _ = way(Answered(200))

    class Full(Try):
        async def sending(self) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await line.perform(built, Full(1_010.0), rules)
    assert line.status().in_flight == 0


async def test_no_answer_to_a_change_is_not_tried_again() -> None:
    line, http, _ = way(NoAnswer("reset"))
    assert kind(await line.perform(built, attempt(), ONCE)) == ("unknown", "outcome_unknown")
    assert len(http.asked) == 1


async def test_what_was_not_sent_is_tried_again_and_each_time_built_anew() -> None:
    line, http, _ = way(NotSent("refused"), Answered(503, b"{}"), Answered(500, b"{}"), Answered(200))
    built_calls: list[Call] = []
    rules = evolve(ONCE, undone=frozenset({500, 503}))

    async def build() -> Call:
        built_calls.append(Call("POST", f"http://127.0.0.1:1/{len(built_calls)}"))
        return built_calls[-1]

    assert await line.perform(build, attempt(), rules) == Answered(200)
    assert [call for call, _ in http.asked] == built_calls
    assert len(built_calls) == 4


async def test_it_ends_where_the_pause_would_reach_the_deadline() -> None:
    line, http, clock = way(NotSent("refused"))
    clock.monotonic = 1_009.999
    assert kind(await line.perform(built, attempt(), ONCE)) == ("failed", "expired")
    assert len(http.asked) == 1


async def test_new_credentials_are_fetched_once() -> None:
    line, http, _ = way(Answered(401), Answered(401))
    forgotten: list[int] = []
    outcome = await line.perform(built, attempt(), ONCE, renew=lambda: forgotten.append(1))
    assert kind(outcome) == ("rejected", "unauthorised")
    assert (len(http.asked), forgotten) == (2, [1])


async def test_without_credentials_to_renew_a_401_is_the_end() -> None:
    line, http, _ = way(Answered(401))
    assert kind(await line.perform(built, attempt(), ONCE)) == ("rejected", "unauthorised")
    assert len(http.asked) == 1


async def test_a_request_that_cannot_be_made_says_why() -> None:
    refused = ended(Failure("unauthorised", "no token"))

    async def build() -> Outcome:
        return refused

    line, http, _ = way()
    trying = attempt()
    assert await line.perform(build, trying, ONCE) is refused
    assert kind(await line.perform(build, attempt(sent_before=True), ONCE)) == ("unknown", "outcome_unknown")
    assert (http.asked, trying.marks) == ([], 0)


async def test_no_credentials_for_now_are_waited_for() -> None:
    ready: list[Call | NotSent] = [NotSent("no token"), CALL]

    async def build() -> Call | NotSent:
        return ready.pop(0)

    line, _, _ = way(Answered(200))
    trying = attempt()
    assert await line.perform(build, trying, ONCE) == Answered(200)
    assert trying.marks == 1
    assert line.status().counters["requests"] == 1


async def test_a_caller_who_does_not_wait_meets_a_session_that_is_down() -> None:
    line, http, _ = way(NotSent("refused"), NotSent("refused"), Answered(200))
    first = await line.perform(built, attempt(), ONCE, may_wait=False)
    assert kind(first) == ("failed", "session_unavailable")
    again = await line.perform(built, attempt(), ONCE, may_wait=False)
    assert kind(again) == ("failed", "session_unavailable")
    assert len(http.asked) == 1
    doubted = await line.perform(built, attempt(sent_before=True), ONCE, may_wait=False)
    assert kind(doubted) == ("unknown", "outcome_unknown")
    probed = await line.perform(built, Probing(1_010.0), READ, may_wait=False)
    assert kind(probed) == ("failed", "session_unavailable")
    assert await line.perform(built, Probing(1_010.0), READ, may_wait=False) == Answered(200)
    assert line.status().state == "up"


async def test_what_is_in_flight_is_counted() -> None:
    line, http, _ = way(Answered(200))
    seen: list[int] = []

    async def build() -> Call:
        seen.append(line.status().in_flight)
        return CALL

    await line.perform(build, attempt(), READ)
    assert (seen, line.status().in_flight) == ([1], 0)
    assert http.asked


# Late answers


class Slow(Script):
    """Gives no answer in time; what it was told to do with a late one is kept."""

    def __init__(self, *results: Result) -> None:
        super().__init__(*results)
        self.lates: list[Callable[[Answered], None] | None] = []

    async def send(
        self,
        call: Call,
        deadline: float,
        late: Callable[[Answered], None] | None = None,
        sending: Mark | None = None,
    ) -> Result:
        self.lates.append(late)
        return await super().send(call, deadline, late, sending)


async def late_of(
    rules: Rules, *results: Result, sent_before: bool = False
) -> tuple[Callable[[Answered], None], list[Any]]:
    http, told_late = Slow(*results), list[Any]()
    line = RestLine("cafe", "acme", http, Journal(), HandClock())
    await line.perform(built, attempt(sent_before=sent_before), rules, late=told_late.append)
    assert http.lates[-1] is not None
    return http.lates[-1], told_late


CHANGE = Rules(repeatable=True, changes=True, error_delays=(0.01,))


async def test_without_anybody_to_tell_nobody_is_told() -> None:
    http = Slow(Answered(200))
    await RestLine("cafe", "acme", http, Journal(), HandClock()).perform(built, attempt(), CHANGE)
    assert http.lates == [None]


@pytest.mark.parametrize(
    ("answer", "tells"),
    [
        (Answered(200, b"{}"), True),
        (Answered(204), True),
        (Answered(200, b"<html>"), False),
        (Answered(400), True),
        (Answered(503, b"{}"), True),
        (Answered(503, b"<html>"), False),
        (Answered(502, b"{}"), False),
        (Answered(408), False),
        (Answered(303), False),
        (Answered(307), True),
    ],
)
async def test_a_late_answer_is_told_where_it_says_how_it_ended(
    answer: Answered,
    tells: bool,  # noqa: FBT001 - a case
) -> None:
    late, told_late = await late_of(CHANGE, Answered(200))
    late(answer)
    assert told_late == ([answer] if tells else [])


@pytest.mark.parametrize("doubt", ["this try", "an earlier life"])
async def test_after_doubt_a_late_refusal_proves_nothing(doubt: str) -> None:
    results = (NoAnswer("reset"), Answered(200)) if doubt == "this try" else (Answered(200),)
    late, told_late = await late_of(CHANGE, *results, sent_before=doubt != "this try")
    late(Answered(400))
    assert told_late == []
    late(Answered(200, b"{}"))
    assert told_late == [Answered(200, b"{}")]


@pytest.mark.parametrize("doubtful", [False, True])
async def test_a_late_no_with_a_good_status_is_a_refusal_too(doubtful: bool) -> None:  # noqa: FBT001 - a case
    rules = evolve(CHANGE, declined=lambda _: Outcome("rejected"))
    late, told_late = await late_of(rules, Answered(400), sent_before=doubtful)
    late(Answered(200, b"{}"))
    assert told_late == ([] if doubtful else [Answered(200, b"{}")])


def test_a_late_answer_ends_a_command_as_one_in_time() -> None:
    done = succeeded({"order": {}})
    assert ended_late(Answered(200), lambda _: done) is done
    assert kind(ended_late(Answered(404), lambda _: done)) == ("rejected", "not_found")


# How the way stands


async def test_the_states_are_told_where_they_are_news() -> None:
    line, _, _ = way()
    assert line.status().state == "connecting"
    line.change("down", "refused")
    assert told(line) == []
    line.change("up")
    line.change("up")
    line.change("down", "gone")
    line.change("down", "gone for good")
    line.change("refused", "bad secret")
    assert told(line) == [("session.up", "up"), ("session.down", "down"), ("session.down", "refused")]
    assert line.status().last_error == "bad secret"


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Answered(200), "up"),
        (Answered(302), "connecting"),
        (Answered(404), "connecting"),
        (Answered(401), "connecting"),
        (Answered(403), "connecting"),
        (Answered(500), "connecting"),
        (NoAnswer("reset"), "connecting"),
        (NotSent("refused"), "down"),
        (NotSent("no time left", hurried=True), "connecting"),
    ],
)
async def test_what_a_result_says_of_the_way(result: Result, state: str) -> None:
    line, _, clock = way(result)
    clock.monotonic = 1_009.999
    await line.perform(built, attempt(), Rules(repeatable=False, changes=False))
    assert line.status().state == state


@pytest.mark.parametrize("answer", [Answered(302), Answered(400), Answered(404), Answered(200, b"<html>")])
async def test_a_probe_that_finds_no_vendor_makes_no_news_each_time(answer: Answered) -> None:
    line, _, clock = way(*[answer] * 3)
    for _ in range(3):
        await line.perform(built, Probing(clock.now() + 10), Rules(repeatable=False, changes=False), may_wait=False)
        line.change("down", "so the probe")
    assert told(line) == []


async def test_a_way_that_lacks_something_is_not_up_and_does_not_flap() -> None:
    line, _, _ = way(Answered(200), Answered(200))
    line.lacking = "the socket is not connected"
    for _ in range(2):
        await line.perform(built, attempt(), READ)
        line.stands()
    assert (line.status().state, line.status().last_error) == ("down", "the socket is not connected")
    assert told(line) == []
    line.lacking = None
    line.stands()
    assert told(line) == [("session.up", "up")]


async def test_a_way_that_is_up_is_probed_rarely_and_one_that_is_down_soon() -> None:
    line, _, _ = way()
    states = iter(["down", "down", "up"])
    probes: list[float] = []

    async def probe() -> None:
        probes.append(SystemClock().now())
        line.change(next(states, "up"))  # type: ignore[arg-type]

    async def probing() -> None:
        await line.keep_probing(probe, 3_600)

    async with serving(probing):
        await until(lambda: len(probes) == 3)
        line.reconnect()
        await until(lambda: len(probes) == 4)
    assert line.status().state == "up"


@pytest.mark.parametrize("result", [NotSent("refused"), NotSent("no time left", hurried=True)])
async def test_a_vendor_that_was_not_reached_is_probed_at_once_and_not_when_the_next_probe_is_due(
    result: NotSent,
) -> None:
    line, _, clock = way(result)
    probes: list[str] = []

    async def probe() -> None:
        probes.append(line.status().state)
        line.change("up")

    async def probing() -> None:
        await line.keep_probing(probe, 3_600)

    async with serving(probing):
        await until(lambda: probes == ["connecting"])
        clock.monotonic = 1_009.999
        await line.perform(built, attempt(), Rules(repeatable=False, changes=False))
        await until(lambda: len(probes) == 2)
        await until(lambda: line.status().state == "up")
    assert probes[1] == ("up" if result.hurried else "down")


async def test_callers_in_a_hurry_make_no_more_than_a_probe_now_and_then() -> None:
    line, _, clock = way(*[NotSent("no time left", hurried=True)] * 3)
    probes: list[float] = []

    async def probe() -> None:
        probes.append(clock.now())
        line.change("up")

    async def probing() -> None:
        await line.keep_probing(probe, 3_600)

    async with serving(probing):
        await until(lambda: probes)
        clock.monotonic += 4.9
        for _ in range(3):
            await line.perform(built, Try(clock.now()), Rules(repeatable=False, changes=False))
            await asyncio.sleep(0.01)
    assert len(probes) == 1


async def test_late_answers_that_settled_something_are_counted() -> None:
    journal = Journal(settles=1)
    line, _, _ = way(journal=journal)
    line.reporter.report(Report(settlement=Settlement("key", "k", lambda _: succeeded({}))))
    line.reporter.report(Report("vendor.event"))
    async with serving(line.reporter.run):
        await until(lambda: len(journal.reports) == 2)
        await until(lambda: line.status().counters["late_answers"] == 1)


async def test_a_probe_has_nothing_to_write_down() -> None:
    probing = Probing(1.0)
    await probing.sending()
    await probing.remember(uid="x")
    assert await probing.recall("uid", "x") == {}
    assert (probing.sent_before, probing.knowingly, probing.remembered) == (False, False, {})


# News


async def test_reports_wait_in_order_until_they_are_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordernpay.vendors.reporter.PAUSE", 0.01)
    journal, done = Journal(full=True), list[str | None]()
    reporter = Reporter("cafe", journal, lambda report, _: done.append(report.kind))
    refused = asyncio.Event()

    async def publish(reports: Sequence[Report], *_: Any, **__: Any) -> Any:
        if journal.full:
            refused.set()
        return await journal(reports)

    journal_of: Any = publish
    reporter._publish = journal_of
    for name in "abc":
        reporter.report(Report(name))
    async with serving(reporter.run):
        await asyncio.wait_for(refused.wait(), 10)
        assert done == []
        journal.full = False
        await until(lambda: len(done) == 3)
        reporter.report(Report("d"))
        await until(lambda: len(done) == 4)
    assert done == ["a", "b", "c", "d"]
    assert [report.kind for report in journal.reports] == done


async def test_where_too_many_reports_wait_the_oldest_is_given_up() -> None:
    reporter = Reporter("cafe", Journal(), lambda *_: None)
    for number in range(KEPT + 1):
        reporter.report(Report(str(number)))
    assert (len(reporter._reports), reporter._reports[0].kind) == (KEPT, "1")


async def test_a_report_given_up_while_it_is_published_takes_no_other_with_it() -> None:
    reporter = Reporter("cafe", Journal(), lambda *_: None)
    kept: list[str | None] = []

    async def publish(reports: Sequence[Report], *_: Any, **__: Any) -> Any:
        kept.extend(report.kind for report in reports)
        if len(kept) == 1:
            reporter._reports.clear()
            reporter.report(Report("next"))
        return await Journal()(reports)

    journal_of: Any = publish
    reporter._publish = journal_of
    reporter.report(Report("first"))
    async with serving(reporter.run):
        await until(lambda: len(kept) == 2)
    assert kept == ["first", "next"]


async def test_a_signal_can_be_waited_for_again_and_again() -> None:
    signal = Signal()
    signal.set()
    await signal.wait()
    await signal.wait(0.01)
    signal.set()
    await asyncio.wait_for(signal.wait(60), 10)


# When to dial again


def test_the_back_off_doubles_to_its_ceiling_and_begins_anew_after_a_stable_link() -> None:
    back_off = BackOff(0.5, 8.0, lambda: 1.0)
    assert [back_off.after_loss(stable=False) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert back_off.after_loss(stable=True) == 0.0
    assert back_off.after_miss() == 0.5
    for _ in range(2_000):
        back_off.after_miss()
    assert back_off.after_miss() == 8.0
    assert BackOff(0.5, 8.0, lambda: 0.0).after_miss() == 0.25


@pytest.mark.parametrize("answer", [Answered(404, b"{}"), Answered(404), Answered(405), Answered(410, b"<html>")])
async def test_a_probe_whose_path_is_not_there_takes_no_session_down_whose_commands_work(answer: Answered) -> None:
    probing = Rules(repeatable=False, changes=False)
    line, _, _ = way(answer, Answered(200), answer, Answered(404, b"{}"), answer, Answered(404, b"<html>"), answer)

    async def probe() -> None:
        line.probed(await line.perform(built, Probing(1_010.0), probing, may_wait=False))

    await probe()
    assert line.status().state == "down"
    await line.perform(built, attempt(), READ)
    await probe()
    assert line.status().state == "up"
    assert line.status().last_error == f"the vendor answered HTTP {answer.status}"
    await line.perform(built, attempt(), READ)  # a command that finds no such order, in the vendor's own words
    await probe()
    assert line.status().state == "up"
    await line.perform(built, attempt(), READ)  # and one whose path is not there, either
    await probe()
    assert line.status().state == "down"


@pytest.mark.parametrize(
    ("found", "state"), [(Answered(401), "refused"), (Answered(403), "refused"), (Answered(500), "down")]
)
async def test_what_else_a_probe_finds_counts_whatever_commands_have_met(found: Answered, state: str) -> None:
    line, _, _ = way(Answered(200), found)
    await line.perform(built, attempt(), READ)
    rules = Rules(repeatable=False, changes=False)
    line.probed(await line.perform(built, Probing(1_010.0), rules, may_wait=False))
    assert line.status().state == state
