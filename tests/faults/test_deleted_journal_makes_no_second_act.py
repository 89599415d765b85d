"""A journal that was deleted or damaged: whatever is left of it, a key that comes again makes no second act at the POS.

A damaged file is kept aside with a loud error; what can be read of it goes on, and event numbers go on above those that
were given. A damaged record costs nothing but itself.
"""
# ruff: noqa: ASYNC240 - it polls with a deadline and looks at small files

import contextlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, daemon_process, session, tables

ORDER_ID: Final = "a60fba87-58ec-4b12-b71c-57572036c6bc"


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    daemon: DaemonProcess
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "state" / "journal.sqlite3"

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.daemon.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]


CALLS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "order.create": lambda: kiosk.create("create"),
    "order.update": lambda: kiosk.update(ORDER_ID, "update"),
    "payment.create": lambda: kiosk.pay(ORDER_ID, "pay"),
}


@contextlib.asynccontextmanager
async def after_some_orders(folder: Path) -> AsyncIterator[Venue]:
    """A daemon that has done one command of each kind and was then killed."""
    shop = Shop()
    shop.open_order(sales_transaction_id=ORDER_ID)
    async with simulator.serve(shop) as pos:
        config = tables(folder, {"bar": session(url=pos.url)})
        async with daemon_process(folder, config) as daemon:
            await kiosk.up(daemon.socket)
            for method, params in CALLS.items():
                await kiosk.insist(daemon.socket, method, params())
            assert len(shop.acts) == len(CALLS)
            await daemon.kill()
            yield Venue(shop, pos, daemon, folder)


async def no_second_act(venue: Venue) -> None:
    """Every key comes again and gets what the POS has done already."""
    await venue.daemon.kill()
    await venue.daemon.start()
    for number, (method, params) in enumerate(CALLS.items()):
        answer = await kiosk.insist(venue.daemon.socket, method, params())
        assert answer["state"] == "succeeded"
        told = answer["result"]["order"]["id"]
        assert told == venue.shop.acts[number].order_id
    assert len(venue.shop.acts) == len(CALLS)
    assert venue.shop.conflicts == 0


async def test_after_deleting_the_journal(artifacts: Path) -> None:
    async with after_some_orders(artifacts) as venue:
        shutil.rmtree(artifacts / "state")
        await no_second_act(venue)
        assert venue.shop.repeats == len(CALLS)
        assert len(await kiosk.rows(venue.daemon.socket)) == len(CALLS)


async def test_after_deleting_the_journal_while_a_command_is_under_way(artifacts: Path) -> None:
    async with after_some_orders(artifacts) as venue:
        venue.pos.faults.plan(simulator.Fault.SILENT)
        await venue.daemon.start()
        error = (await kiosk.ask(venue.daemon.socket, "order.create", kiosk.create("lost", timeout=0.3)))["error"]
        assert error["code"] == 1006
        await venue.daemon.kill()
        shutil.rmtree(artifacts / "state")
        await venue.daemon.start()
        answer = await kiosk.insist(venue.daemon.socket, "order.create", kiosk.create("lost"))
        assert answer["state"] == "succeeded"
        assert len(venue.shop.acts) == len(CALLS) + 1


def overwrite_header(file: Path) -> None:
    _write(file, 0, b"this is no database " * 5)


def zero_header(file: Path) -> None:
    _write(file, 0, bytes(4096))


def truncate_in_the_middle(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2 + 100)


def truncate_to_nothing(file: Path) -> None:
    os.truncate(file, 0)


def garbage_in_the_middle(file: Path) -> None:
    size = file.stat().st_size
    for place in range(4096, size, 4096):
        _write(file, place, os.urandom(2048))


def garbage_in_a_command(file: Path) -> None:
    """The pages still hang together; what stands in one of them cannot be read."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE commands SET state = 'sent', content = CAST(x'ff22fe' AS TEXT)")
        connection.commit()


def half_a_document(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE commands SET state = 'accepted', content = substr(content, 1, 20)")
        connection.commit()


def a_table_is_missing(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE vendor_ids")
        connection.commit()


def _write(file: Path, place: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(data)


def settle_wal(file: Path) -> None:
    """What was written stands in the main file, as after any clean stop."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert connection.execute("SELECT count(*) FROM commands").fetchone()[0] == len(CALLS)


@pytest.mark.parametrize(
    "damage",
    [
        overwrite_header,
        zero_header,
        truncate_in_the_middle,
        truncate_to_nothing,
        garbage_in_the_middle,
        a_table_is_missing,
    ],
)
async def test_a_damaged_journal_is_moved_aside_and_nothing_acts_twice(
    damage: Callable[[Path], None], artifacts: Path
) -> None:
    async with after_some_orders(artifacts) as venue:
        settle_wal(venue.file)
        with contextlib.closing(sqlite3.connect(venue.file)) as connection:
            [last] = connection.execute("SELECT max(seq) FROM events").fetchone()
            [before] = connection.execute("SELECT journal FROM identity").fetchone()
        assert last >= len(CALLS)
        damage(venue.file)
        wrecked = venue.file.read_bytes()
        await no_second_act(venue)

        [loud] = venue.logged("journal_damaged")
        assert loud["level"] == "error"
        aside = Path(loud["moved_to"])
        assert re.fullmatch(r"journal\.sqlite3\.damaged-\d{8}T\d{6}Z.*", aside.name)
        assert aside.read_bytes() == wrecked
        status = (await kiosk.ask(venue.daemon.socket, "daemon.status"))["result"]["journal"]
        assert status["moved_aside"] == str(aside)

        after = (await kiosk.ask(venue.daemon.socket, "event.list", {"since": last, "limit": 1000}))["result"]
        assert after["events"][-1]["seq"] == after["last_seq"] > last
        kept = (await kiosk.ask(venue.daemon.socket, "event.list", {"since": 0, "limit": 1000}))["result"]["events"]
        no_hole = [event["seq"] for event in kept][:last] == list(range(1, last + 1))
        assert (after["journal"] == before) == no_hole  # where an event is missing, who follows has to look

        await venue.daemon.kill()
        await venue.daemon.start()
        assert len(venue.logged("journal_damaged")) == 1
        assert len(await kiosk.rows(venue.daemon.socket)) == len(CALLS)


@pytest.mark.parametrize("damage", [garbage_in_a_command, half_a_document])
async def test_a_damaged_record_is_set_aside_and_acts_once_all_the_same(
    damage: Callable[[Path], None], artifacts: Path
) -> None:
    async with after_some_orders(artifacts) as venue:
        settle_wal(venue.file)
        damage(venue.file)
        await venue.daemon.start()
        assert venue.logged("journal_damaged") == []
        assert {row["state"] for row in await kiosk.rows(venue.daemon.socket)} == {"unknown"}
        status = (await kiosk.ask(venue.daemon.socket, "daemon.status"))["result"]["journal"]
        assert (status["damaged"]["count"], status["moved_aside"]) == (len(CALLS), None)
        await no_second_act(venue)


async def test_a_journal_that_is_damaged_twice_in_a_second_loses_neither_file(artifacts: Path) -> None:
    config = tables(artifacts, {})
    daemon = DaemonProcess(artifacts, config)
    state = artifacts / "state"
    state.mkdir()
    for number in range(3):
        (state / "journal.sqlite3").write_bytes(f"wreck {number}".encode() * 1000)
        for companion in ("-wal", "-shm"):
            (state / f"journal.sqlite3{companion}").unlink(missing_ok=True)
        await daemon.start()
        assert (await kiosk.ask(daemon.socket, "daemon.status"))["result"]["journal"]["moved_aside"]
        await daemon.kill()
    kept = {file.read_bytes()[:7] for file in state.glob("journal.sqlite3.damaged-*Z*") if "-wal" not in file.name}
    assert kept >= {b"wreck 0", b"wreck 1", b"wreck 2"}


async def test_a_journal_of_a_later_version_is_left_alone(artifacts: Path) -> None:
    config = tables(artifacts, {})
    async with daemon_process(artifacts, config) as daemon:
        await kiosk.ask(daemon.socket, "daemon.status")
        assert await daemon.terminate() == 0
        file = artifacts / "state" / "journal.sqlite3"
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA user_version = 99")
        await daemon.start(ready=False)
        assert await daemon.wait() == 1
        said = daemon.log.read_text().splitlines()[-1]
        assert "schema version 99" in said
        assert "Traceback" not in daemon.log.read_text()
        assert not list(file.parent.glob("*damaged*"))
