"""Every pair of states, tried through the journal's own statements: possible is what the table says, and nothing else."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordernpay.journal import lookups, store
from ordernpay.journal.opening import open_journal
from ordernpay.journal.states import OPEN, SETTLED, TRANSITIONS, InvalidTransition, check
from ordernpay.outcomes import STATES, Failure, Outcome, State, ended, succeeded
from ordernpay.vendors.protocol import Settlement
from tests.support.fakes import WALL, new_command, settle_by_news

PAIRS = [(was, to) for was in STATES for to in STATES]

WAY_TO: dict[State, tuple[State, ...]] = {
    "accepted": (),
    "sent": ("sent",),
    "succeeded": ("sent", "succeeded"),
    "rejected": ("sent", "rejected"),
    "failed": ("failed",),
    "unknown": ("sent", "unknown"),
}

OUTCOMES: dict[State, Outcome] = {
    "succeeded": succeeded({"order": None}),
    "rejected": ended(Failure("rejected", "no")),
    "failed": ended(Failure("expired", "too late")),
    "unknown": ended(Failure("outcome_unknown", "no answer")),
}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_journal(tmp_path).connection
    yield connection
    connection.close()


def state_of(db: sqlite3.Connection, command_id: str) -> State:
    row = lookups.get(db, command_id)
    assert row is not None
    return row.state


def move(db: sqlite3.Connection, command_id: str, to: State) -> None:
    """The statement that brings a command into a state, whichever there is."""
    if to in OUTCOMES:
        store.settle(db, command_id, OUTCOMES[to], WALL)
    elif to == "sent" and state_of(db, command_id) != "unknown":
        store.mark_sent(db, command_id, WALL)
    else:
        store.reopen(db, command_id, to, 30.0, WALL + 30)


def command_in(db: sqlite3.Connection, state: State) -> str:
    row, written = store.accept(db, new_command())
    assert written
    for step in WAY_TO[state]:
        move(db, row.command_id, step)
    assert state_of(db, row.command_id) == state
    return row.command_id


@pytest.mark.parametrize(("was", "to"), PAIRS, ids=[f"{was}-{to}" for was, to in PAIRS])
def test_a_change_of_state_is_possible_if_the_table_has_it(db: sqlite3.Connection, was: State, to: State) -> None:
    command_id = command_in(db, was)
    if (was, to) in TRANSITIONS:
        move(db, command_id, to)
        assert state_of(db, command_id) == to
        return
    before = lookups.get(db, command_id)
    with pytest.raises(InvalidTransition) as caught:
        move(db, command_id, to)
    assert (caught.value.was, caught.value.to) == (was, to)
    assert str(caught.value) == f"command {command_id} is {was} and cannot become {to}"
    assert lookups.get(db, command_id) == before


@pytest.mark.parametrize("was", STATES)
def test_news_of_a_vendor_settles_what_was_sent_and_nothing_else(db: sqlite3.Connection, was: State) -> None:
    command_id = command_in(db, was)
    row = lookups.get(db, command_id)
    assert row is not None
    news = Settlement("request_id", row.vendor_ids["request_id"], lambda _: succeeded({}))
    settled = settle_by_news(db, "bar", news, WALL)
    assert (settled is not None) == (was in {"sent", "unknown"})
    assert state_of(db, command_id) == ("succeeded" if was in {"sent", "unknown"} else was)


@pytest.mark.parametrize(("made_by", "settled"), [(None, True), (WALL, True), (WALL + 1, True), (WALL - 1, False)])
def test_what_was_made_before_a_command_was_accepted_is_no_news_of_it(
    db: sqlite3.Connection, made_by: float | None, *, settled: bool
) -> None:
    command_id = command_in(db, "unknown")
    row = lookups.get(db, command_id)
    assert row is not None
    news = Settlement("request_id", row.vendor_ids["request_id"], lambda _: succeeded({}), made_by=made_by)
    assert (settle_by_news(db, "bar", news, WALL) is not None) == settled
    assert state_of(db, command_id) == ("succeeded" if settled else "unknown")


def test_the_table_is_the_one_of_the_contract() -> None:
    assert {
        ("accepted", "sent"),
        ("accepted", "failed"),
        ("accepted", "rejected"),
        ("accepted", "succeeded"),
        ("sent", "succeeded"),
        ("sent", "rejected"),
        ("sent", "failed"),
        ("sent", "unknown"),
        ("unknown", "succeeded"),
        ("unknown", "rejected"),
        ("unknown", "failed"),
        ("unknown", "sent"),
        ("failed", "accepted"),
        ("failed", "succeeded"),
    } == TRANSITIONS
    assert set(OPEN) | set(SETTLED) | {"unknown"} == set(STATES)


def test_nothing_leaves_an_end_that_the_vendor_told() -> None:
    for was, to in PAIRS:
        if was in {"succeeded", "rejected"}:
            with pytest.raises(InvalidTransition):
                check("c", was, to)


def test_nothing_is_sent_again_that_may_have_acted_but_by_its_own_identity() -> None:
    leading_to_sent = {was for was, to in TRANSITIONS if to == "sent"}
    assert leading_to_sent == {"accepted", "unknown"}
    assert {was for was, to in TRANSITIONS if to == "accepted"} == {"failed"}
