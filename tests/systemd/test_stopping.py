"""`systemctl stop`: what is under way may end, the rest waits in the journal for the next start, and it is a clean end."""

import json
import subprocess
import time
from typing import Any, Final

import pytest

from tests.systemd.kiosks import ORDERS, done_at, line_of, plan_fault
from tests.systemd.machine import SERVICE, Ended, cursor, show, start_as, systemctl, until
from tests.systemd.venue import Venue, call

pytestmark = [pytest.mark.box, pytest.mark.figures]

DRAIN: Final = 3
CLOSING: Final = 8
"""Seconds for what follows the drain, on a machine with much else to do."""


def begin(session: str) -> "subprocess.Popen[str]":
    """An order of a kiosk, once the vendor has made it."""
    done = len(done_at(session))
    params = {"session": session, "idempotency_key": f"stop-{session}", "order": order_of(session)}
    process = start_as("kiosk", "ordernpay", "call", "order.create", "--json", json.dumps(params))
    until(lambda: len(done_at(session)) > done)
    return process


def order_of(session: str) -> dict[str, Any]:
    return ORDERS[session] | {"reference": f"stop-{session}"}


def ended(process: "subprocess.Popen[str]") -> Ended:
    out, err = process.communicate(timeout=30)
    return Ended((), process.returncode, out, err)


def state(command_id: str) -> str:
    row: dict[str, str] = call("kiosk", "command.get", command_id=command_id).json()
    return row["state"]


def test_the_unit_as_shipped_gives_more_time_than_a_stop_may_take(venue: Venue) -> None:
    assert show(SERVICE, "TimeoutStopUSec") == "45s"
    assert venue.tills.tables.get("daemon", {}).get("drain_seconds", 20) == 20


def test_what_is_under_way_ends_or_waits_in_the_journal_and_the_exit_is_clean(venue: Venue) -> None:
    venue.configure(venue.tills.tables | {"daemon": {"drain_seconds": DRAIN}})
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    since = cursor()
    plan_fault("bar", "late", message_type=11, seconds=1.5)
    plan_fault("terrace", "silent", message_type=11)
    plan_fault("hotel", "silent", path="/SubmitCalculatedOnlineOrder")
    terrace, hotel, bar = begin("terrace"), begin("hotel"), begin("bar")
    began = time.monotonic()
    systemctl("stop", "--no-block", SERVICE).done()
    until(lambda: show(SERVICE, "StatusText") == "stopping", DRAIN)
    assert show(SERVICE, "ActiveState") == "deactivating"

    assert ended(bar).json()["state"] == "succeeded"
    ids = {}
    for name, process in (("terrace", terrace), ("hotel", hotel)):
        error = ended(process).error
        assert (error["code"], error["data"]["kind"], error["data"]["retryable"]) == (-32006, "shutting_down", True)
        ids[name] = error["data"]["command_id"]
    until(lambda: show(SERVICE, "ActiveState") == "inactive")
    took = time.monotonic() - began
    print(f"a stop with orders under way: {took:.1f} s, of which it may drain {DRAIN}")
    assert DRAIN - 0.5 < took < DRAIN + CLOSING
    assert [show(SERVICE, name) for name in ("Result", "ExecMainCode", "ExecMainStatus")] == ["success", "1", "0"]
    assert line_of(since, "daemon_stopped")["ORDERNPAY_LEFT_TO_NEXT_START"] == "2"

    systemctl("start", SERVICE).done()
    assert line_of(since, "daemon_started")["ORDERNPAY_LEFT_OPEN"] == "2"
    until(lambda: state(ids["terrace"]) == "succeeded")
    until(lambda: state(ids["hotel"]) == "unknown")
    for name in ("bar", "terrace"):
        assert [act["provider_order_id"] for act in done_at(name)].count(f"stop-{name}") == 1


def test_one_with_nothing_to_do_stops_at_once(venue: Venue) -> None:
    began = time.monotonic()
    systemctl("stop", SERVICE).done()
    took = time.monotonic() - began
    print(f"a stop with nothing under way: {took:.1f} s")
    assert took < CLOSING
    assert show(SERVICE, "Result") == "success"
