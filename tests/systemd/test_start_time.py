"""How long a start takes, by systemd's own clock: from the first process to `READY=1`. For a moment with nothing else to do."""

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.bench.test_start import ROWS, START_MOST, fill
from tests.systemd.machine import SERVICE, SOCKET, run, show, systemctl
from tests.systemd.venue import JOURNAL, STATE, Venue

pytestmark = [pytest.mark.box, pytest.mark.bench]

TIMES: Final = 3
MOST: Final = 1.0


def seconds_to_ready() -> float:
    systemctl("stop", SERVICE).done()
    systemctl("start", SERVICE).done()
    began, ready = (
        int(show(SERVICE, name)) for name in ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    )
    return (ready - began) / 1e6


def measured(what: str) -> float:
    took = [seconds_to_ready() for _ in range(TIMES)]
    median = statistics.median(took)
    print(
        f"start to READY {what}: {', '.join(f'{one:.2f}' for one in took)} s, median {median:.2f} s (load {os.getloadavg()[0]:.1f})"
    )
    return median


def test_a_start_takes_less_than_a_second(venue: Venue) -> None:
    assert measured("with all sessions") < MOST


@pytest.fixture
def busy_month(venue: Venue, tmp_path: Path) -> Iterator[None]:
    """A journal of a hundred thousand orders in place of the venue's own."""
    fill(tmp_path, time.time())
    systemctl("stop", SERVICE, SOCKET).done()
    aside = STATE.with_name("ordernpay.aside")
    shutil.move(STATE, aside)
    try:
        STATE.mkdir(0o700)
        shutil.copy(tmp_path / JOURNAL.name, JOURNAL)
        run("chown", "-R", "ordernpay:ordernpay-daemon", str(STATE)).done()
        systemctl("start", SOCKET).done()
        yield
    finally:
        systemctl("stop", SERVICE, SOCKET)
        shutil.rmtree(STATE)
        shutil.move(aside, STATE)


@pytest.mark.usefixtures("busy_month")
def test_a_start_with_a_hundred_thousand_orders_takes_less_than_three_seconds() -> None:
    size = JOURNAL.stat().st_size / 2**20
    assert measured(f"with {ROWS} orders and their events, {size:.0f} MiB") < START_MOST
    told = run("ordernpay", "call", "daemon.status").json()
    assert told["journal"]["commands"]["succeeded"] == ROWS, told["journal"]
