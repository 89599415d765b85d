"""However the daemon dies, systemd starts it again, and every order that was under way ends as promised."""

import os
import signal
import time

import pytest

from tests.systemd import memory
from tests.systemd.kiosks import KNOWS_REPEATS, Ordering, account, done_at, lines_of, plan_fault, start_ordering
from tests.systemd.machine import SERVICE, cursor, is_active, journal, main_pid, show, systemctl, until
from tests.systemd.venue import ROOT, Venue

pytestmark = [pytest.mark.box, pytest.mark.figures]

WATCHDOG = 4
"""Seconds, in place of the twenty of the unit as shipped."""
TIMEOUT = 10
"""Seconds of each call; what Doshii may or may not have got is looked for so long."""
SLACK = 8
"""Seconds that a machine with much else to do may take besides."""


def told_by_systemd(since: str) -> str:
    return "\n".join(str(line["MESSAGE"]) for line in journal(since=since) if line.get("_PID") == "1")


def died_and_came_back(pid: int, seconds: float) -> None:
    until(lambda: main_pid() not in {0, pid} and is_active(), seconds)
    assert int(show(SERVICE, "NRestarts")) >= 1


def orders_under_way(count: int) -> Ordering:
    """Kiosks that order, with orders at every vendor that were made and are not answered."""
    for session in ("bar", "terrace"):
        plan_fault(session, "silent", message_type=11)
    plan_fault("courier", "silent", path="remoteorders/add")
    plan_fault("hotel", "silent", path="/SubmitCalculatedOnlineOrder")
    plan_fault("cafe", "silent", path="/orders", method="POST")
    ordering = start_ordering(count, timeout=TIMEOUT)
    until(lambda: all(len(done_at(session)) > done for session, done in ordering.done_before.items()))
    return ordering


def test_the_unit_as_shipped_has_a_watchdog_and_is_always_restarted(venue: Venue) -> None:
    assert show(SERVICE, "WatchdogUSec") == "20s"
    assert show(SERVICE, "Restart") == "always"
    assert show(SERVICE, "StartLimitIntervalUSec") == "0"
    assert "WatchdogSec=20\n" in (ROOT / "systemd" / SERVICE).read_text()


def test_one_that_hangs_is_ended_by_the_watchdog_and_says_where_it_hung(venue: Venue) -> None:
    venue.drop_in("watchdog", f"[Service]\nWatchdogSec={WATCHDOG}\n")
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    since, pid = cursor(), main_pid()
    ordering = orders_under_way(60)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    died_and_came_back(pid, WATCHDOG + SLACK)
    took = time.monotonic() - began
    told = ordering.told()
    print(f"SIGSTOP to ready again: {took:.1f} s with WatchdogSec={WATCHDOG}; {told.text()}")
    ended = account(told, venue)
    assert told.lost >= 1
    assert {state for session in KNOWS_REPEATS for state in ended[session]} == {"succeeded"}
    assert ended["hotel"]["unknown"] >= 1
    said = told_by_systemd(since)
    assert f"Watchdog timeout (limit {WATCHDOG}s)!" in said
    assert "Failed with result 'watchdog'" in said
    assert any("Fatal Python error: Aborted" in str(line["MESSAGE"]) for line in journal(since=since))


def test_one_that_is_killed_under_load_is_back_and_has_lost_and_doubled_nothing(venue: Venue) -> None:
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    since, pid = cursor(), main_pid()
    ordering = orders_under_way(80)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    died_and_came_back(pid, SLACK)
    took = time.monotonic() - began
    again = main_pid()
    until(lambda: len(done_at("bar")) > ordering.done_before["bar"] + 30)
    os.kill(again, signal.SIGKILL)
    until(lambda: main_pid() not in {0, again} and is_active())
    told = ordering.told()
    print(f"SIGKILL to ready again: {took:.1f} s; {told.text()}")
    account(told, venue)
    assert told.lost >= 2
    assert "code=killed, status=9/KILL" in told_by_systemd(since)
    started = until(lambda: len(told := lines_of(since, "daemon_started")) >= 2 and told)
    assert isinstance(started, list)
    assert int(started[-1]["ORDERNPAY_LEFT_OPEN"]) >= 0


def test_one_that_the_kernel_ends_for_want_of_memory_is_back_and_has_lost_and_doubled_nothing(
    venue: Venue,
) -> None:
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    since, pid = cursor(), main_pid()
    ordering = orders_under_way(80)
    with memory.scarce_for(pid) as kills:
        memory.ask_for_much()
        until(lambda: main_pid() != pid, SLACK)
        until(lambda: kills() >= 1)
    died_and_came_back(pid, SLACK)
    told = ordering.told()
    print(told.text())
    account(told, venue)
    said = told_by_systemd(since)
    assert "code=killed, status=9/KILL" in said
    assert memory.TOLD in said
