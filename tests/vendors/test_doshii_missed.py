"""Creates and payments without an outcome are looked for, also those of an earlier life; lists are read to their end."""

from typing import Any, Final

import pytest

from ordernpay.config import Inbound
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import Outcome
from ordernpay.vendors.doshii import lookups
from ordernpay.vendors.doshii.lookups import Listed, read_list
from ordernpay.vendors.doshii.session import DoshiiSession
from ordernpay.vendors.http import Answered, Result
from ordernpay.vendors.protocol import Undecided
from tests.support.wait import until
from tests.vendors.given import HandClock, Journal, Script, Try, command, doshii, serving
from tests.vendors.test_doshii_creates import CAKE, NOW, TEA, answered, create, listed, order, pay

OTHER: Final = {"reference": "R1", "id": "t-1", "amount": "350", "status": "pending"}


def session(journal: Journal, *results: Result, clock: HandClock | None = None) -> tuple[DoshiiSession, Script]:
    opened = DoshiiSession("cafe", doshii(reconcile_seconds=0.05), Inbound(), journal, clock or HandClock())
    http = opened._line.http = Script(*results)
    return opened, http


def held(given: Any, state: Any = "unknown", at: float = NOW) -> Undecided:
    return Undecided(given, state, at, sent=True)


def settled(journal: Journal) -> list[tuple[str, Outcome]]:
    """Whose outcome was told, by key, and which."""
    told = [report.settlement for report in journal.reports if report.settlement is not None]
    assert {one.name for one in told} <= {"key"}
    return [(one.value, one.outcome(create())) for one in told]


@pytest.mark.parametrize(("given", "found"), [(create(), order("91", TEA)), (pay(), OTHER)], ids=["order", "payment"])
@pytest.mark.parametrize("state", ["unknown", "failed"])
async def test_what_an_earlier_life_left_is_looked_for_at_once(given: Any, found: JsonObject, state: str) -> None:
    journal = Journal(held=[held(given, state)])
    opened, http = session(journal, listed(given, found))
    await opened._missed._look()
    assert [key for key, _ in settled(journal)] == ["key-1"]
    assert http.results == []


async def test_what_is_under_way_or_makes_nothing_is_not_looked_for() -> None:
    cancel = command("order.cancel", {"order_id": "7", "reason": "x"})
    journal = Journal(held=[held(create(), "sent"), held(create(), "accepted"), held(cancel)])
    opened, http = session(journal)
    await opened._missed._look()
    assert (http.asked, journal.reports) == ([], [])


async def test_it_is_looked_for_again_and_again_and_more_seldom_with_time() -> None:
    clock, journal = HandClock(), Journal(held=[held(create())])
    opened, http = session(journal, *[listed(create())] * 20, clock=clock)
    looks = []
    for seconds in (0, 30, 30, 30, 3_600, 30, 30, 600, 86_400):
        clock.monotonic += seconds
        await opened._missed._look()
        looks.append(len(http.asked))
    assert looks == [1, 2, 3, 4, 5, 5, 5, 6, 6]
    journal.held = []
    await opened._missed._look()
    assert opened._missed._looks == {}


async def test_two_of_an_earlier_life_are_not_taken_for_each_other() -> None:
    one, two = create(), create(CAKE, idempotency_key="key-2")
    same = create(idempotency_key="key-3")
    journal = Journal(held=[held(one), held(two)], ids={f"key-{n}": {"external_ref": "R1"} for n in (1, 2, 3)})
    found = listed(one, order("92", CAKE), order("91", TEA))
    await session(journal, found, found)[0]._missed._look()
    assert [(key, outcome.vendor_ids) for key, outcome in settled(journal)] == [
        ("key-1", {"order_id": "91"}),
        ("key-2", {"order_id": "92"}),
    ]
    journal.reports.clear()
    journal.held = [held(one), held(same)]
    await session(journal, found, found)[0]._missed._look()
    assert settled(journal) == []


async def test_an_acceptance_by_a_clock_that_was_ahead_hides_nothing() -> None:
    journal = Journal(held=[held(create(), at=NOW + 40 * 86_400)])
    await session(journal, listed(create(), order("91", TEA)))[0]._missed._look()
    assert [key for key, _ in settled(journal)] == ["key-1"]


async def test_a_journal_that_cannot_be_read_is_asked_again_later() -> None:
    journal = Journal(held=[held(create())], full=True)
    opened, http = session(journal, listed(create(), order("91", TEA)))
    async with serving(opened._missed.look_now_and_then):
        await until(lambda: opened._missed._hurry._event.statistics().tasks_waiting == 1)
        assert http.asked == []
        journal.full = False
        await until(lambda: settled(journal))


# Lists


class Pages:
    """A list that is asked for page by page."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [answered(answer) for answer in answers]
        self.paths: list[str] = []

    async def __call__(self, path: str, shown: Any) -> Answered | Outcome:
        self.paths.append(path)
        answer = self.answers.pop(0)
        assert shown(answer)
        return answer


def rows(first: int, count: int) -> list[JsonObject]:
    return [{"id": str(number)} for number in range(first, first + count)]


PAGES: Final[dict[str, tuple[list[Any], int]]] = {
    "nothing": ([{"count": 0, "rows": []}], 0),
    "one that is not full": ([{"count": 2, "rows": rows(0, 2)}], 2),
    "as many as there are": ([{"count": "130", "rows": rows(0, 100)}, {"count": "130", "rows": rows(100, 30)}], 130),
    "smaller ones than asked for": ([{"count": 5, "limit": "2", "rows": rows(n, min(2, 5 - n))} for n in (0, 2, 4)], 5),
    "a count of the page": ([{"count": 100, "rows": rows(0, 100)}, {"count": 3, "rows": rows(100, 3)}], 103),
    "a count of the page, and no more": ([{"count": 100, "rows": rows(0, 100)}, {"count": 0, "rows": []}], 100),
    "no count": ([{"rows": rows(0, 100)}, {"rows": rows(100, 3)}, {"rows": []}], 103),
    "one that came meanwhile": ([{"count": 4, "limit": 2, "rows": rows(1, 2)}, {"count": 5, "limit": 2, "rows": rows(2, 2)}, {"count": 5, "rows": rows(4, 1)}], 4),
    "one that went meanwhile": ([{"count": 5, "limit": 2, "rows": rows(0, 2)}, {"count": 4, "limit": 2, "rows": rows(3, 1)}, {"count": 4, "limit": 2, "rows": rows(2, 2)}], 4),
}  # fmt: skip


@pytest.mark.parametrize(("answers", "count"), PAGES.values(), ids=PAGES.keys())
async def test_a_list_is_read_to_its_end(answers: list[Any], count: int) -> None:
    pages = Pages(*answers)
    found = await read_list(pages, "orders")
    assert isinstance(found, Listed)
    assert (len(found.rows), found.more, pages.answers) == (count, False, [])


@pytest.mark.parametrize(("count", "more"), [(500, True), (100, False), (None, False)])
async def test_a_list_whose_further_pages_cannot_be_reached_says_so(count: int | None, *, more: bool) -> None:
    found = await read_list(Pages(*[{"count": count, "rows": rows(0, 100)}] * 2), "orders")
    assert isinstance(found, Listed)
    assert (len(found.rows), found.more) == (100, more)


async def test_a_bare_array_has_one_page() -> None:
    pages = Pages(rows(0, 150))
    found = await read_list(pages, "orders/7/transactions", bare=True)
    assert isinstance(found, Listed)
    assert (len(found.rows), found.more, pages.paths) == (150, False, ["orders/7/transactions"])


@pytest.mark.parametrize("bound", ["MOST_PAGES", "MOST_BYTES"])
async def test_a_list_beyond_its_bound_says_that_there_is_more(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOST_BYTES", 1 if bound == "MOST_BYTES" else 10**9)
    pages = Pages(*[{"count": 900, "rows": rows(100 * n, 100)} for n in range(9)])
    found = await read_list(pages, "orders", most=2 if bound == "MOST_PAGES" else 9)
    assert isinstance(found, Listed)
    assert (len(found.rows), found.more) == (200 if bound == "MOST_PAGES" else 100, True)


async def test_a_listing_tells_that_there_is_more() -> None:
    given = command("order.list", {})
    pages = [answered({"count": 9_000, "rows": rows(100 * n, 100)}) for n in range(lookups.MOST_PAGES)]
    opened, http = session(Journal(), *pages)
    outcome = await opened.perform(given, opened.prepare(given), Try(1_060.0))
    assert outcome.result is not None
    assert outcome.result["more"] is True
    assert http.results == []
