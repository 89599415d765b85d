"""The socket is systemd's: whoever connects while there is no daemon waits for the next one, and is never refused."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.systemd.machine import (
    SERVICE,
    SOCKET,
    cursor,
    is_active,
    journal,
    main_pid,
    show,
    start_as,
    systemctl,
    until,
)
from tests.systemd.venue import CONFIG, Venue, call

pytestmark = pytest.mark.box

PATH = Path("/run/ordernpay/ordernpay.sock")
ASK = b'{"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}\n'


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connected(stack: ExitStack) -> socket.socket:
    """A connection that has asked already."""
    sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    sock.settimeout(30)
    sock.connect(str(PATH))
    sock.sendall(ASK)
    return sock


def test_a_connect_starts_the_service(venue: Venue) -> None:
    systemctl("stop", SERVICE).done()
    assert (main_pid(), is_active(SOCKET)) == (0, True)
    assert call("kiosk", "daemon.status").json()["version"]
    assert is_active(SERVICE)


def test_a_connect_waits_while_the_service_restarts(venue: Venue, stack: ExitStack) -> None:
    before, go = (main_pid(), PATH.stat().st_ino), Path("/run/ordernpay-may-go-on")
    venue.drop_in("held", f"[Service]\nExecStartPre=/bin/sh -c 'until [ -e {go} ]; do sleep 0.1; done'\n")
    systemctl("restart", "--no-block", SERVICE).done()
    until(lambda: show(SERVICE, "SubState") == "start-pre")
    asking = [start_as("kiosk", "ordernpay", "call", "daemon.status") for _ in range(3)]
    waiting = connected(stack)
    assert show(SERVICE, "SubState") == "start-pre"
    go.touch()
    assert waiting.recv(1) == b"{"
    for process in asking:
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert '"version"' in out
    assert main_pid() != before[0]
    assert PATH.stat().st_ino == before[1]
    go.unlink()


def test_connects_wait_for_as_long_as_the_service_cannot_start(venue: Venue, stack: ExitStack) -> None:
    good = CONFIG.read_text()
    CONFIG.write_text("[sessions\n")
    assert systemctl("restart", SERVICE).status == 1
    waiting = [connected(stack) for _ in range(40)]
    restarts = int(show(SERVICE, "NRestarts"))
    until(lambda: int(show(SERVICE, "NRestarts")) >= restarts + 2)
    waiting += [connected(stack) for _ in range(40)]
    assert is_active(SOCKET)
    CONFIG.write_text(good)
    for sock in waiting:
        assert sock.recv(1) == b"{"


def test_a_service_that_fails_over_and_over_does_not_close_its_socket(venue: Venue, stack: ExitStack) -> None:
    """By default a socket that starts its service twenty times in two seconds refuses everybody from then on."""
    before = cursor()
    venue.drop_in("broken", "[Service]\nRestart=no\nExecStartPre=/bin/false\n")
    systemctl("stop", SERVICE).done()
    waiting = connected(stack)
    until(lambda: sum("Failed with result" in str(line["MESSAGE"]) for line in journal(since=before)) > 40, 60)
    assert is_active(SOCKET)
    venue.take_drop_ins_out()
    assert waiting.recv(1) == b"{"


def test_a_machine_that_boots_has_both(venue: Venue) -> None:
    assert [systemctl("is-enabled", unit).out for unit in (SERVICE, SOCKET)] == ["enabled\n", "enabled\n"]
