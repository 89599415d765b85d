"""A subscriber that resumes after its last number sees every event exactly once, through kills and restarts.

One that never reads is cut off and harms nobody; one that asks for what is no more is told of the gap.
"""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ordernpay.client import follow
from ordernpay.jsontext import JsonObject
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from ordernpay.vendors.protocol import Report
from tests.support import kiosk
from tests.support.daemons import daemon_inside, daemon_process, session, tables
from tests.support.wait import until

KILLS = 6
ORDERS = 120


@pytest.mark.slow
async def test_through_kills_and_restarts_every_number_comes_once(artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url, reconnect_max=0.1)})
        async with daemon_process(artifacts, config) as daemon:
            seen: dict[str, list[int]] = {"bare": [], "client": [], "settled": []}
            async with asyncio.TaskGroup() as tasks:
                followers = [
                    tasks.create_task(follow_bare(daemon.socket, seen["bare"])),
                    tasks.create_task(follow_client(daemon.socket, seen["client"], None)),
                    tasks.create_task(follow_client(daemon.socket, seen["settled"], ["command.settled"])),
                ]
                orders = tasks.create_task(order_many(daemon.socket))
                for number in range(KILLS):
                    await until(lambda number=number: len(shop.acts) > (number + 1) * ORDERS // (KILLS + 2), 30)  # type: ignore[misc]
                    if number % 3 == 2:
                        assert await daemon.terminate() == 0
                    else:
                        await daemon.kill()
                    await daemon.start()
                await orders
                last = (await kiosk.ask(daemon.socket, "event.list"))["result"]["last_seq"]
                await until(lambda: seen["bare"][-1:] == [last] == seen["client"][-1:], 10)
                for follower in followers:
                    follower.cancel()
            assert seen["bare"] == list(range(1, last + 1))
            assert seen["client"] == seen["bare"]
            listed = await every_event(daemon.socket)
            assert [event["seq"] for event in listed] == seen["bare"]
            assert seen["settled"] == [event["seq"] for event in listed if event["kind"] == "command.settled"]
            settled = [event["data"] for event in listed if event["kind"] == "command.settled"]
            done = [
                one["idempotency_key"] for one in settled if one["state"] == "succeeded"
            ]  # unknown ones settle twice
            assert len(done) == len(set(done)) == len(shop.acts) == ORDERS


async def order_many(path: str) -> None:
    keys = iter([f"order-{number}" for number in range(ORDERS)])

    async def some() -> None:
        for key in keys:
            await kiosk.insist(path, "order.create", kiosk.create(key, timeout=5))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(some())


async def follow_bare(path: str, seen: list[int]) -> None:
    """With socket and JSON alone: subscribe after the last number, as often as it takes."""
    while True:
        with contextlib.suppress(kiosk.Gone, OSError, TimeoutError):
            async with kiosk.kiosk(path) as one:
                answer = await one.result("event.subscribe", {"since": seen[-1] if seen else 0})
                assert answer["gap"] is False
                heard = list(one.heard)
                while True:
                    message = heard.pop(0) if heard else await one.hear(60)
                    if message.get("method") == "event":
                        seen.append(message["params"]["event"]["seq"])
        await asyncio.sleep(0.02)


async def follow_client(path: str, seen: list[int], kinds: list[str] | None) -> None:
    async with contextlib.aclosing(follow(path, since=0, kinds=kinds)) as events:
        async for event in events:
            number = event["seq"]
            assert isinstance(number, int)
            seen.append(number)


async def every_event(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with kiosk.kiosk(path) as one:
        while page := (await one.result("event.list", {"since": found[-1]["seq"] if found else 0, "limit": 1000}))[
            "events"
        ]:
            found += page
    return found


@pytest.mark.slow
async def test_one_that_never_reads_is_cut_off_and_harms_nobody(artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url)})
        config["rpc"] |= {"stall_seconds": 4.0, "max_event_backlog": 50}
        path = config["rpc"]["socket"]
        async with daemon_inside(config) as daemon, kiosk.kiosk(path) as reader:
            await kiosk.up(path)
            await reader.result("event.subscribe", {"since": 0})
            _, deaf = await asyncio.open_unix_connection(path, limit=1)
            line = b'{"jsonrpc":"2.0","id":%d,"method":"event.subscribe","params":{"since":0}}\n'
            for number in range(16):
                deaf.write(line % number)
            slowest = 0.0
            number = 0
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(30):
                while not daemon.server.stats.cut_off:
                    began = loop.time()
                    answer = await kiosk.ask(path, "order.create", kiosk.create(f"order-{number}"))
                    assert answer["result"]["state"] == "succeeded"
                    slowest = max(slowest, loop.time() - began)
                    number += 1
            assert slowest < 4.0  # nobody waits for the deaf one
            assert daemon.server.stats.cut_off == 1
            seen: list[int] = []
            while seen[-1:] != [daemon.events.last_seq]:
                message = await reader.hear()
                seen.append(message["params"]["event"]["seq"])
            assert seen == list(range(1, seen[-1] + 1))
            deaf.close()


async def test_a_slow_one_is_told_why_and_resumes_after_what_it_has(artifacts: Path) -> None:
    config = tables(artifacts, {})
    config["rpc"] |= {"max_event_backlog": 300}
    path = config["rpc"]["socket"]
    filler: JsonObject = {"filler": "x" * 20_000}
    async with daemon_inside(config) as daemon:
        reader, writer = await asyncio.open_unix_connection(path)
        slow = kiosk.Kiosk(reader, writer)
        await slow.result("event.subscribe", {"since": 0})
        for _ in range(7):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(100):
                    tasks.create_task(daemon.journal.publish("bar", [Report("vendor.event", filler)], None, 0.0))
        last = daemon.events.last_seq
        received = await reader.read()  # first of all: it has but a moment for that
        messages: list[Any] = [json.loads(line) for line in received.splitlines()]
        seen: list[int] = [message["params"]["event"]["seq"] for message in messages[:-1]]
        message = messages[-1]
        assert message["method"] == "closed"
        assert (message["params"]["reason"], message["params"]["subscription"]) == ("slow", 1)
        assert seen[-1] < message["params"]["last_seq"] <= last
        assert 0 < len(seen) < last
        writer.close()
        async with kiosk.kiosk(path) as fast:
            await fast.result("event.subscribe", {"since": seen[-1]})
            while seen[-1] != last:
                seen.append((await fast.hear())["params"]["event"]["seq"])
        assert seen == list(range(1, last + 1))


async def test_a_gap_is_flagged_where_events_are_no_more_or_not_yet(artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url)})
        async with daemon_process(artifacts, config) as daemon:
            await kiosk.up(daemon.socket)
            for number in range(5):
                await kiosk.insist(daemon.socket, "order.create", kiosk.create(f"order-{number}"))
            assert await daemon.terminate() == 0
            file = artifacts / "state" / "journal.sqlite3"
            with contextlib.closing(sqlite3.connect(file)) as connection:
                connection.execute("DELETE FROM events WHERE seq <= 3")  # as pruning does, which waits for its time
                connection.commit()
            await daemon.start()
            async with kiosk.kiosk(daemon.socket) as one:
                assert (await one.result("event.list"))["first_seq"] == 4
                for since, gap in ((0, True), (2, True), (3, False), (4, False)):
                    answer = await one.result("event.subscribe", {"since": since})
                    assert answer["gap"] is gap, since
                ahead = await one.result("event.subscribe", {"since": 10**9})
                assert ahead["gap"] is True
                while True:
                    params = (one.heard.pop(0) if one.heard else await one.hear())["params"]
                    if params["subscription"] == ahead["subscription"]:
                        break
                assert params["event"]["seq"] == 4  # the oldest that is kept


async def test_numbers_are_never_given_twice_even_when_all_events_are_gone(artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url)})
        async with daemon_process(artifacts, config) as daemon:
            await kiosk.insist(daemon.socket, "order.create", kiosk.create("one"))
            assert await daemon.terminate() == 0
            last = 0
            with contextlib.closing(sqlite3.connect(artifacts / "state" / "journal.sqlite3")) as connection:
                [last] = connection.execute("SELECT max(seq) FROM events").fetchone()
                connection.execute("DELETE FROM events")
                connection.commit()
            await daemon.start()
            await kiosk.insist(daemon.socket, "order.create", kiosk.create("two"))
            listed = await every_event(daemon.socket)
            assert listed
            assert min(event["seq"] for event in listed) > last


async def test_twenty_subscribers_see_the_same_each_with_its_own_choice(artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url), "terrace": session(url=pos.url)})
        path = config["rpc"]["socket"]
        async with daemon_inside(config) as daemon, contextlib.AsyncExitStack() as stack:
            await kiosk.up(path, "bar")
            await kiosk.up(path, "terrace")
            followers = [await stack.enter_async_context(kiosk.kiosk(path)) for _ in range(20)]
            for number, follower in enumerate(followers):
                await follower.result(
                    "event.subscribe",
                    {"since": 0, "sessions": ["bar", "terrace"][number % 2 :][:1], "kinds": ["command.settled"]},
                )
            for number in range(10):
                of = ("bar", "terrace")[number % 2]
                await kiosk.ask(path, "order.create", kiosk.create(f"order-{number}", session=of))
            for number, follower in enumerate(followers):
                seen = [(await follower.hear())["params"]["event"] for _ in range(5)]
                assert {event["session"] for event in seen} == {("bar", "terrace")[number % 2]}
                assert [event["data"]["idempotency_key"] for event in seen] == [
                    f"order-{other}" for other in range(number % 2, 10, 2)
                ]
            assert daemon.server.stats.cut_off == 0
