"""Events to subscribers: every one, in order, without a gap and without a repeat, whether kept or new."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ordernpay import events as module
from ordernpay.events import Events, FellBehind, Selection
from ordernpay.journal import Event, Journal
from ordernpay.vendors.protocol import Report
from tests.support.fakes import WALL
from tests.support.wait import until

ALL = Selection()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    one = Journal(tmp_path)
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def events(journal: Journal) -> Events:
    one = Events(journal)
    await one.start()
    return one


async def add(journal: Journal, count: int, session: str = "bar", kind: str = "session.up") -> None:
    for _ in range(count):
        await journal.publish(session, [Report(kind)], None, WALL)


class Subscriber:
    def __init__(self, events: Events, since: int, selection: Selection = ALL, backlog: int = 1_000_000) -> None:
        self.got: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.task = asyncio.create_task(self._follow(events.follow(since, selection, backlog)))

    async def _follow(self, stream: AsyncIterator[Event]) -> None:
        async for event in stream:
            self.got.append(event.seq)
            await self.gate.wait()

    async def has(self, *seqs: int) -> None:
        await until(lambda: self.got == list(seqs))

    async def end(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def test_first_what_is_kept_then_what_happens(journal: Journal, events: Events) -> None:
    await add(journal, 3)
    one = Subscriber(events, 1)
    await one.has(2, 3)
    await add(journal, 2)
    await one.has(2, 3, 4, 5)
    await one.end()
    assert (events.last_seq, events.published) == (5, {("bar", "session.up"): 5})


async def test_a_daemon_that_starts_again_goes_on_with_the_numbers(journal: Journal, events: Events) -> None:
    await add(journal, 3)
    again = Events(journal)
    await again.start()
    assert again.last_seq == 3
    one = Subscriber(again, 0)
    await one.has(1, 2, 3)
    await add(journal, 1)
    await one.has(1, 2, 3, 4)
    await one.end()


async def test_neither_gap_nor_repeat_between_journal_and_memory(
    journal: Journal, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_IN_MEMORY", 5)
    monkeypatch.setattr(module, "PAGE", 2)
    small = Events(journal)
    await small.start()
    await add(journal, 12)
    subscribers = [Subscriber(small, since) for since in range(12)]
    adding = asyncio.create_task(add(journal, 20))
    for since, one in enumerate(subscribers):
        await one.has(*range(since + 1, 33))
        await one.end()
    await adding


async def test_events_of_any_size_are_given_and_those_in_memory_have_a_bound(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_SIZE", 2_000)
    monkeypatch.setattr(module, "PAGE_SIZE", 1_000)
    small = Events(journal)
    await small.start()
    sizes = [10, 900, 900, 5_000, 10, 1_500, 900, 5_000]
    caught_up = Subscriber(small, 0)
    for size in sizes:
        await journal.publish("bar", [Report("vendor.event", vendor="x" * size)], None, WALL)
        assert sum(event.size for event in small._recent) <= 2_000
    assert len(await journal.events_after(0, 99, size=1_000)) == 3
    from_the_start = Subscriber(small, 0)
    for one in (caught_up, from_the_start):
        await one.has(*range(1, 9))
        await one.end()


async def test_events_that_come_while_it_reads_are_not_missed(journal: Journal, events: Events) -> None:
    one = Subscriber(events, 0)
    await asyncio.gather(*(add(journal, 10) for _ in range(10)))
    await one.has(*range(1, 101))
    await one.end()


@pytest.mark.parametrize(
    ("selection", "got"),
    [
        (Selection(), [1, 2, 3, 4]),
        (Selection(sessions=frozenset({"bar"})), [1, 3]),
        (Selection(kinds=frozenset({"session.down"})), [3, 4]),
        (Selection(frozenset({"bar"}), frozenset({"session.down"})), [3]),
        (Selection(sessions=frozenset()), []),
    ],
)
async def test_only_what_is_wanted_is_given(
    journal: Journal, events: Events, selection: Selection, got: list[int]
) -> None:
    await add(journal, 1, "bar", "session.up")
    await add(journal, 1, "terrace", "session.up")
    await add(journal, 1, "bar", "session.down")
    await add(journal, 1, "terrace", "session.down")
    one, all_of_them = Subscriber(events, 0, selection), Subscriber(events, 0)
    await all_of_them.has(1, 2, 3, 4)
    await one.has(*got)
    await one.end()
    await all_of_them.end()


async def test_who_falls_too_far_behind_is_cut_off_and_can_go_on_where_it_was(journal: Journal, events: Events) -> None:
    slow, quick = Subscriber(events, 0, backlog=5), Subscriber(events, 0, backlog=5)
    await add(journal, 1)
    await slow.has(1)
    slow.gate.clear()
    for _ in range(10):
        await add(journal, 1)
        await until(lambda: len(quick.got) == events.last_seq)
    slow.gate.set()
    with pytest.raises(FellBehind):
        await slow.task
    again = Subscriber(events, slow.got[-1])
    await again.has(*range(slow.got[-1] + 1, 12))
    await again.end()
    await quick.end()


async def test_who_begins_far_back_is_not_cut_off_for_it(journal: Journal, events: Events) -> None:
    await add(journal, 30)
    one = Subscriber(events, 0, backlog=5)
    await one.has(*range(1, 31))
    await one.end()


async def test_of_all_who_catch_up_one_goes_on_at_a_time(events: Events) -> None:
    turns = 0

    async def catch_up() -> None:
        nonlocal turns
        while True:
            await events.next_turn()
            turns += 1

    tasks = [asyncio.create_task(catch_up()) for _ in range(20)]
    for _ in range(100):  # what everybody else does meanwhile, step by step
        await asyncio.sleep(0)
    assert 20 < turns <= 110
    for task in tasks:
        task.cancel()


async def test_an_event_is_written_once_for_all_subscribers_and_kept_within_a_bound(
    journal: Journal, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []

    def write(value: object) -> str:
        written.append(value)
        return "x" * 600

    monkeypatch.setattr(module, "dumps", write)
    monkeypatch.setattr(module, "KEPT_SIZE", 1_000)
    await add(journal, 2)
    first, second = await journal.events_after(0, 9)
    for event in (first, first, second, second):
        assert await events.text_of(event) == "x" * 600
    assert len(written) == 2
    await events.text_of(first)
    assert len(written) == 3
