"""The writer thread: many operations share a flush, each is all or nothing, and a full disk harms none that was told done."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ordernpay import patience
from ordernpay.journal import CommandMoved, Event, InvalidTransition, Journal, JournalUnavailable, Verdict, store
from ordernpay.journal.writer import Writer
from ordernpay.outcomes import succeeded, unknown
from ordernpay.vendors.protocol import Report, Settlement
from tests.support.fakes import WALL, HandClock, new_command
from tests.support.wait import until


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Journal]:
    journal = Journal(directory)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


async def raw(journal: Journal, operation: Any) -> Any:
    return await journal._writer.do(operation, lambda _: None)


class Gate:
    """Holds the writer thread inside an operation, so that what comes meanwhile waits in the queue."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.open = threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self.inside.set()
        assert self.open.wait(10)


async def held(journal: Journal) -> tuple[Gate, "asyncio.Task[Any]"]:
    gate = Gate()
    task = asyncio.create_task(raw(journal, gate))
    await until(gate.inside.is_set)
    return gate, task


async def test_what_waits_shares_one_flush(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        gate, first = await held(journal)
        waiting = [asyncio.create_task(journal.accept(new_command())) for _ in range(200)]
        await asyncio.sleep(0)
        before = journal.flushes.batches
        gate.open.set()
        await first
        rows = await asyncio.gather(*waiting)
        assert all(written for _, written in rows)
        assert journal.flushes.batches - before == 2  # the held one, and one for all that waited
        assert journal.flushes.operations >= 201
        assert journal.flushes.broken is None


async def test_concurrent_operations_take_far_fewer_flushes_than_there_are(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:

        async def one() -> None:
            row, _ = await journal.accept(new_command())
            await journal.mark_sent(row.command_id, WALL)
            await journal.settle(row.command_id, succeeded({}), WALL)

        await asyncio.gather(*(one() for _ in range(100)))
        assert (await journal.figures()).states == {"succeeded": 100}
        assert journal.flushes.batches < 100
        assert journal.flushes.operations == 300


async def test_what_one_operation_refuses_is_undone_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        row, _ = await journal.accept(new_command())

        def half(db: sqlite3.Connection) -> None:
            store.accept(db, new_command(idempotency_key="half"))
            raise ValueError("on second thoughts")

        gate, first = await held(journal)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(journal.accept(new_command(idempotency_key="before"))),
            asyncio.create_task(raw(journal, half)),
            asyncio.create_task(journal.settle(row.command_id, unknown("?"), WALL)),  # accepted: not to be settled so
            asyncio.create_task(journal.accept(new_command(idempotency_key="after"))),
        ]
        await asyncio.sleep(0)
        gate.open.set()
        await first
        before, refused, impossible, after = await asyncio.gather(*tasks, return_exceptions=True)
        assert not isinstance(before, BaseException)
        assert not isinstance(after, BaseException)
        assert isinstance(refused, ValueError)
        assert isinstance(impossible, InvalidTransition)
        keys = {row.idempotency_key for row in await journal.open_commands()}
        assert {"before", "after"} <= keys
        assert "half" not in keys


async def test_a_full_disk_refuses_writes_and_not_reads_and_ends_when_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        kept, _ = await journal.accept(new_command())
        pages = await raw(journal, lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await raw(journal, lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone()[0])
        big = {"lines": [{"note": "x" * 200}] * 200, "reference": "r"}
        with pytest.raises(JournalUnavailable, match="the journal cannot be written: database or disk is full"):
            await journal.accept(new_command(order=big, idempotency_key="big"))
        assert "disk is full" in str(journal.flushes.broken)
        assert [row.command_id for row in await journal.open_commands()] == [kept.command_id]
        await raw(journal, lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone()[0])
        assert str(journal.flushes.broken) == "None"
        assert (await journal.accept(new_command(order=big, idempotency_key="big")))[1]


async def test_all_of_a_batch_are_told_when_the_disk_refused_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        pages = await raw(journal, lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await raw(journal, lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone()[0])
        gate, first = await held(journal)
        big = {"lines": [{"note": "x" * 200}] * 200, "reference": "r"}
        tasks = [asyncio.create_task(journal.accept(new_command(order=big))) for _ in range(3)]
        await asyncio.sleep(0)
        gate.open.set()
        await first
        for told in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(told, JournalUnavailable)
        assert await journal.open_commands() == []


async def test_an_event_is_announced_once_it_is_durable_even_if_its_caller_went_away(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        announced: list[Event] = []

        def announce(event: Event) -> None:
            with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as other:
                assert other.execute("SELECT count(*) FROM events WHERE seq = ?", (event.seq,)).fetchone()[0] == 1
            announced.append(event)

        journal.announce = announce
        gate, first = await held(journal)
        gone = asyncio.create_task(journal.publish("bar", [Report("session.up")], None, WALL))
        await asyncio.sleep(0)
        gone.cancel()
        gate.open.set()
        await first
        row, _ = await journal.accept(new_command())
        await journal.mark_sent(row.command_id, WALL)
        await journal.settle(row.command_id, unknown("?"), WALL)
        late = Settlement("request_id", row.vendor_ids["request_id"], lambda _: succeeded({}))
        found = await journal.match("bar", late, WALL)
        assert found is not None
        verdict = Verdict(found, succeeded({}))
        told = await journal.publish("bar", [Report(settlement=late)], None, WALL, verdicts=[verdict])
        assert [settled.command_id for settled in told or []] == [row.command_id]
        with pytest.raises(CommandMoved):
            await journal.publish("bar", [Report(settlement=late)], None, WALL, verdicts=[verdict])
        assert await journal.match("bar", late, WALL) is None
        assert [(event.seq, event.kind) for event in announced] == [
            (1, "session.up"),
            (2, "command.settled"),
            (3, "command.settled"),
        ]


async def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    await journal.open()
    gate, first = await held(journal)
    task = asyncio.create_task(journal.accept(new_command(idempotency_key="last")))
    await asyncio.sleep(0)
    gate.open.set()
    await journal.close()
    await first
    assert (await task)[1]
    async with opened(tmp_path) as again:
        assert [row.idempotency_key for row in await again.open_commands()] == ["last"]


async def test_other_reads_and_writes_come_back_as_objects(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        row, _ = await journal.accept(new_command())
        await journal.remember(row.command_id, {"uid": "7"})
        found = await journal.get(row.command_id)
        assert found is not None
        assert found.vendor_ids["uid"] == "7"
        assert await journal.list_commands(None, None, None, 5) == [found]
        assert await journal.event_bounds() == (1, 0)
        assert await journal.events_after(0, 5) == []
        assert await journal.prune(1.0) == 0


async def test_flushes_are_timed(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        seen: list[float] = []
        journal.flushes.observe = seen.append
        await journal.accept(new_command())
        assert seen == [journal.flushes.last]
        assert 0 < journal.flushes.last <= journal.flushes.longest <= journal.flushes.total


def test_results_for_a_loop_that_is_closed_harm_nobody(tmp_path: Path) -> None:
    writer = Writer(tmp_path, HandClock(), lambda _: None, lambda: lambda _: None)
    done = threading.Event()
    gate = Gate()

    async def leave() -> None:
        await writer.start()
        loop = asyncio.get_running_loop()
        loop.create_task(writer.do(gate, lambda _: None))  # noqa: RUF006 - left behind on purpose
        await until(gate.inside.is_set)

    asyncio.run(leave())
    gate.open.set()

    async def stop() -> None:
        await writer.stop()
        done.set()

    asyncio.run(stop())
    assert done.is_set()


async def test_the_watchdog_hears_of_a_writer_inside_one_flush_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOOK_EVERY", 0.05)
    async with opened(tmp_path) as journal:
        assert await patience.comes_round(journal) is None
        gate, first = await held(journal)
        await until(lambda: journal.flushes.under_way() > 0.1)
        assert await patience.comes_round(journal) is None
        monkeypatch.setattr("ordernpay.journal.SLOW", 0.05)
        assert "slow" in str(journal.trouble)
        monkeypatch.setattr(patience, "FLUSH_MOST", 0.1)
        assert "one flush" in str(await patience.comes_round(journal))
        gate.open.set()
        await first
        assert (journal.trouble, await patience.comes_round(journal)) == (None, None)


def names_in(directory: Path) -> list[str]:
    return sorted(one.name for one in directory.iterdir())


async def test_a_copy_of_a_damaged_file_goes_with_the_rest(tmp_path: Path) -> None:
    copy = tmp_path / "journal.sqlite3.damaged-20270115T080000Z"
    for companion in ("", "-wal"):
        copy.with_name(copy.name + companion).write_bytes(b"damaged")
    clock = HandClock()
    journal = Journal(tmp_path, clock)
    await journal.open()
    assert copy.name in (await journal.figures()).newest_damaged[0]
    clock.stepped = 40 * 86_400.0
    assert await journal.prune(30 * 86_400) == 0
    clock.forward(31 * 86_400)
    while await journal.prune(30 * 86_400):
        pass
    await journal.close()
    assert names_in(tmp_path) == ["journal.lock", "journal.sqlite3"]


async def test_a_journal_that_turns_out_to_be_damaged_is_salvaged_while_it_is_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        kept, _ = await journal.accept(new_command(idempotency_key="kept"))

        def corrupt(_: sqlite3.Connection) -> None:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = 11
            raise error

        file = tmp_path / "journal.sqlite3"
        with pytest.raises(JournalUnavailable):
            await raw(journal, corrupt)
        await until(lambda: journal.flushes.broken is None)
        found = await journal.find("bar", "kept")
        assert found is not None
        assert (found.command_id, file.exists()) == (kept.command_id, True)
