"""A session's state: since when, how often it was lost, what is told of it, and parts that break."""

import asyncio
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from ordernpay.vendors import health as module
from ordernpay.vendors.health import STEADY, SessionHealth
from ordernpay.vendors.protocol import Report
from tests.support.wait import until
from tests.vendors.given import HandClock


class Venue:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.reports: list[Report] = []
        self.health = SessionHealth(self.clock, self.reports.append, structlog.get_logger("health"))

    def forward(self, seconds: float) -> None:
        self.clock.monotonic += seconds
        self.clock.time += seconds


def test_down_since_is_not_moved_by_the_tries_in_between() -> None:
    venue = Venue()
    venue.health.change("up")
    venue.forward(10)
    venue.health.change("down", "cut")
    lost = venue.clock.time
    for state in ("connecting", "down", "connecting", "refused", "connecting", "down"):
        venue.forward(10)
        venue.health.change(state, "again")
    assert (venue.health.since, venue.health.last_error) == (lost, "again")


def test_flips_are_counted_from_the_first_loss_until_it_is_steady_again() -> None:
    venue = Venue()
    venue.health.change("up")
    assert (venue.health.flips, venue.health.unsteady_since) == (0, None)
    venue.forward(STEADY)
    first = venue.clock.time
    for _ in range(5):
        venue.health.change("down", "cut")
        venue.forward(20)
        venue.health.change("up")
        venue.forward(20)
    assert (venue.health.flips, venue.health.unsteady_since) == (5, first)
    venue.forward(STEADY)
    assert (venue.health.flips, venue.health.unsteady_since) == (0, None)
    venue.health.change("down", "cut")
    assert (venue.health.flips, venue.health.unsteady_since) == (1, venue.clock.time)


def test_a_session_down_or_refused_is_a_warning_once_a_change_and_its_tries_are_not_logged() -> None:
    venue = Venue()
    with capture_logs() as lines:
        for state in ("down", "connecting", "down", "connecting", "up", "down", "connecting", "down", "refused", "up"):
            venue.health.change(state, None if state == "up" else "cut")
    assert [(line["log_level"], line["state"]) for line in lines] == [
        ("warning", "down"),
        ("info", "up"),
        ("warning", "down"),
        ("warning", "refused"),
        ("info", "up"),
    ]
    assert [report.kind for report in venue.reports] == [
        "session.up",
        "session.down",
        "session.down",
        "session.up",
    ]


def test_of_one_that_is_retired_nothing_is_told() -> None:
    venue = Venue()
    venue.health.retired = True
    with capture_logs() as lines:
        venue.health.change("up")
        venue.health.change("down", "closed")
    assert (venue.reports, lines) == ([], [])


async def test_a_part_that_breaks_is_counted_and_run_again_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BREAK_LOW", 0.001)
    venue, runs, pauses = Venue(), [], []
    sleep: Any = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("ordernpay.vendors.health.anyio.sleep", note)

    async def part() -> None:
        runs.append(1)
        if len(runs) < 12:
            raise ExceptionGroup("inside", [ValueError("what no rule foresaw")])
        await asyncio.Event().wait()

    with capture_logs() as lines:
        running = asyncio.create_task(venue.health.keep_running(part, "probe"))
        await until(lambda: len(runs) == 12)
        running.cancel()
    assert venue.health.breaks == 11
    assert [(line["event"], line["part"]) for line in lines] == [("session_broke", "probe")] * 11
    assert max(pauses[6:]) > max(pauses[:3])
