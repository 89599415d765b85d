"""Lines that repeat are held back and counted; the line of a command never is."""

import logging
from typing import Any

import pytest
import structlog
from attrs import define

from ordernpay import logs
from ordernpay.repeats import MOST_KINDS, MOST_PATHS, Repeats


@define
class Hand:
    at: float = 0.0

    def __call__(self) -> float:
        return self.at


def let_through(repeats: Repeats, **event: Any) -> bool:
    try:
        repeats(None, "", {"level": "info", "event": "session_changed", "session": "bar", "state": "down"} | event)
    except structlog.DropEvent:
        return False
    return True


def test_the_first_are_written_the_rest_counted_and_the_count_told_once_the_time_is_over() -> None:
    clock = Hand()
    repeats = Repeats(clock, burst=3, window=60.0)
    assert [let_through(repeats) for _ in range(10)] == [True] * 3 + [False] * 7
    clock.at = 59.9
    assert list(repeats.due()) == []
    clock.at = 60.0
    assert list(repeats.due()) == [
        {"level": "info", "count": 7, "seconds": 60, "what": "session_changed", "session": "bar", "state": "down"}
    ]
    assert let_through(repeats)
    assert list(repeats.due()) == []
    assert repeats.total == 7


@pytest.mark.parametrize(
    "other", [{"session": "cafe"}, {"state": "up"}, {"event": "message_ignored"}, {"level": "error"}]
)
def test_another_session_state_event_or_level_is_no_repeat(other: dict[str, str]) -> None:
    repeats = Repeats(Hand(), burst=1)
    assert let_through(repeats)
    assert not let_through(repeats, reason="another reason is a repeat")
    assert let_through(repeats, **other)


def test_commands_and_answers_to_an_operator_are_always_written() -> None:
    repeats = Repeats(Hand(), burst=1)
    assert all(let_through(repeats, event="command_ended") for _ in range(1_000))
    assert all(let_through(repeats, event="reload_refused") for _ in range(10))


def test_the_end_tells_all_and_memory_is_bounded() -> None:
    repeats = Repeats(Hand(), burst=1)
    for number in range(MOST_KINDS + 10):
        let_through(repeats, session=f"s{number}")
        let_through(repeats, session=f"s{number}")
    assert not let_through(repeats, session="one more")
    assert len(list(repeats.due(everything=True))) == MOST_KINDS + 1


def test_a_flood_in_which_each_line_has_another_path_is_held_back_all_the_same() -> None:
    repeats = Repeats(Hand(), burst=2)
    for _ in range(2):
        written = sum(let_through(repeats, event="request_refused", path=f"/{number}" * 99) for number in range(5_000))
        assert written <= MOST_PATHS + 2
        assert len(list(repeats.due(everything=True))) <= MOST_PATHS + 1
    assert let_through(repeats, event="request_refused", path="/again")


def test_a_librarys_repeats_are_held_back_and_nothing_comes_of_it_in_the_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        structlog.reset_defaults()
        logs.configure(colours=False)
        for _ in range(20):
            logging.getLogger("uvicorn.error").warning("Invalid HTTP request %s.", "received")
        assert capsys.readouterr().err.count("Invalid HTTP request received.") == 5
        logs.tell_held_back(everything=True)
        told = capsys.readouterr().err
        assert '"what": "Invalid HTTP request %s."' in told
        assert '"count": 15' in told
    finally:
        logs.tell_held_back(everything=True)
        structlog.reset_defaults()
        root.handlers, root.level = handlers, level


def test_a_daemons_log_holds_them_back(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        structlog.reset_defaults()
        logs.configure(colours=False)
        for _ in range(20):
            structlog.get_logger("x").warning("message_ignored", session="bar", reason="no JSON")
        assert capsys.readouterr().err.count("message_ignored") == 5
        logs.tell_held_back(everything=True)
        told = capsys.readouterr().err
        assert '"event": "repeats_held_back"' in told
        assert '"count": 15' in told
        assert '"level": "warning"' in told
        logs.configure(level="debug", colours=False)
        for _ in range(20):
            structlog.get_logger("x").warning("message_ignored", session="bar", reason="no JSON")
        assert capsys.readouterr().err.count("message_ignored") == 20
    finally:
        logs.tell_held_back(everything=True)
        structlog.reset_defaults()
