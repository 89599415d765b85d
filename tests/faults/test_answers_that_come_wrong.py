"""Whatever a POS answers, each command ends rightly or as `unknown`, acts once, and the others do not notice."""
# ruff: noqa: ASYNC109, ASYNC110, FBT001 - it polls with a deadline, and its parameters are pytest's

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from ordernpay.daemon import Daemon
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import AUTH_PATH, Fault
from ordernpay.simulator.shop import CREATE_ORDER, GET_OPEN_ORDERS, Shop
from tests.support import kiosk
from tests.support.daemons import daemon_inside, session, tables
from tests.support.venues import free_port, inbound, listening
from tests.support.wait import until


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    daemon: Daemon
    path: str

    @property
    def counters(self) -> dict[str, int]:
        return self.daemon.gateway.sessions["bar"].status().counters


@contextlib.asynccontextmanager
async def venue(folder: Path, **changes: Any) -> AsyncIterator[Venue]:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(folder, {"bar": session(url=pos.url, **changes)})
        async with daemon_inside(config) as daemon:
            path = config["rpc"]["socket"]
            await kiosk.up(path)
            yield Venue(shop, pos, daemon, path)


@pytest.mark.parametrize(
    "fault",
    [Fault.TWICE, Fault.FOR_SOMEONE_ELSE, Fault.FOREIGN_MESSAGE_TYPE, Fault.UNKNOWN_FIELDS, Fault.DROP_AFTER],
)
async def test_harmless_oddities_succeed_with_the_whole_order(fault: Fault, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(fault)
        answer = await kiosk.ask(bar.path, "order.create", kiosk.create("odd"))
        plain = await kiosk.ask(bar.path, "order.create", kiosk.create("plain"))
        odd_order, plain_order = answer["result"]["result"]["order"], plain["result"]["result"]["order"]
        assert odd_order["total"] == plain_order["total"] == "4.50"
        assert odd_order["id"] == bar.shop.acts[0].order_id
        assert odd_order["lines"][0]["name"] == "Soup"
        assert len(bar.shop.acts) == 2
        row = await kiosk.row_of(bar.path, "odd")
        assert row["vendor"] == answer["result"]["vendor"]


@pytest.mark.parametrize("fault", [Fault.TWICE, Fault.FOR_SOMEONE_ELSE])
async def test_an_answer_that_nobody_asked_for_is_counted_and_changes_nothing(fault: Fault, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(fault)
        await kiosk.ask(bar.path, "order.create", kiosk.create("odd"))
        await until(lambda: bar.counters["unmatched_answers"] == 1)
        assert bar.counters["late_answers"] == 0
        [row] = await kiosk.rows(bar.path)
        assert row["state"] == "succeeded"
        settled = (await kiosk.ask(bar.path, "event.list", {"kinds": ["command.settled"]}))["result"]["events"]
        assert len(settled) == 1


@pytest.mark.parametrize("fault", [Fault.PAYLOAD_NULL, Fault.PAYLOAD_NULLS])
async def test_success_without_an_order_is_not_told_as_one(fault: Fault, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(fault, count=2)
        error = (await kiosk.ask(bar.path, "order.create", kiosk.create("nulls")))["error"]
        assert (error["data"]["state"], error["data"]["vendor_code"]) == ("unknown", 0)
        listed = await kiosk.ask(bar.path, "order.list")
        assert listed["error"]["data"]["kind"] == "vendor_unavailable"  # not: no orders are open
        again = await kiosk.ask(bar.path, "order.create", kiosk.create("nulls"))
        assert again["result"]["state"] == "succeeded"
        assert len(bar.shop.acts) == 1


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.SILENT, Fault.DEAF])
async def test_no_answer_in_time_is_unknown_and_the_key_finds_out(fault: Fault, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(fault)
        lost = asyncio.create_task(kiosk.ask(bar.path, "order.create", kiosk.create("lost", timeout=0.4)))
        await until(lambda: bar.shop.requests)
        other = await kiosk.ask(bar.path, "order.create", kiosk.create("other"))
        assert other["result"]["state"] == "succeeded"
        error = (await lost)["error"]
        assert (error["code"], error["data"]["state"], error["data"]["retryable"]) == (1006, "unknown", True)
        assert set(error["data"]) >= kiosk.MEMBERS
        again = await kiosk.ask(bar.path, "order.create", kiosk.create("lost"))
        assert again["result"]["state"] == "succeeded"
        assert again["result"]["command_id"] == error["data"]["command_id"]
        assert len(bar.shop.acts) == 2
        assert bar.counters["connections"] == 1


@pytest.mark.parametrize(("seconds", "timeout"), [(1.5, 0.5)])
async def test_an_answer_after_the_deadline_settles_and_is_told(
    seconds: float, timeout: float, artifacts: Path
) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.path) as follower:
        await follower.result("event.subscribe", {"kinds": ["command.settled"]})
        bar.pos.faults.plan(Fault.LATE, seconds=seconds)
        error = (await kiosk.ask(bar.path, "order.create", kiosk.create("late", timeout=timeout)))["error"]
        assert error["code"] == 1006
        told = [(await follower.hear())["params"]["event"]["data"] for _ in range(2)]
        assert [data["state"] for data in told] == ["unknown", "succeeded"]
        assert {data["command_id"] for data in told} == {error["data"]["command_id"]}
        assert told[1]["result"]["order"]["id"] == bar.shop.acts[0].order_id
        row = await kiosk.row_of(bar.path, "late")
        assert (row["state"], row["result"]) == ("succeeded", told[1]["result"])
        assert len(bar.shop.requests) == 1
        await until(lambda: bar.counters["late_answers"] == 1)


async def test_an_unknown_result_code_is_a_rejection_with_code_and_text(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.UNKNOWN_RESULT_CODE, result_code=4711)
        error = (await kiosk.ask(bar.path, "order.create", kiosk.create("code")))["error"]
        assert (error["code"], error["data"]["kind"], error["data"]["state"]) == (1001, "rejected", "rejected")
        assert error["data"]["vendor_code"] == 4711
        assert error["data"]["vendor_message"] == "Something that no page names."


async def test_too_big_for_the_pos_fails_the_one_that_caused_it_and_is_never_resent(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        await kiosk.ask(bar.path, "order.create", kiosk.create("before"))
        bar.pos.faults.plan(Fault.TOO_BIG)
        error = (await kiosk.ask(bar.path, "order.create", kiosk.create("big")))["error"]
        assert (error["code"], error["data"]["kind"], error["data"]["state"]) == (-32001, "too_large", "failed")
        assert error["data"]["retryable"] is False
        assert error["data"]["command_id"]
        heard = len(bar.shop.requests)
        after = await kiosk.ask(bar.path, "order.create", kiosk.create("after"))
        assert after["result"]["state"] == "succeeded"
        assert len(bar.shop.requests) == heard + 1
        assert (await kiosk.row_of(bar.path, "big"))["state"] == "failed"


async def test_too_big_among_others_finds_the_culprit_and_spares_them(artifacts: Path) -> None:
    async def fussy(connection: ServerConnection, frames: list[str]) -> None:
        """Holds its answers until three are out, and closes with 1009 whenever it meets the big one."""
        shop, waiting = Shop(), []
        async for frame in connection:
            assert isinstance(frame, str)
            frames.append(frame)
            waiting.append(frame)
            if len(frames) < 3:
                continue
            if any('"big"' in one for one in waiting):
                await connection.close(1009)
                return
            for one in waiting:
                await connection.send(shop.answer(one).text)
            waiting.clear()

    async with scripted(artifacts, fussy) as (path, frames):
        async with asyncio.TaskGroup() as tasks:
            calls = {
                key: tasks.create_task(kiosk.ask(path, "order.create", kiosk.create(key)))
                for key in ("small-1", "big", "small-2")
            }
        assert calls["big"].result()["error"]["data"]["kind"] == "too_large"
        for key in ("small-1", "small-2"):
            assert calls[key].result()["result"]["state"] == "succeeded"
        assert sum('"big"' in frame for frame in frames) == 2  # with the others, and alone to find it out


async def test_too_big_is_not_told_as_failed_where_an_earlier_copy_acted(artifacts: Path) -> None:
    """The POS acted on the first copy and broke off; that it takes no second one says nothing of the first."""
    shop = Shop()

    async def forgetful(connection: ServerConnection, frames: list[str]) -> None:
        async for frame in connection:
            assert isinstance(frame, str)
            frames.append(frame)
            if len(frames) == 1:
                shop.answer(frame)
                connection.transport.abort()
            else:
                await connection.close(1009)

    async with scripted(artifacts, forgetful) as (path, _):
        error = (await kiosk.ask(path, "order.create", kiosk.create("copied")))["error"]
        assert len(shop.acts) == 1
        assert (error["code"], error["data"]["state"]) == (1006, "unknown")
        assert (await kiosk.row_of(path, "copied"))["state"] == "unknown"


async def test_an_answer_too_big_for_us_is_never_told_as_failed(artifacts: Path) -> None:
    """The POS acted: that we cannot read its answer must not be told as if it had not."""
    shop = Shop()

    async def verbose(connection: ServerConnection, frames: list[str]) -> None:
        async for frame in connection:
            assert isinstance(frame, str)
            frames.append(frame)
            answer = json.loads(shop.answer(frame).text)
            await connection.send(json.dumps(answer | {"Receipt": "x" * 4096}))

    async with scripted(artifacts, verbose, max_message_bytes=2048) as (path, _):
        error = (await kiosk.ask(path, "order.create", kiosk.create("huge", timeout=1)))["error"]
        assert len(shop.acts) == 1
        assert (error["code"], error["data"]["state"]) == (1006, "unknown")
        assert (await kiosk.row_of(path, "huge"))["state"] == "unknown"


async def test_an_answer_too_big_for_us_is_never_told_as_failed_where_the_pos_dials(artifacts: Path) -> None:
    port, shop = free_port(), Shop()
    answer = shop.answer
    shop.answer = lambda frame: _padded(answer(frame))  # type: ignore[method-assign]
    config = tables(artifacts, {"bar": listening()}, inbound=inbound(port, max_message_bytes=2048))
    path = config["rpc"]["socket"]
    async with daemon_inside(config), simulator.dial(shop, f"http://127.0.0.1:{port}", kiosk.CREDENTIALS):
        await kiosk.up(path)
        error = (await kiosk.ask(path, "order.create", kiosk.create("huge", timeout=1)))["error"]
        assert len(shop.acts) == 1
        assert (error["code"], error["data"]["state"]) == (1006, "unknown")


@contextlib.asynccontextmanager
async def till_with_a_huge_list(folder: Path, *, dials: bool, size: int) -> AsyncIterator[tuple[str, Shop]]:
    """A POS whose list of open orders is larger than we take, in either role."""
    shop = Shop()
    answer = shop.answer

    def verbose(frame: str) -> Any:
        listed = json.loads(frame)["MessageType"] == GET_OPEN_ORDERS
        return _padded(answer(frame), size) if listed else answer(frame)

    shop.answer = verbose  # type: ignore[method-assign]
    if dials:
        port = free_port()
        config = tables(folder, {"bar": listening()}, inbound=inbound(port, max_message_bytes=8192))
        async with daemon_inside(config), simulator.dial(shop, f"http://127.0.0.1:{port}", kiosk.CREDENTIALS):
            await kiosk.up(config["rpc"]["socket"])
            yield config["rpc"]["socket"], shop
    else:
        async with simulator.serve(shop) as pos:
            config = tables(folder, {"bar": session(url=pos.url, max_message_bytes=8192)})
            async with daemon_inside(config):
                await kiosk.up(config["rpc"]["socket"])
                yield config["rpc"]["socket"], shop


@pytest.mark.parametrize("size", [8192, 200_000, 1_000_000])
@pytest.mark.parametrize("dials", [False, True], ids=["we dial", "the POS dials"])
async def test_a_read_whose_answer_is_too_big_ends_at_once_and_nobody_else_waits(
    dials: bool, size: int, artifacts: Path
) -> None:
    async with till_with_a_huge_list(artifacts, dials=dials, size=size) as (path, shop):
        async with asyncio.TaskGroup() as tasks:
            listed = tasks.create_task(kiosk.ask(path, "order.list", {"timeout": 60}))
            orders = [
                tasks.create_task(kiosk.ask(path, "order.create", kiosk.create(f"key-{number}")))
                for number in range(20)
            ]
        error = listed.result()["error"]
        assert (error["code"], "larger than we take" in error["message"]) == (1008, True)
        assert {order.result()["result"]["state"] for order in orders} == {"succeeded"}
        asked = [json.loads(frame)["MessageType"] for frame in shop.requests]
        assert (asked.count(GET_OPEN_ORDERS), len(shop.acts)) == (1, 20)
        told = (await kiosk.ask(path, "session.get", {"session": "bar"}))["result"]["session"]
        assert told["counters"]["connections"] == 2


async def test_a_repeat_that_the_pos_has_already_is_unknown_with_its_code(artifacts: Path) -> None:
    shop = Shop()

    async def strict(connection: ServerConnection, frames: list[str]) -> None:
        async for frame in connection:
            assert isinstance(frame, str)
            frames.append(frame)
            told = json.loads(shop.answer(frame).text)
            if shop.repeats:
                told |= {"ResultCode": 7, "ErrorMessage": "Duplicate request.", "Payload": None}
                await connection.send(json.dumps(told))
            else:
                connection.transport.abort()

    async with scripted(artifacts, strict) as (path, _):
        for _ in range(2):  # the same key asks again, and nothing is known yet
            error = (await kiosk.ask(path, "order.create", kiosk.create("once")))["error"]
            assert (error["code"], error["data"]["state"], error["data"]["vendor_code"]) == (1006, "unknown", 7)
            assert error["data"]["vendor_message"] == "Duplicate request."
        assert len(shop.acts) == 1
        assert (await kiosk.row_of(path, "once"))["state"] == "unknown"


@pytest.mark.parametrize("dials", [False, True], ids=["we dial", "the POS dials"])
async def test_a_broken_letter_costs_no_answer_and_no_connection(dials: bool, artifacts: Path) -> None:
    port, shop = free_port(), Shop()

    async def speak(connection: Any) -> None:
        async for frame in connection:
            told = json.loads(shop.answer(frame).text) | {"Receipt": "Caf@"}
            await connection.send(json.dumps(told).encode().replace(b"@", b"\xc3"), text=True)

    if not dials:
        async with scripted(artifacts, lambda connection, _: speak(connection)) as (path, _):
            answer = await kiosk.ask(path, "order.create", kiosk.create("odd"))
            assert answer["result"]["vendor"]["Receipt"] == "Caf\ufffd"
        return
    config = tables(artifacts, {"bar": listening()}, inbound=inbound(port))
    path = config["rpc"]["socket"]
    async with daemon_inside(config) as daemon, asyncio.TaskGroup() as tasks:
        async with httpx.AsyncClient(trust_env=False) as http:
            token = (await http.post(f"http://127.0.0.1:{port}{AUTH_PATH}", json=kiosk.CREDENTIALS.as_request())).json()
        async with connect(f"ws://127.0.0.1:{port}/?token={token['AccessToken']}", proxy=None) as pos:
            speaking = tasks.create_task(speak(pos))
            await kiosk.up(path)
            answer = await kiosk.ask(path, "order.create", kiosk.create("odd"))
            assert answer["result"]["vendor"]["Receipt"] == "Caf\ufffd"
            assert daemon.gateway.sessions["bar"].status().counters["connections"] == 1
            speaking.cancel()


def _padded(decision: Any, size: int = 4096) -> Any:
    decision.response["Receipt"] = "x" * size
    return decision


STRANGE = [
    "",
    "null",
    "[]",
    "0",
    '"text"',
    "{}",
    '{"RequestID": null, "ResultCode": 0}',
    '{"RequestID": "%s"}',
    '{"RequestID": "%s", "ResultCode": null}',
    '{"RequestID": "%s", "ResultCode": "zero"}',
    '{"RequestID": "%s", "ResultCode": true}',
    '{"RequestID": "%s", "ResultCode": 1e400}',
    '{"RequestID": ["%s"], "ResultCode": 0}',
    "[" * 5000,
    '{"RequestID": "%s", "ResultCode": 0, "Payload": ' + "[" * 5000 + "]" * 5000 + "}",
    '{"RequestID": "\\ud800", "ResultCode": 0}',
    "\x00",
    "{" * 20_000,
]


@pytest.mark.parametrize("strange", STRANGE, ids=range(len(STRANGE)))
async def test_strange_messages_before_the_answer_do_nothing(strange: str, artifacts: Path) -> None:
    shop = Shop()

    async def odd(connection: ServerConnection, frames: list[str]) -> None:
        async for frame in connection:
            assert isinstance(frame, str)
            frames.append(frame)
            await connection.send(strange.replace("%s", json.loads(frame)["RequestID"]))
            await connection.send(strange.replace("%s", json.loads(frame)["RequestID"]).encode())
            await connection.send(b"\xff\xfe")
            await connection.send(shop.answer(frame).text)

    async with scripted(artifacts, odd) as (path, frames):
        answer = await kiosk.ask(path, "order.create", kiosk.create("odd"))
        assert answer["result"]["state"] == "succeeded"
        assert len(frames) == len(shop.acts) == 1


FILLINGS: list[Any] = [
    [],
    "text",
    0,
    {"Order": []},
    {"Order": {"SalesTransactionID": {"a": 1}, "Products": {"a": 1}, "Amount": "NaN", "Covers": -1}},
    {"Order": {"SalesTransactionID": 7, "Products": [None, 1, {"ChildProducts": [None]}], "Amount": 10**30}},
    {"Order": {"Amount": "\ud800", "OrderNumberOpened": "\ud83d", "Notes": [{"a": "\udfff"}, 1, None]}},
    {"Order": {"Amount": 1.234567890123456789, "AmountOwing": -0.0, "IsClosed": "yes", "Products": None}},
    {"Order": {"Amount": float("inf"), "AmountOwing": float("nan")}},
    {"order": {}, "Order": {}, "ORDER": None},
    {"\ud800": {"\ud800": "\ud800"}},
    {"Order": {"Amount": 10**5000}},
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],
]


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("filling", FILLINGS, ids=range(len(FILLINGS)))
async def test_success_with_any_payload_ends_its_command_alone(filling: Any, late: bool, artifacts: Path) -> None:
    shows_an_order = isinstance(filling, dict) and (filling.get("Order") or {}).get("SalesTransactionID") == 7

    async def odd(connection: ServerConnection, frames: list[str]) -> None:
        async for frame in connection:
            assert isinstance(frame, str)
            frames.append(frame)
            message = json.loads(frame)
            with_limit = _dump({"RequestID": message["RequestID"], "ResultCode": 0, "Payload": filling})
            if late and message["MessageType"] == CREATE_ORDER:
                await asyncio.sleep(1.0)
            await connection.send(with_limit)

    async with scripted(artifacts, odd) as (path, _):
        timeout = 0.5 if late else 5
        answer = await kiosk.ask(path, "order.create", kiosk.create("odd", timeout=timeout))
        assert ("result" in answer) == (shows_an_order and not late)
        wanted = "succeeded" if shows_an_order else "unknown"

        async with asyncio.timeout(10):
            while (await kiosk.row_of(path, "odd"))["state"] != wanted:
                await asyncio.sleep(0.01)
        listed = await kiosk.ask(path, "order.list")
        assert listed["error"]["data"]["kind"] == "vendor_unavailable"
        events = (await kiosk.ask(path, "event.list", {"kinds": ["command.settled"]}))["result"]["events"]
        assert events[-1]["data"]["state"] == wanted


def _dump(value: Any) -> str:
    def numeral(entry: Any) -> Any:
        match entry:
            case int() if abs(entry) > 10**4000:
                return "@@" + "9" * 5000 + "@@"
            case dict():
                return {name: numeral(held) for name, held in entry.items()}
            case list():
                return [numeral(held) for held in entry]
            case _:
                return entry

    return json.dumps(numeral(value)).replace('"@@', "").replace('@@"', "")


Script = Callable[[ServerConnection, list[str]], Awaitable[None]]


@contextlib.asynccontextmanager
async def scripted(folder: Path, script: Script, **changes: Any) -> AsyncIterator[tuple[str, list[str]]]:
    """A POS that does as a test says: the daemon's socket, and the frames that came."""
    frames: list[str] = []

    async def converse(connection: ServerConnection) -> None:
        await script(connection, frames)

    async with serve(converse, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        config = tables(folder, {"bar": session(url=f"ws://127.0.0.1:{port}/", **changes)})
        async with daemon_inside(config):
            path = config["rpc"]["socket"]
            await kiosk.up(path)
            yield path, frames
