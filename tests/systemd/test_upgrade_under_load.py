"""Upgraded at noon: twenty orders a second go on while releases change, and none is lost, doubled or refused."""

import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.systemd.kiosks import EVERYWHERE, KNOWS_REPEATS, account, done_at, start_ordering
from tests.systemd.machine import cursor, is_active, journal, main_pid, systemctl, until
from tests.systemd.venue import ROOT, Venue, install, release

pytestmark = [pytest.mark.box, pytest.mark.figures]

RATE: Final = 20
SECONDS: Final = 60
LONGEST_LOAD: Final = 180
"""Seconds after which the orders end, however long the upgrades take on a machine with much else to do."""
LONGEST_CALL: Final = 15.0
LONGEST_CONNECT: Final = 2.0


def broken_tree(place: Path) -> Path:
    """A release whose check is content, and which does not start."""
    for part in ("ordernpay", "systemd"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, place)
    daemon = place / "ordernpay" / "daemon.py"
    text = daemon.read_text(encoding="utf-8")
    assert text.count("    async def _run(") == 1
    daemon.write_text(text.replace("    async def _run(", "    async def _run_not("), encoding="utf-8")
    return place


@pytest.mark.timeout(500)
def test_two_upgrades_and_one_that_fails_cost_no_order(venue: Venue, tmp_path: Path) -> None:
    broken = broken_tree(tmp_path / "broken")
    since, running = cursor(), [(main_pid(), release())]
    ordering = start_ordering(RATE * SECONDS, rate=RATE, kiosks=6, at_most=RATE * LONGEST_LOAD)
    try:
        for _ in range(2):
            install("--upgrade").done()
            running.append((main_pid(), release()))
        done = len(done_at("bar"))
        failing = install("--upgrade", tree=broken)
        assert failing.status == 1, failing
        assert f"BACK ON {running[-1][1]}, which runs" in failing.err
        assert release() == running[-1][1]
        assert is_active()
        until(lambda: len(done_at("bar")) > done + RATE)
        assert ordering.process.poll() is None, "the load was to outlast the upgrades"
        ordering.is_enough()
        told = ordering.told(120)
    finally:
        ordering.kill()
    figures = f"{RATE} orders a second for {SECONDS} s or more: {told.text()}"
    print(figures)
    assert len({pid for pid, _ in running}) == len({name for _, name in running}) == 3
    ended = account(told, venue)
    assert sum(counter.total() for counter in ended.values()) == len(told.orders) >= RATE * SECONDS
    assert set(ended) == set(EVERYWHERE)
    assert all(set(ended[session]) == {"succeeded"} for session in KNOWS_REPEATS)
    assert told.longest_wait < LONGEST_CALL, figures
    assert told.longest_connect < LONGEST_CONNECT, figures
    said = "\n".join(str(line["MESSAGE"]) for line in journal(since=since))
    assert "Watchdog timeout" not in said
    assert systemctl("is-failed", "ordernpay.socket").status != 0
