"""Each figure that the daemon keeps, as Prometheus is told it."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from ordernpay import __version__
from ordernpay.events import Events
from ordernpay.gateway import Gateway
from ordernpay.inbound import WEBHOOK_RESULTS
from ordernpay.journal import Journal
from ordernpay.metrics import Exposition, Metrics
from ordernpay.outcomes import Failure, ended, succeeded, unknown
from ordernpay.rpc.server import Stats
from ordernpay.vendors.protocol import Door, HttpAnswer, HttpRequest, Report
from tests.metrics.exposition import Page, read
from tests.support.fakes import WALL, HandClock, ScriptedSession, command, new_command
from tests.support.wait import until


@define(eq=False)
class Bench:
    """What the daemon keeps, and its page."""

    journal: Journal
    clock: HandClock
    gateway: Gateway
    events: Events
    exposition: Exposition

    async def page(self) -> Page:
        return read(await self.exposition.text())

    async def unknown(self, session: str, age: float) -> None:
        """A command of which nobody knows how it ended, accepted so long ago."""
        row, _ = await self.journal.accept(new_command(session=session, accepted_at=self.clock.wall() - age))
        await self.journal.mark_sent(row.command_id, WALL)
        await self.journal.settle(row.command_id, unknown("?"), WALL)


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Bench]:
    journal, clock = Journal(tmp_path), HandClock()
    await journal.open()
    gateway, events = Gateway(journal, clock), Events(journal)
    await events.start()
    gateway.sessions = {"bar": ScriptedSession(), "terrace": ScriptedSession("terrace", state="refused")}
    stats = Stats(now=2, total=9, cut_off=1, refused=3)
    metrics = Metrics(gateway, journal, events, lambda: stats, lambda: 7)
    yield Bench(journal, clock, gateway, events, Exposition(metrics))
    await journal.close()


async def test_lines_that_were_held_back_are_counted(it: Bench) -> None:
    assert (await it.page()).value("log_lines_held_back_total") == 7


async def test_the_version_is_told(it: Bench) -> None:
    assert (await it.page()).value("build_info", version=__version__) == 1


async def test_sessions_by_their_state(it: Bench) -> None:
    page = await it.page()
    assert page.all("sessions", "state") == {"connecting": 0, "up": 1, "down": 0, "refused": 1}
    assert page.value("session_state", session="bar", state="up") == 1
    assert page.value("session_state", session="bar", state="down") == 0
    assert page.value("session_state", session="terrace", state="refused") == 1
    assert page.value("session_events_total", session="bar", event="connections") == 1


@pytest.mark.parametrize(("connections", "reconnects"), [(0, 0), (1, 0), (4, 3)])
async def test_a_first_connection_is_no_reconnect(
    it: Bench, monkeypatch: pytest.MonkeyPatch, connections: int, reconnects: int
) -> None:
    status = it.gateway.sessions["bar"].status()
    status.counters["connections"] = connections
    monkeypatch.setattr(ScriptedSession, "status", lambda _: status)
    assert (await it.page()).value("session_reconnects_total", session="bar") == reconnects


async def test_the_end_of_a_certificate_is_told_where_one_was_seen(it: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = it.gateway.sessions["bar"].status()
    shown = evolve(plain, certificate_expires=WALL)
    monkeypatch.setattr(ScriptedSession, "status", lambda self: shown if self.name == "bar" else plain)
    assert (await it.page()).all("certificate_expires_timestamp_seconds", "session") == {"bar": WALL}


async def test_commands_by_how_they_ended_and_what_each_stage_took(it: Bench) -> None:
    counts = it.gateway.counts
    counts.ended(command(), succeeded({}), {"whole": 0.02, "journal": 0.002, "wire": 0.017}, "c-1")
    counts.ended(command(), ended(Failure("rejected", "no")), {"whole": 0.2, "journal": 0.1}, "c-2")
    with counts.flying("bar"):
        page = await it.page()
    assert page.value("commands_total", session="bar", method="order.create", outcome="succeeded") == 1
    assert page.value("commands_total", session="bar", method="order.create", outcome="rejected") == 1
    assert page.all("in_flight", "session") == {"bar": 1, "terrace": 0}
    assert page.value("command_seconds_count", method="order.create") == 2
    assert page.value("command_seconds_sum", method="order.create") == pytest.approx(0.22)
    assert page.value("command_seconds_bucket", method="order.create", le="0.025") == 1
    assert page.value("stage_seconds_count", method="order.create", stage="journal") == 2
    assert page.value("stage_seconds_sum", method="order.create", stage="journal") == pytest.approx(0.102)
    assert page.value("stage_seconds_bucket", method="order.create", stage="journal", le="0.0025") == 1
    assert page.value("stage_seconds_count", method="order.create", stage="wire") == 1
    assert page.value("stage_seconds_sum", method="order.create", stage="wire") == pytest.approx(0.017)


async def test_the_journals_figures(it: Bench) -> None:
    await it.journal.accept(new_command())
    page = await it.page()
    assert page.all("journal_commands", "state") == {"accepted": 1}
    assert page.value("journal_bytes") >= 4096
    assert page.value("journal_writable") == 1
    assert page.value("journal_waiting") == 0
    assert page.value("journal_flushes_total") == 1
    assert page.value("journal_operations_total") == 1
    assert page.value("journal_flush_seconds_count") == 1
    disk = os.statvfs(it.journal._directory)
    assert page.value("disk_free_bytes") == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)


async def test_what_waits_for_the_writer_is_told(it: Bench) -> None:
    held, free = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        held.set()
        free.wait()

    writes: list[asyncio.Task[Any]] = [asyncio.create_task(it.journal._write(hold))]
    try:
        await until(held.is_set)
        writes += [asyncio.create_task(it.journal.accept(new_command())) for _ in range(3)]
        await asyncio.sleep(0)  # each has asked by then
        assert (await it.page()).value("journal_waiting") == 3
    finally:
        free.set()
        await asyncio.gather(*writes)
    assert (await it.page()).value("journal_waiting") == 0


async def test_unknown_commands_by_session_and_the_age_of_the_oldest(it: Bench) -> None:
    page = await it.page()
    assert page.all("unknown_commands", "session") == {"bar": 0, "terrace": 0}
    assert page.all("oldest_unknown_age_seconds", "session") == {"bar": 0, "terrace": 0}
    await it.unknown("bar", 700)
    await it.unknown("bar", 60)
    await it.unknown("gone", 5)  # no longer configured, and still nobody knows
    page = await it.page()
    assert page.all("unknown_commands", "session") == {"bar": 2, "terrace": 0, "gone": 1}
    assert page.all("oldest_unknown_age_seconds", "session") == {"bar": 700, "terrace": 0, "gone": 5}
    it.clock.stepped -= 10_000
    assert (await it.page()).value("oldest_unknown_age_seconds", session="bar") == 0


async def test_a_journal_that_cannot_be_written_shows(it: Bench) -> None:
    it.journal.flushes.broken = "disk full"
    assert (await it.page()).value("journal_writable") == 0


async def test_a_journal_that_cannot_be_read_silences_its_own_figures_alone(
    it: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(_: sqlite3.Connection) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    await it.page()
    monkeypatch.setattr("ordernpay.journal.lookups.figures", torn)
    page = await it.page()
    assert page.value("sessions", state="up") == 1
    assert not {"ordernpay_journal_bytes", "ordernpay_unknown_commands"} & set(page.labels())


async def test_events_by_kind(it: Bench) -> None:
    publish = it.gateway.publisher("bar")
    await publish([Report("stock.updated"), Report("stock.updated"), Report("order.updated")])
    assert (await it.page()).all("events_total", "kind") == {"stock.updated": 2, "order.updated": 1}


async def test_webhooks_by_what_became_of_them_from_nought_on(it: Bench) -> None:
    async def handle(_: HttpRequest) -> HttpAnswer:
        return HttpAnswer(200)

    offered = (Door("/auth", handle, HttpAnswer(401)),), (Door("/hook", handle, HttpAnswer(401), webhook=True),)
    it.gateway.sessions = {
        name: ScriptedSession(name, offered=doors) for name, doors in zip(("bar", "terrace"), offered, strict=True)
    }
    it.gateway.counts.notified("terrace", "repeat")
    it.gateway.counts.notified("gone", "refused")
    page = await it.page()
    told = page.all("webhooks_total", "session")
    assert set(told) == {"terrace", "gone"}
    for result in WEBHOOK_RESULTS:
        assert page.value("webhooks_total", session="terrace", result=result) == (result == "repeat")
    assert page.value("webhooks_total", session="gone", result="refused") == 1


async def test_local_clients(it: Bench) -> None:
    page = await it.page()
    assert page.value("clients") == 2
    assert page.value("clients_connected_total") == 9
    assert page.value("clients_cut_off_total") == 1
    assert page.value("clients_refused_total") == 3


def test_two_daemons_in_one_process_do_not_share_a_registry(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(tmp_path)
        Exposition(Metrics(Gateway(journal, HandClock()), journal, Events(journal), Stats, lambda: 0))
