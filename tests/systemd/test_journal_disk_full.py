"""The disk of the journal is full: orders are refused and nothing is sent, all else goes on, and it recovers by itself."""

import contextlib
import os
import pwd
import re
import signal
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.systemd.kiosks import Ordering, account, done_at, heard_at, plan_fault, rows, start_ordering
from tests.systemd.machine import SERVICE, SOCKET, Ended, is_active, main_pid, run, show, start_as, systemctl, until
from tests.systemd.venue import STATE, Venue, call, order

pytestmark = pytest.mark.box

MIB: Final = 8
WATCHDOG: Final = 5
"""Seconds: less than the twenty of the unit as shipped, and more than a busy machine may hold a healthy daemon up."""
BALLAST: Final = STATE / "ballast"


@pytest.fixture
def small_disk(venue: Venue) -> Iterator[Venue]:
    """The venue with a journal on a small file system of its own, and an impatient watchdog."""
    venue.drop_in("watchdog", f"[Service]\nWatchdogSec={WATCHDOG}\n")
    systemctl("stop", SERVICE, SOCKET).done()
    user = pwd.getpwnam("ordernpay")
    options = f"size={MIB}m,mode=0700,uid={user.pw_uid},gid={user.pw_gid}"
    run("mount", "-t", "tmpfs", "-o", options, "small", str(STATE)).done()
    try:
        systemctl("start", SOCKET, SERVICE).done()
        venue.wait_for_sessions()
        yield venue
    finally:
        systemctl("stop", SERVICE, SOCKET)
        run("umount", str(STATE)).done()


def fill() -> None:
    with contextlib.suppress(OSError), BALLAST.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def status_text() -> str:
    return show(SERVICE, "StatusText")


def fed() -> float:
    """When the watchdog was last fed, in seconds since the boot."""
    return int(show(SERVICE, "WatchdogTimestampMonotonic")) / 1e6


def refused() -> Ended:
    """The first order that is refused: until the file system's last pages are used, some are taken."""

    def asked() -> Ended | None:
        ended = call("kiosk", "order.create", **one())
        return ended if ended.status else None

    ended = until(asked)
    assert ended is not None
    return ended


def one() -> dict[str, Any]:
    return order(f"full-{time.monotonic_ns()}", timeout=2)


def test_orders_are_refused_and_all_else_goes_on_until_there_is_room(small_disk: Venue) -> None:
    assert call("kiosk", "order.create", **one()).status == 0
    pid = main_pid()
    fill()
    refused()
    heard, done, full_since = heard_at("bar"), len(done_at("bar")), time.monotonic()
    error = call("kiosk", "order.create", **order("full-refused")).error
    assert (error["code"], error["data"]["kind"]) == (-32002, "overloaded")
    assert error["data"]["details"]["limit"] == "journal"
    assert error["data"]["retryable"] is True
    assert error["data"]["state"] is None
    assert (heard_at("bar"), len(done_at("bar"))) == (heard, done)

    told = call("kiosk", "daemon.status").json()
    assert "cannot be written" in told["journal"]["error"]
    assert call("kiosk", "order.list", session="bar").json()["result"]["orders"]
    assert call("root", "command.list").json()["commands"]
    until(lambda: status_text().startswith("ERROR: the journal cannot be written"))
    assert "5 of 5 sessions up" in status_text()
    until(lambda: fed() > full_since + 2 * WATCHDOG)
    assert (main_pid(), show(SERVICE, "NRestarts")) == (pid, "0")

    BALLAST.unlink()
    made = call("kiosk", "order.create", **order("full-refused")).json()
    assert made["state"] == "succeeded"
    assert [act["provider_order_id"] for act in done_at("bar")].count("full-refused") == 1
    until(lambda: status_text() == "5 of 5 sessions up")
    assert (main_pid(), show(SERVICE, "NRestarts")) == (pid, "0")


def test_killed_while_it_is_full_it_recovers_alone_as_soon_as_there_is_room(small_disk: Venue) -> None:
    ordering = start_ordering(120, sessions={"bar": 1})
    try:
        recover_alone(small_disk, ordering)
    finally:
        ordering.kill()


def recover_alone(venue: Venue, ordering: Ordering) -> None:
    before = ordering.done_before["bar"]
    until(lambda: len(done_at("bar")) > before + 10)
    fill()
    until(lambda: status_text().startswith("ERROR"))
    done = len(done_at("bar"))
    pid = main_pid()
    os.kill(pid, signal.SIGKILL)
    until(lambda: main_pid() not in {0, pid} and (is_active() or int(show(SERVICE, "NRestarts")) >= 2))
    print(f"full, and started: {show(SERVICE, 'ActiveState')} ({show(SERVICE, 'SubState')}), {status_text()}")
    assert is_active(SOCKET)
    assert len(done_at("bar")) <= done + 1
    BALLAST.unlink()
    until(is_active)
    told = ordering.told()
    print(told.text())
    account(told, venue)


def test_stopped_while_it_is_full_it_ends_cleanly_and_knows_the_outcome_once_there_is_room(small_disk: Venue) -> None:
    small_disk.configure(small_disk.tills.tables | {"daemon": {"drain_seconds": 2}})
    systemctl("restart", SERVICE).done()
    small_disk.wait_for_sessions()
    done = len(done_at("bar"))
    plan_fault("bar", "late", message_type=11, seconds=3)
    ordering = start_ordering(1, sessions={"bar": 1})
    try:
        until(lambda: len(done_at("bar")) > done)
        fill()
        refused()
        systemctl("stop", SOCKET, SERVICE, seconds=30).done()
        assert (show(SERVICE, "Result"), show(SERVICE, "ExecMainStatus")) == ("success", "0")
        BALLAST.unlink()
        systemctl("start", SOCKET).done()
        told = ordering.told()
    finally:
        ordering.kill()
    print(told.text())
    [row] = rows(told.name).values()
    assert row["state"] == "succeeded"
    assert [act["provider_order_id"] for act in done_at("bar")].count(f"{told.name}-0") == 1


def test_first_started_while_it_is_full_it_tries_until_there_is_room_and_no_kiosk_is_refused(small_disk: Venue) -> None:
    systemctl("stop", SERVICE).done()
    for file in STATE.iterdir():
        file.unlink()
    fill()
    assert systemctl("start", SERVICE).status == 1
    until(lambda: int(show(SERVICE, "NRestarts")) >= 2)
    until(lambda: re.match(r"cannot start: .*(full|No space)", status_text()))
    asking = start_as("kiosk", "ordernpay", "call", "daemon.status")
    assert is_active(SOCKET)
    BALLAST.unlink()
    out, err = asking.communicate(timeout=30)
    assert (asking.returncode, err) == (0, "")
    assert '"version"' in out
    until(is_active)
    small_disk.wait_for_sessions()
    assert call("kiosk", "order.create", **one()).json()["state"] == "succeeded"
