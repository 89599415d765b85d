"""The exchange, line by line: the two tables at the top of `exchange.py`, without a socket and without a clock."""

import json
from typing import Any

import pytest

from ordernpay.vendors.order_n_pay.exchange import (
    MESSAGE_TOO_BIG,
    MOST_CUTS,
    MOST_SILENT,
    PATIENCE,
    PROBATION,
    TURN,
    Answered,
    Event,
    Exchange,
    Expired,
    Garbage,
    TooBig,
    Unmatched,
    Unreadable,
    Unsent,
)


def answer(request_id: str, **more: Any) -> str:
    return json.dumps({"RequestID": request_id, "ResultCode": 0, "ErrorMessage": None, "Payload": None} | more)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def submit(exchange: Exchange, *ids: str, deadline: float = 100.0, **given: bool) -> None:
    for one in ids:
        exchange.submit(one, f"frame {one}", deadline, **given)


def frames(exchange: Exchange, now: float = 0.0) -> list[str]:
    """Everything that goes out now."""
    sent = []
    while (frame := exchange.next_frame(now)) is not None:
        sent.append(frame.removeprefix("frame "))
    return sent


def ids(events: list[Event]) -> list[tuple[str, str]]:
    return [(type(event).__name__, getattr(event, "request_id", "")) for event in events]


def test_nothing_is_sent_without_a_connection_and_all_of_it_in_order_with_one(exchange: Exchange) -> None:
    submit(exchange, "a", "b", "c")
    assert frames(exchange) == []
    exchange.connected()
    assert frames(exchange) == ["a", "b", "c"]
    assert frames(exchange) == []
    assert len(exchange) == 3


def test_an_answer_is_matched_by_its_request_id_alone(exchange: Exchange) -> None:
    submit(exchange, "a", "b")
    exchange.connected()
    frames(exchange)
    for request_id, foreign in (("b", 2), ("A", 11)):  # out of order, with a foreign MessageType, in another casing
        event = exchange.receive(answer(request_id, MessageType=foreign))
        assert isinstance(event, Answered)
        assert event.request_id == request_id.lower()
    assert len(exchange) == 0


@pytest.mark.parametrize("before", ["late", "repeated", "never asked"])
def test_an_answer_to_nothing_that_is_pending_is_unmatched_and_changes_nothing(exchange: Exchange, before: str) -> None:
    submit(exchange, "a")
    exchange.connected()
    frames(exchange)
    if before == "late":
        exchange.expire(100.0)
    elif before == "repeated":
        exchange.receive(answer("a"))
    event = exchange.receive(answer("a" if before != "never asked" else "z"))
    assert isinstance(event, Unmatched)
    assert len(exchange) == (1 if before == "never asked" else 0)


@pytest.mark.parametrize(
    "message", ["", "{", "[]", "null", "{}", '{"RequestID": "a"}', b"\xff", '{"ResultCode": 0}', "7"]
)
def test_what_is_no_response_is_garbage_and_changes_nothing(exchange: Exchange, message: str | bytes) -> None:
    submit(exchange, "a")
    exchange.connected()
    frames(exchange)
    assert isinstance(exchange.receive(message), Garbage)
    assert isinstance(exchange.receive(answer("a")), Answered)


def test_after_a_lost_connection_what_is_pending_is_sent_again_in_its_order(exchange: Exchange) -> None:
    submit(exchange, "a", "b", "c")
    exchange.connected()
    assert exchange.next_frame(0.0) == "frame a"
    assert exchange.next_frame(0.0) == "frame b"
    exchange.receive(answer("a"))
    assert exchange.disconnected() == []
    assert frames(exchange) == []
    exchange.connected()
    assert frames(exchange) == ["b", "c"]


def test_nothing_is_sent_again_after_its_deadline(exchange: Exchange) -> None:
    submit(exchange, "a", deadline=10.0)
    exchange.connected()
    frames(exchange)
    exchange.disconnected()
    exchange.connected()
    assert frames(exchange, now=10.0) == []
    assert exchange.expire(10.0) == [Expired("a", sent=True)]
    assert frames(exchange, now=0.0) == []


def test_nothing_is_sent_at_its_deadline(exchange: Exchange) -> None:
    submit(exchange, "a", deadline=10.0)
    exchange.connected()
    assert frames(exchange, now=10.0) == []
    assert exchange.expire(9.9) == []
    assert exchange.expire(10.0) == [Expired("a", sent=False)]


def test_a_deadline_tells_whether_bytes_may_have_gone_out(exchange: Exchange) -> None:
    submit(exchange, "earlier life", deadline=1.0, sent=True)
    submit(exchange, "never", deadline=2.0)
    submit(exchange, "later", deadline=9.0)
    assert exchange.expire(2.0) == [Expired("earlier life", sent=True), Expired("never", sent=False)]
    exchange.withdraw("LATER")
    assert (exchange.expire(10.0), len(exchange)) == ([], 0)


def test_what_should_not_wait_is_unsent_when_the_connection_goes_and_waits_if_it_was_sent(exchange: Exchange) -> None:
    submit(exchange, "sent", may_wait=False)
    exchange.connected()
    frames(exchange)
    submit(exchange, "unsent", may_wait=False)
    submit(exchange, "patient")
    submit(exchange, "earlier", may_wait=False, sent=True)
    assert exchange.disconnected() == [Unsent("unsent")]
    exchange.connected()
    assert frames(exchange) == ["sent", "patient", "earlier"]


def test_a_request_that_nobody_waits_for_is_withdrawn(exchange: Exchange) -> None:
    submit(exchange, "a", "b")
    exchange.withdraw("A")
    exchange.withdraw("unknown")
    exchange.connected()
    assert frames(exchange) == ["b"]
    assert isinstance(exchange.receive(answer("a")), Unmatched)


def test_a_request_id_is_pending_once(exchange: Exchange) -> None:
    submit(exchange, "a")
    with pytest.raises(ValueError, match="pending already"):
        submit(exchange, "A")


def test_too_big_is_the_only_one_that_was_out(exchange: Exchange) -> None:
    submit(exchange, "big")
    exchange.connected()
    frames(exchange)
    submit(exchange, "not yet")
    assert exchange.disconnected(MESSAGE_TOO_BIG) == [TooBig("big")]
    exchange.connected()
    assert frames(exchange) == ["not yet"]


def test_with_several_out_each_goes_alone_until_the_culprit_is_found(exchange: Exchange) -> None:
    submit(exchange, "a", "big", "c")
    exchange.connected()
    frames(exchange)
    assert exchange.disconnected(MESSAGE_TOO_BIG) == []
    submit(exchange, "d")
    exchange.connected()
    assert frames(exchange) == ["d"]  # no suspect: before all of them
    assert isinstance(exchange.receive(answer("d")), Answered)
    assert frames(exchange) == ["big"]  # the largest of the suspects
    assert exchange.disconnected(MESSAGE_TOO_BIG) == [TooBig("big")]
    exchange.connected()
    assert frames(exchange) == ["a", "c"]  # there was one culprit, so they are none


def test_a_suspect_that_keeps_silent_stops_the_others_for_a_moment_alone(exchange: Exchange) -> None:
    submit(exchange, "silent-one", "b", deadline=600.0)
    exchange.connected()
    frames(exchange)
    exchange.disconnected(MESSAGE_TOO_BIG, 0.0)
    exchange.connected(0.0)
    assert frames(exchange, 0.0) == ["silent-one"]
    submit(exchange, "c")
    assert frames(exchange, PROBATION - 0.1) == []
    assert exchange.pause(PROBATION - 0.1) == pytest.approx(0.1)
    assert frames(exchange, PROBATION) == ["c"]  # acquitted, though it has not been answered
    assert isinstance(exchange.receive(answer("c"), PROBATION), Answered)
    later = PROBATION + TURN
    assert frames(exchange, later) == ["b"]
    assert isinstance(exchange.receive(answer("b"), later), Answered)
    assert exchange.disconnected(MESSAGE_TOO_BIG, later) == [TooBig("silent-one")]  # nothing else is out


def test_one_that_waits_for_its_next_try_goes_at_once_where_another_was_the_culprit(exchange: Exchange) -> None:
    submit(exchange, "small", deadline=600.0)
    for _ in range(MOST_CUTS + 1):  # alone each time: it waits ever longer
        exchange.connected(0.0)
        frames(exchange, 0.0)
        exchange.disconnected(1006, 0.0)
    submit(exchange, "the-larger-one", deadline=600.0)
    exchange.connected(0.0)
    assert exchange.pause(0.0) is not None
    assert frames(exchange, 0.0) == ["the-larger-one"]
    assert exchange.disconnected(MESSAGE_TOO_BIG, 0.0) == [TooBig("the-larger-one")]
    exchange.connected(0.0)
    assert frames(exchange, 0.0) == ["small"]


def test_suspects_get_their_turn_however_much_there_is_to_send(exchange: Exchange) -> None:
    submit(exchange, "a", "b")
    exchange.connected()
    frames(exchange)
    exchange.disconnected(MESSAGE_TOO_BIG, 0.0)
    exchange.connected(0.0)
    submit(exchange, "c", "d")
    assert exchange.next_frame(0.0) == "frame c"
    assert exchange.pause(0.0) == pytest.approx(TURN)
    assert exchange.next_frame(TURN) is None  # what is out is waited for, and nothing more goes out
    exchange.receive(answer("c"), TURN)
    assert exchange.next_frame(TURN) in {"frame a", "frame b"}


def test_after_so_many_that_kept_silent_the_rest_is_not_put_to_the_test(exchange: Exchange) -> None:
    names = [f"s{number}" for number in range(10)]
    submit(exchange, *names, deadline=600.0)
    exchange.connected()
    frames(exchange)
    exchange.disconnected(MESSAGE_TOO_BIG, 0.0)
    now = 0.0
    exchange.connected(now)
    sent = frames(exchange, now)
    while len(sent) < len(names) and now < 60:
        now += exchange.pause(now) or 1.0
        sent += frames(exchange, now)
    assert sorted(sent) == sorted(names)
    assert now < (MOST_SILENT + 1) * (PROBATION + TURN)


HUGE = b'\x81\x7f\x00\x00{"RequestID":"%s","ResultCode":0,"Payload":{"Orders":['


@pytest.mark.parametrize("changes", [False, True])
def test_an_answer_on_which_we_hang_up_ends_its_own_request_and_no_other(exchange: Exchange, changes: bool) -> None:  # noqa: FBT001
    submit(exchange, "a", "list", "c", changes=changes)
    exchange.connected()
    frames(exchange)
    events = exchange.disconnected(None, 0.0, HUGE.replace(b"%s", b"LIST"))
    assert ids(events) == [("Unreadable", "list")]
    exchange.connected()
    assert frames(exchange) == ["a", "c"]


def test_an_answer_on_which_we_hang_up_belongs_to_the_only_request_there_is(exchange: Exchange) -> None:
    submit(exchange, "only")
    exchange.connected()
    frames(exchange)
    assert ids(exchange.disconnected(None, 0.0, b"")) == [("Unreadable", "only")]


def test_an_answer_to_what_was_given_up_on_which_we_hang_up_accuses_nobody(exchange: Exchange) -> None:
    submit(exchange, "old", deadline=1.0)
    submit(exchange, "new")
    exchange.connected()
    frames(exchange)
    exchange.expire(1.0)
    assert exchange.disconnected(None, 1.0, HUGE.replace(b"%s", b"old")) == []
    exchange.connected()
    assert frames(exchange) == ["new"]


def test_where_nothing_names_it_a_read_is_asked_once_more_alone_and_never_a_third_time(exchange: Exchange) -> None:
    submit(exchange, "list", changes=False)
    submit(exchange, "order")
    exchange.connected()
    frames(exchange)
    assert exchange.disconnected(None, 0.0, b"") == []
    exchange.connected()
    first = frames(exchange)
    assert len(first) == 1
    while first == ["order"]:
        exchange.receive(answer("order"))
        first = frames(exchange)
    assert first == ["list"]
    assert ids(exchange.disconnected(None, 0.0, b"")) == [("Unreadable", "list")]


def test_an_answer_that_cannot_be_read_ends_its_request_unless_a_better_one_comes_soon(exchange: Exchange) -> None:
    submit(exchange, "a", "b", "c")
    exchange.connected()
    frames(exchange)
    for name in ("a", "b"):
        assert isinstance(exchange.receive(answer(name, ResultCode="none"), 5.0), Garbage)
    assert isinstance(exchange.receive(answer("b"), 5.5), Answered)
    assert exchange.pause(5.0) == pytest.approx(PATIENCE)
    assert exchange.expire(5.9) == []
    assert ids(exchange.expire(5.0 + PATIENCE)) == [("Unreadable", "a")]


def test_it_is_not_asked_again_where_the_connection_breaks_meanwhile(exchange: Exchange) -> None:
    submit(exchange, "a")
    exchange.connected()
    frames(exchange)
    exchange.receive('{"requestid": "A", "ResultCode": ', 5.0)
    assert ids(exchange.disconnected(None, 5.1)) == [("Unreadable", "a")]


def test_one_under_which_the_connection_breaks_again_and_again_does_not_stop_the_others(exchange: Exchange) -> None:
    submit(exchange, "poison", deadline=600.0)
    now, answered = 0.0, 0
    for round_ in range(12):
        exchange.connected(now)
        submit(exchange, f"order-{round_}", deadline=600.0)
        for _ in range(6):
            sent = frames(exchange, now)
            for name in sent:
                if name != "poison":
                    answered += isinstance(exchange.receive(answer(name), now), Answered)
            if "poison" in sent:
                break
            now += 1.0
        exchange.disconnected(None, now)
    assert answered >= 11
    assert now > 12  # tried ever more seldom


@pytest.mark.parametrize("code", [None, 1000, 1006, 1011, MESSAGE_TOO_BIG])
def test_an_answer_to_what_went_out_twice_says_so(exchange: Exchange, code: int | None) -> None:
    submit(exchange, "a", "b")
    exchange.connected()
    frames(exchange)
    once = exchange.receive(answer("b"))
    assert isinstance(once, Answered)
    assert once.repeated is False
    submit(exchange, "c")
    frames(exchange)
    exchange.disconnected(code)
    exchange.connected()
    for name in frames(exchange):
        twice = exchange.receive(answer(name))
        assert isinstance(twice, Answered)
        assert twice.repeated is True


def test_what_was_told_as_without_effect_and_is_tried_afresh_went_out_twice(exchange: Exchange) -> None:
    submit(exchange, "big", tried=True)
    exchange.connected()
    frames(exchange)
    again = exchange.receive(answer("big", ResultCode=7))
    assert isinstance(again, Answered)
    assert again.repeated is True
    submit(exchange, "big", tried=True)
    frames(exchange)
    assert exchange.disconnected(MESSAGE_TOO_BIG) == [TooBig("big")]  # and yet nothing is known to have acted


def test_a_late_answer_says_whether_its_request_went_out_once(exchange: Exchange) -> None:
    submit(exchange, "once", "never", "twice", deadline=1.0)
    exchange.connected()
    exchange.next_frame(0.0)
    exchange.expire(1.0)
    submit(exchange, "twice")
    frames(exchange)
    exchange.disconnected()
    exchange.connected()
    frames(exchange)
    exchange.withdraw("twice")
    told = {name: exchange.receive(answer(name)) for name in ("once", "twice", "of an earlier life")}
    assert {name: event.repeated for name, event in told.items() if isinstance(event, Unmatched)} == {
        "once": False,
        "twice": True,
        "of an earlier life": True,
    }


@pytest.mark.parametrize("spelling", ["{A-1}", " a-1", "A-1\\u0000"])
def test_the_same_id_in_another_spelling_is_the_same(exchange: Exchange, spelling: str) -> None:
    submit(exchange, "a-1")
    exchange.connected()
    frames(exchange)
    assert isinstance(exchange.receive(answer("x").replace('"x"', f'"{spelling}"')), Answered)


def test_with_nothing_out_a_1009_accuses_nobody(exchange: Exchange) -> None:
    submit(exchange, "a")
    exchange.connected()
    assert exchange.disconnected(MESSAGE_TOO_BIG) == []
    exchange.connected()
    submit(exchange, "b")
    assert frames(exchange) == ["a", "b"]


@pytest.mark.parametrize("how", ["expired", "withdrawn"])
def test_one_that_was_given_up_while_out_may_be_the_culprit(exchange: Exchange, how: str) -> None:
    submit(exchange, "small")
    submit(exchange, "big", deadline=1.0)
    exchange.connected()
    frames(exchange)
    if how == "expired":
        exchange.expire(1.0)
    else:
        exchange.withdraw("big")
    assert exchange.disconnected(MESSAGE_TOO_BIG) == []  # the POS may have acted on the small one
    exchange.connected()
    assert frames(exchange) == ["small"]
    assert isinstance(exchange.receive(answer("small")), Answered)


def test_one_given_up_on_an_earlier_connection_is_no_longer_suspected(exchange: Exchange) -> None:
    submit(exchange, "old", deadline=1.0)
    exchange.connected()
    frames(exchange)
    exchange.expire(1.0)
    exchange.disconnected()
    exchange.connected()
    submit(exchange, "big")
    frames(exchange)
    assert exchange.disconnected(MESSAGE_TOO_BIG) == [TooBig("big")]


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1008, 1011])
def test_too_big_tells_of_a_copy_that_was_out_when_a_connection_broke(exchange: Exchange, code: int | None) -> None:
    submit(exchange, "copied")
    exchange.connected()
    frames(exchange)
    exchange.disconnected(code)
    exchange.connected()
    frames(exchange)
    assert exchange.disconnected(MESSAGE_TOO_BIG) == [TooBig("copied", copied=True)]


def test_too_big_tells_of_a_copy_of_an_earlier_life(exchange: Exchange) -> None:
    submit(exchange, "copied", sent=True)
    exchange.connected()
    frames(exchange)
    assert exchange.disconnected(MESSAGE_TOO_BIG) == [TooBig("copied", copied=True)]


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1008, 1011])
def test_any_other_close_code_accuses_nobody(exchange: Exchange, code: int | None) -> None:
    submit(exchange, "a", "b")
    exchange.connected()
    frames(exchange)
    assert exchange.disconnected(code) == []
    exchange.connected()
    assert frames(exchange) == ["a", "b"]


def test_events_name_what_they_are_about() -> None:
    assert ids([Unsent("a"), TooBig("b"), Garbage("why")]) == [("Unsent", "a"), ("TooBig", "b"), ("Garbage", "")]


def test_reads_that_were_out_twice_when_we_hung_up_are_not_asked_again(exchange: Exchange) -> None:
    submit(exchange, "a", "bb", deadline=600.0, changes=False)
    exchange.connected()
    frames(exchange)
    assert exchange.disconnected(unread=b"") == []
    exchange.connected(0.0)
    assert frames(exchange, 0.0) == ["bb"]
    assert frames(exchange, PROBATION + TURN) == ["a"]  # the other one was acquitted, and is not answered either
    ended = exchange.disconnected(now=PROBATION + TURN, unread=b"")
    assert [(type(event), event.request_id) for event in ended if not isinstance(event, Garbage)] == [
        (Unreadable, "a"),
        (Unreadable, "bb"),
    ]
    exchange.connected(10.0)
    assert frames(exchange, 10.0) == []


def test_of_what_was_given_up_the_newest_are_remembered(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordernpay.vendors.order_n_pay.exchange.REMEMBERED", 2)
    submit(exchange, "a", "b", "c")
    exchange.connected()
    frames(exchange)
    for one in ("a", "b", "c"):
        exchange.withdraw(one)
    heard = [exchange.receive(answer(one)) for one in ("a", "b", "c")]
    assert [event.repeated for event in heard if isinstance(event, Unmatched)] == [True, False, False]
