"""What the journal's statements keep, find, list and forget."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from ordernpay.journal import identities, lookups, pruning, store
from ordernpay.journal.opening import open_journal
from ordernpay.journal.rows import Row
from ordernpay.outcomes import Failure, Outcome, ended, succeeded, unknown
from ordernpay.vendors.protocol import Report, Settlement
from tests.support.fakes import WALL, HandClock, new_command, settle_by_news

DAY = 86_400.0
_CLOCKS: dict[int, tuple[HandClock, pruning.Lived]] = {}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def db(tmp_path: Path, clock: HandClock) -> Iterator[sqlite3.Connection]:
    opened = open_journal(tmp_path, clock)
    _CLOCKS[id(opened.connection)] = clock, opened.lived
    yield opened.connection
    opened.connection.close()
    del _CLOCKS[id(opened.connection)]


def pass_time(db: sqlite3.Connection, seconds: float) -> None:
    """A daemon runs on this journal for so long."""
    _CLOCKS[id(db)][0].forward(seconds)


def prune(db: sqlite3.Connection, keep: float, wall: float) -> int:
    """Forget some of what is older by both clocks; how much."""
    return pruning.forget(db, pruning.find_old(db, keep, wall, _CLOCKS[id(db)][1].seconds()))


def accepted(db: sqlite3.Connection, **given: object) -> Row:
    row, written = store.accept(db, new_command(**given))  # type: ignore[arg-type]
    assert written
    return row


def settled(db: sqlite3.Connection, outcome: Outcome, wall: float = WALL, **given: object) -> Row:
    row = accepted(db, **given)
    store.mark_sent(db, row.command_id, wall)
    return store.settle(db, row.command_id, outcome, wall)[0]


def test_a_key_is_accepted_once_and_found_ever_after(db: sqlite3.Connection) -> None:
    first = new_command(idempotency_key="k")
    row, written = store.accept(db, first)
    again, written_again = store.accept(db, new_command(idempotency_key="k"))
    assert (written, written_again) == (True, False)
    assert again == row
    assert row.fingerprint == first.fingerprint()
    assert row.vendor_ids == {"request_id": "id-k"}
    assert row.command() == evolve(first.command, when_offline="wait")


def test_the_same_key_on_another_session_is_another_command(db: sqlite3.Connection) -> None:
    one = accepted(db, idempotency_key="k")
    two = accepted(db, idempotency_key="k", session="terrace")
    assert one.command_id != two.command_id


def test_a_fingerprint_tells_other_content(db: sqlite3.Connection) -> None:
    row = accepted(db, idempotency_key="k")
    assert new_command(idempotency_key="k").fingerprint() == row.fingerprint
    assert new_command(idempotency_key="k", options={"device_id": "x"}).fingerprint() != row.fingerprint
    other = new_command(method="order.cancel", order_id="o", reason="r")
    assert other.fingerprint() != row.fingerprint


def test_an_outcome_is_kept_whole_and_told_by_an_event(db: sqlite3.Connection) -> None:
    row = accepted(db)
    store.mark_sent(db, row.command_id, WALL + 1)
    outcome = succeeded({"order": {"id": "o-1"}}, {"ResultCode": 0, "Name": "Ä"}, order_id="o-1")
    told, event = store.settle(db, row.command_id, outcome, WALL + 2)
    assert told == lookups.get(db, row.command_id)
    assert (told.state, told.sent_at, told.settled_at) == ("succeeded", WALL + 1, WALL + 2)
    assert told.vendor_ids == row.vendor_ids | {"order_id": "o-1"}
    assert told.outcome() == evolve(outcome, vendor_ids=told.vendor_ids)
    assert event.kind == "command.settled"
    assert event.data["command_id"] == row.command_id
    assert event.data["result"] == {"order": {"id": "o-1"}}
    assert event.vendor == {"ResultCode": 0, "Name": "Ä"}
    assert lookups.events_after(db, 0, 10) == [event]


def test_a_failure_is_kept_as_the_error_that_the_caller_gets(db: sqlite3.Connection) -> None:
    failure = Failure("out_of_stock", "no soup", 6, "prose", {"products": [{"product": "1203"}]}, retryable=True)
    told = settled(db, ended(failure))
    assert told.error is not None
    assert told.error["code"] == 1003
    assert told.error["data"] == failure.data(told.command_id, "rejected")
    assert told.outcome().failure == failure


def test_another_try_forgets_the_first_ones_outcome_and_counts(db: sqlite3.Connection) -> None:
    row = settled(db, unknown("no answer"))
    again = store.reopen(db, row.command_id, "sent", 12.0, WALL + 99)
    assert (again.state, again.attempts, again.timeout, again.deadline_at) == ("sent", 2, 12.0, WALL + 99)
    assert (again.error, again.result, again.vendor, again.settled_at) == (None, None, None, None)
    assert again.sent_at == row.sent_at


def test_a_note_stays_when_no_other_comes(db: sqlite3.Connection) -> None:
    row = accepted(db)
    store.mark_sent(db, row.command_id, WALL)
    store.settle(db, row.command_id, unknown("?"), WALL, "first")
    told, _ = store.settle(db, row.command_id, succeeded({}), WALL)
    assert told.note == "first"


def test_vendor_identities_are_replaced_by_name_and_only_for_commands_that_are_there(db: sqlite3.Connection) -> None:
    row = accepted(db)
    identities.remember(db, row.command_id, {"uid": "1"})
    identities.remember(db, row.command_id, {"uid": "2"})
    identities.remember(db, "no such", {"uid": "3"})
    found = lookups.get(db, row.command_id)
    assert found is not None
    assert found.vendor_ids["uid"] == "2"
    assert db.execute("SELECT count(*) FROM vendor_ids").fetchone()[0] == 2


def test_news_of_an_identity_that_nobody_has_settles_nothing(db: sqlite3.Connection) -> None:
    row = accepted(db)
    store.mark_sent(db, row.command_id, WALL)
    identity = ("request_id", row.vendor_ids["request_id"])
    for session, which in (("terrace", identity), ("bar", ("request_id", "other")), ("bar", ("uid", identity[1]))):
        assert settle_by_news(db, session, Settlement(*which, lambda _: succeeded({})), WALL) is None
    assert settle_by_news(db, "bar", Settlement(*identity, lambda _: succeeded({})), WALL) is not None


def test_late_words_of_the_vendor_are_not_kept_where_a_secret_of_the_command_was_not(db: sqlite3.Connection) -> None:
    def said(_: object) -> Outcome:
        return ended(Failure("rejected", "the POS refused: PIN 9071", 1, "PIN 9071"), {"ErrorMessage": "PIN 9071"})

    for whole in (True, False):
        row = accepted(db, whole=whole)
        store.mark_sent(db, row.command_id, WALL)
        late = settle_by_news(db, "bar", Settlement("request_id", row.vendor_ids["request_id"], said), WALL)
        assert late is not None
        assert ("9071" in str(late)) is whole
        assert late[0].state == "rejected"
        assert late[0].error is not None
        assert late[0].error["code"] == 1001
    row = accepted(db, whole=False)
    store.mark_sent(db, row.command_id, WALL)
    news = Settlement("request_id", row.vendor_ids["request_id"], lambda _: succeeded({}))
    late = settle_by_news(db, "bar", news, WALL)
    assert late is not None
    assert late[0].state == "succeeded"


def test_what_is_open_is_listed_oldest_first_and_settled_is_not(db: sqlite3.Connection) -> None:
    first, second = accepted(db), accepted(db)
    settled(db, succeeded({}))
    settled(db, unknown("?"))
    store.mark_sent(db, second.command_id, WALL)
    assert [row.command_id for row in lookups.open_commands(db)] == [first.command_id, second.command_id]


def test_commands_are_listed_newest_first_page_by_page(db: sqlite3.Connection) -> None:
    rows = [accepted(db, session="bar" if n % 2 else "terrace") for n in range(6)]
    store.mark_sent(db, rows[0].command_id, WALL)
    ids = [row.command_id for row in reversed(rows)]
    page = lookups.list_commands(db, None, None, None, 4)
    assert [row.command_id for row in page] == ids[:4]
    assert [row.command_id for row in lookups.list_commands(db, None, None, page[-1].command_id, 4)] == ids[4:]
    assert [row.command_id for row in lookups.list_commands(db, ["bar"], None, None, 9)] == ids[::2]
    assert [row.command_id for row in lookups.list_commands(db, None, "sent", None, 9)] == [rows[0].command_id]
    assert lookups.list_commands(db, [], None, None, 9) == []
    assert lookups.list_commands(db, None, None, "no such", 9) == []


def test_events_are_listed_in_order_by_session_and_kind(db: sqlite3.Connection) -> None:
    for n in range(6):
        kind, data = ("session.up", "session.down")[n // 3], {"n": n}
        store.add_event(db, "bar" if n % 2 else "terrace", kind, data, None, WALL)  # type: ignore[arg-type]
    assert [event.seq for event in lookups.events_after(db, 2, 3)] == [3, 4, 5]
    assert [event.data["n"] for event in lookups.events_after(db, 0, 9, sessions=["bar"])] == [1, 3, 5]
    assert [event.data["n"] for event in lookups.events_after(db, 0, 9, kinds=["session.down"])] == [3, 4, 5]
    assert [event.data["n"] for event in lookups.events_after(db, 0, 9, ["bar"], ["session.up"])] == [1]
    assert lookups.events_after(db, 0, 1)[0].as_json() == {
        "seq": 1,
        "time": "2027-01-15T08:00:00.000Z",
        "session": "terrace",
        "kind": "session.up",
        "data": {"n": 0},
        "vendor": None,
    }


def test_old_and_settled_is_forgotten_and_unknown_is_not(db: sqlite3.Connection) -> None:
    old = [
        settled(db, outcome, WALL).command_id
        for outcome in (succeeded({}), ended(Failure("rejected", "no")), ended(Failure("expired", "late")))
    ]
    doubtful = settled(db, unknown("?"), WALL).command_id
    pass_time(db, 10)
    kept = [doubtful, settled(db, succeeded({}), WALL + 10).command_id, accepted(db).command_id]
    pass_time(db, 10)
    while prune(db, 15, WALL + 20):
        pass
    assert [lookups.get(db, command_id) for command_id in old] == [None, None, None]
    assert all(lookups.get(db, command_id) for command_id in kept)
    assert [event.time for event in lookups.events_after(db, 0, 99)] == [WALL + 10]
    assert {row["command_id"] for row in db.execute("SELECT command_id FROM vendor_ids")} == set(kept)


def test_pruning_goes_some_at_a_time_and_numbers_of_events_never_come_again(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "MOST", 2)
    for _ in range(5):
        store.add_event(db, "bar", "session.up", {}, None, WALL)
    pass_time(db, 2)
    assert [prune(db, 1, WALL + 2) for _ in range(4)] == [2, 2, 1, 0]
    assert lookups.event_bounds(db) == (6, 5)
    assert store.add_event(db, "bar", "session.up", {}, None, WALL).seq == 6
    assert lookups.event_bounds(db) == (6, 6)


def test_a_wall_clock_that_was_wrong_leaves_no_hole_among_the_events_that_are_kept(db: sqlite3.Connection) -> None:
    year = 365 * DAY
    for time in (WALL, WALL + year, WALL + DAY, WALL + 2 * DAY, WALL - year, WALL + 3 * DAY):
        store.add_event(db, "bar", "session.up", {}, None, time)

    def kept(at: float) -> list[int]:
        while prune(db, 30 * DAY, at):
            pass
        return [event.seq for event in lookups.events_after(db, 0, 99)]

    assert kept(WALL + 400 * DAY) == [1, 2, 3, 4, 5, 6]  # old by the wall clock alone
    pass_time(db, 31 * DAY)
    assert kept(WALL + 4 * DAY) == [1, 2, 3, 4, 5, 6]  # the first one is not, by the wall clock
    assert kept(WALL + 30.5 * DAY) == [3, 4, 5, 6]
    assert kept(WALL + 32.5 * DAY) == [6]


@pytest.mark.parametrize("step", [40 * DAY, -40 * DAY])
def test_no_step_of_the_wall_clock_forgets_a_key_or_a_delivery(db: sqlite3.Connection, step: float) -> None:
    row = settled(db, succeeded({}), WALL)
    store.publish(db, "bar", [], "ros:1", WALL)
    pass_time(db, 29 * DAY)
    assert prune(db, 30 * DAY, WALL + 29 * DAY + step) == 0
    assert prune(db, 30 * DAY, WALL + 400 * DAY) == 0
    assert lookups.find(db, "bar", row.idempotency_key) is not None
    pass_time(db, 2 * DAY)
    assert prune(db, 30 * DAY, WALL + 31 * DAY) > 0
    assert lookups.find(db, "bar", row.idempotency_key) is None


def test_a_key_that_a_clock_far_ahead_has_settled_goes_in_time(db: sqlite3.Connection) -> None:
    row = settled(db, succeeded({}), WALL + 4_000 * DAY)
    pass_time(db, 31 * DAY)
    prune(db, 30 * DAY, WALL + 31 * DAY)
    assert lookups.get(db, row.command_id) is None


def test_a_command_that_is_tried_again_is_not_forgotten_as_what_it_was(db: sqlite3.Connection) -> None:
    row = settled(db, ended(Failure("expired", "late")), WALL)
    pass_time(db, 31 * DAY)
    old = pruning.find_old(db, 30 * DAY, WALL + 31 * DAY, 31 * DAY)
    assert list(old.commands) == [row.seq]
    store.reopen(db, row.command_id, "accepted", 30.0, WALL)
    pruning.forget(db, old)
    assert lookups.get(db, row.command_id) is not None


def test_the_time_that_was_lived_survives_a_restart_and_time_without_a_daemon_does_not_count(tmp_path: Path) -> None:
    for lives in (1, 2):
        clock = HandClock(at=lives * 1e6)  # a machine that was off meanwhile, or another boot
        opened = open_journal(tmp_path, clock)
        clock.forward(DAY)
        pruning.Lived.write(opened.connection)
        assert opened.lived.seconds() == lives * DAY
        opened.connection.close()


def test_figures_count_by_state(db: sqlite3.Connection) -> None:
    assert lookups.figures(db).states == {}
    assert lookups.event_bounds(db) == (1, 0)
    settled(db, unknown("?"), accepted_at=WALL - 7)
    settled(db, unknown("?"), accepted_at=WALL - 9)
    accepted(db)
    figures = lookups.figures(db)
    assert figures.states == {"unknown": 2, "accepted": 1}
    assert figures.oldest_unknown is not None
    assert (figures.oldest_unknown.session, figures.oldest_unknown.accepted_at) == ("bar", WALL - 9)
    assert (figures.first_seq, figures.last_seq) == (1, 2)


def test_a_command_that_is_not_there_cannot_be_moved(db: sqlite3.Connection) -> None:
    with pytest.raises(LookupError, match="no command nobody in the journal"):
        store.mark_sent(db, "nobody", WALL)
    assert lookups.get(db, "nobody") is None


def test_a_row_is_told_as_the_contract_says(db: sqlite3.Connection) -> None:
    row = settled(db, succeeded({"order": None}, {"ResultCode": 0}), idempotency_key="k")
    told = row.as_json()
    assert set(told) >= {
        "command_id", "session", "method", "state", "accepted_at", "sent_at", "settled_at", "result", "error", "vendor_ids"
    }  # fmt: skip
    assert (told["accepted_at"], told["state"], told["idempotency_key"]) == (
        "2027-01-15T08:00:00.000Z",
        "succeeded",
        "k",
    )
    assert accepted(db).as_json()["sent_at"] is None


def test_numbers_of_a_vendor_come_back_digit_for_digit(db: sqlite3.Connection) -> None:
    from ordernpay.jsontext import dumps, loads  # noqa: PLC0415

    vendor = loads('{"Amount":6.0,"Big":12345678901234567890,"Small":1E-299}')
    row = settled(db, succeeded({}, vendor))
    assert dumps(row.vendor) == dumps(vendor)


def test_a_late_no_to_an_earlier_try_does_not_end_the_one_under_way(db: sqlite3.Connection) -> None:
    row = accepted(db)
    store.mark_sent(db, row.command_id, WALL)
    store.settle(db, row.command_id, unknown("no answer"), WALL)
    store.reopen(db, row.command_id, "sent", 30.0, WALL + 30)
    identity = row.vendor_ids["request_id"]
    no = Settlement("request_id", identity, lambda _: ended(Failure("rejected", "no")))
    assert settle_by_news(db, "bar", no, WALL) is None
    assert settle_by_news(db, "bar", Settlement("request_id", identity, lambda _: succeeded({})), WALL) is not None


TOLD = [Report("menu.updated", {})]


@pytest.mark.parametrize(("later", "within", "news"), [(600, 600, False), (601, 600, True), (-601, 600, True)])
def test_a_name_is_a_repeat_for_so_long(db: sqlite3.Connection, later: float, within: float, *, news: bool) -> None:
    assert store.publish(db, "bar", TOLD, "a", WALL, within) is not None
    assert store.publish(db, "other", TOLD, "a", WALL, within) is not None
    assert store.publish(db, "bar", TOLD, "a", WALL + later, within) is None  # a step of the wall clock
    pass_time(db, abs(later))
    assert (store.publish(db, "bar", TOLD, "a", WALL + later, within) is not None) == news
    assert store.publish(db, "bar", TOLD, "a", WALL + later, within) is None
    assert store.publish(db, "bar", TOLD, "a", WALL + 10 * later) is None


def test_what_is_told_may_make_another_name_known_in_the_same_breath(db: sqlite3.Connection) -> None:
    assert store.publish(db, "bar", TOLD, "event", WALL, 600, also="state") is not None
    assert store.publish(db, "bar", TOLD, "state", WALL + 9_999) is None
    assert store.publish(db, "bar", TOLD, "event", WALL, 600, also="other") is None
    assert store.publish(db, "bar", TOLD, "other", WALL) is not None


def test_a_delivery_with_several_names_is_a_repeat_under_each_of_them(db: sqlite3.Connection) -> None:
    assert store.publish(db, "bar", TOLD, ("body", "id-1"), WALL) is not None
    assert store.publish(db, "bar", TOLD, ("body", "id-2"), WALL) is None
    assert store.publish(db, "bar", TOLD, ("other", "id-1"), WALL) is None
    assert store.publish(db, "bar", TOLD, ("third", "id-2"), WALL) is None
    assert store.publish(db, "bar", TOLD, ("fourth", "id-4"), WALL) is not None
    assert len(lookups.events_after(db, 0, 10)) == 2


def test_a_name_beside_those_of_a_thing_lasts(db: sqlite3.Connection) -> None:
    told = [("soup:gone", "id-1"), ("soup:back", "id-2"), ("soup:gone", "id-3"), ("soup:back", "id-2")]
    heard = [store.publish(db, "bar", TOLD, names, WALL, 600.0, "soup:") for names in told]
    assert [published is not None for published in heard] == [True, True, True, False]


def test_only_the_latest_that_is_told_of_a_thing_can_be_repeated(db: sqlite3.Connection) -> None:
    names = ("soup:gone", "soup:gone", "soup:back", "soup:gone", "salad:gone", "soup:gone")
    heard = [store.publish(db, "bar", TOLD, name, WALL, 600.0, name.partition(":")[0] + ":") for name in names]
    assert [published is not None for published in heard] == [True, False, True, True, True, False]
    assert len(lookups.events_after(db, 0, 10)) == 4


def test_an_event_may_be_of_interest_only_where_a_command_is_known(db: sqlite3.Connection) -> None:
    accepted(db, session="bar")
    row = lookups.list_commands(db, None, None, None, 10)[0]
    mine, other = (
        Report("order.updated", {}, known=("request_id", name)) for name in (row.vendor_ids["request_id"], "x")
    )
    for report, told in ((mine, 1), (other, 0)):
        published = store.publish(db, "bar", [report], None, WALL)
        assert published is not None
        assert len(published.events) == told


def news_of(name: str, value: str, outcome: Outcome, sole: str | None = None) -> Settlement:
    return Settlement(name, value, lambda _: outcome, sole)


def test_news_of_an_identity_that_two_commands_share_settle_the_newest(db: sqlite3.Connection) -> None:
    older, newer = (settled(db, unknown("?")) for _ in range(2))
    for row in (older, newer):
        identities.remember(db, row.command_id, {"reference": "A-1"})
    found = settle_by_news(db, "bar", news_of("reference", "A-1", succeeded({})), WALL)
    assert found is not None
    assert found[0].command_id == newer.command_id


FAILED = ended(Failure("vendor_unavailable", "503 until the timeout"))
DONE, NO = succeeded({}, order_id="o-1"), ended(Failure("rejected", "no"))


@pytest.mark.parametrize(
    ("sent", "outcome", "later", "state"),
    [
        (True, DONE, 3_599.0, "succeeded"),
        (True, DONE, 3_600.0, "failed"),
        (True, NO, 1.0, "failed"),
        (False, DONE, 1.0, "failed"),
    ],
)
def test_news_may_show_that_what_failed_was_done(
    db: sqlite3.Connection, *, sent: bool, outcome: Outcome, later: float, state: str
) -> None:
    row = accepted(db)
    if sent:
        store.mark_sent(db, row.command_id, WALL)
    store.settle(db, row.command_id, FAILED, WALL)
    pass_time(db, later)
    settle_by_news(db, "bar", news_of("request_id", row.vendor_ids["request_id"], outcome), WALL + later)
    found = lookups.get(db, row.command_id)
    assert found is not None
    assert found.state == state


def test_news_of_a_first_try_that_did_it_after_all_end_the_second_before_it_is_sent(db: sqlite3.Connection) -> None:
    row = accepted(db)
    store.mark_sent(db, row.command_id, WALL)
    store.settle(db, row.command_id, FAILED, WALL)
    again = store.reopen(db, row.command_id, "accepted", 5.0, WALL + 5)
    told = settle_by_news(db, "bar", news_of("request_id", row.vendor_ids["request_id"], DONE), WALL + 9_999)
    assert again.state == "accepted"
    assert told is not None
    assert told[0].state == "succeeded"


def test_a_persons_verdict_outlasts_news(db: sqlite3.Connection) -> None:
    row = settled(db, unknown("?"))
    store.resolve(db, row.command_id, FAILED, WALL, "asha: not at the till")
    assert settle_by_news(db, "bar", news_of("request_id", row.vendor_ids["request_id"], DONE), WALL) is None


def test_news_of_what_another_command_has_made_settle_nothing(db: sqlite3.Connection) -> None:
    made, doubtful = settled(db, succeeded({}, order_id="o-1")), settled(db, unknown("?"))
    for row in (made, doubtful):
        identities.remember(db, row.command_id, {"reference": "A-1"})
    first, second = (news_of("reference", "A-1", succeeded({}, order_id=name), "order_id") for name in ("o-1", "o-2"))
    assert settle_by_news(db, "bar", first, WALL) is None
    found = settle_by_news(db, "bar", second, WALL)
    assert found is not None
    assert found[0].command_id == doubtful.command_id


def test_what_is_recalled_is_the_newest_of_that_session(db: sqlite3.Connection) -> None:
    for session, table in (("bar", "1"), ("bar", "2"), ("terrace", "3")):
        row = accepted(db, session=session)
        identities.remember(db, row.command_id, {"uid": "u", "table": table})
    assert identities.recall(db, "bar", "uid", "u")["table"] == "2"
    assert identities.recall(db, "cellar", "uid", "u") == {}


def test_a_delivery_is_recognised_until_it_is_as_old_as_what_is_forgotten(db: sqlite3.Connection) -> None:
    assert store.publish(db, "bar", [], "ros:1", WALL) is not None
    assert store.publish(db, "terrace", [], "ros:1", WALL) is not None
    pass_time(db, 31)
    prune(db, 40, WALL + 31)
    assert store.publish(db, "bar", [], "ros:1", WALL) is None
    prune(db, 30, WALL + 31)
    assert store.publish(db, "bar", [], "ros:1", WALL) is not None


def test_commands_without_an_outcome_are_found_by_what_the_vendor_knows_them_by(db: sqlite3.Connection) -> None:
    waiting, sent, lost = (accepted(db, idempotency_key=key) for key in ("a", "b", "c"))
    settled(db, succeeded({}), idempotency_key="d")
    elsewhere = accepted(db, idempotency_key="e", session="terrace")
    for row in (sent, lost):
        store.mark_sent(db, row.command_id, WALL)
    store.settle(db, lost.command_id, unknown("silence"), WALL)
    identities.remember(db, sent.command_id, {"external_ref": "R1"})
    identities.remember(db, lost.command_id, {"external_ref": "R1"})
    identities.remember(db, elsewhere.command_id, {"external_ref": "R1"})
    assert [row.command_id for row in identities.undecided(db, "bar", WALL)] == [
        waiting.command_id,
        sent.command_id,
        lost.command_id,
    ]
    assert [row.state for row in identities.undecided(db, "bar", WALL, "external_ref", "R1")] == ["sent", "unknown"]
    assert identities.undecided(db, "bar", WALL, "external_ref", "R2") == []
