"""The exchange, line by line: the two tables at the top of `exchange.py`, without a socket and without a clock."""

import json
from typing import Any

import pytest

from ordernpay.vendors.order_n_pay.exchange import (
    MESSAGE_TOO_BIG,
    Answered,
    Event,
    Exchange,
    Expired,
    Garbage,
    TooBig,
    Unmatched,
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
    assert frames(exchange) == ["a"]
    assert isinstance(exchange.receive(answer("a")), Answered)
    assert frames(exchange) == ["big"]
    assert exchange.disconnected(MESSAGE_TOO_BIG) == [TooBig("big")]
    exchange.connected()
    assert frames(exchange) == ["c"]
    assert isinstance(exchange.receive(answer("c")), Answered)
    submit(exchange, "e")
    assert frames(exchange) == ["d", "e"]  # no suspect is left: side by side again


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
