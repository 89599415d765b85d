"""A key that comes again, by the state of its first command (contract, section 2): one act, whoever asks how often."""
# ruff: noqa: ASYNC110, SIM117 - it polls with a deadline; the inner block reads the outer's port

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, daemon_process, session, tables
from tests.support.wait import until


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    daemon: DaemonProcess

    async def ask(self, key: str = "key", **more: Any) -> dict[str, Any]:
        return await kiosk.ask(self.daemon.socket, "order.create", kiosk.create(key, **more))

    async def restart(self, how: str) -> None:
        match how:
            case "kill -9":
                await self.daemon.kill()
            case "SIGTERM":
                assert await self.daemon.terminate() == 0
            case _:
                return
        await self.daemon.start()
        await kiosk.up(self.daemon.socket)


@contextlib.asynccontextmanager
async def venue(folder: Path) -> AsyncIterator[Venue]:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        async with daemon_process(folder, tables(folder, {"bar": session(url=pos.url)})) as daemon:
            await kiosk.up(daemon.socket)
            yield Venue(shop, pos, daemon)


RESTARTS = ("none", "kill -9", "SIGTERM")


async def test_twenty_at_once_make_one_act_and_get_twenty_equal_answers(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.LATE, seconds=0.2)
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(bar.ask()) for _ in range(20)]
        answers = [call.result()["result"] for call in calls]
        assert all(answer == answers[0] for answer in answers)
        assert len(bar.shop.requests) == len(bar.shop.acts) == 1
        assert len(await kiosk.rows(bar.daemon.socket)) == 1


async def test_twenty_at_once_over_one_connection_and_in_one_batch(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        numbers = [one.begin("order.create", kiosk.create("key")) for _ in range(20)]
        answers = [(await one.answer(number))["result"] for number in numbers]
        assert all(answer == answers[0] for answer in answers)
        assert len(bar.shop.acts) == 1


async def test_in_flight_joins_also_from_another_kiosk_and_after_the_first_one_vanished(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.LATE, seconds=0.5)
        async with kiosk.kiosk(bar.daemon.socket) as first:
            first.begin("order.create", kiosk.create("key"))
            await until(lambda: bar.shop.requests)
        joined = await bar.ask()
        assert joined["result"]["state"] == "succeeded"
        assert len(bar.shop.requests) == 1


async def test_in_flight_joins_for_as_long_as_the_second_wants_to_wait(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.LATE, seconds=2.0)
        first = asyncio.create_task(bar.ask())
        await until(lambda: bar.shop.requests)
        impatient = (await bar.ask(timeout=0.1))["error"]
        assert (impatient["code"], impatient["data"]["state"]) == (1006, "unknown")
        answer = (await first)["result"]
        assert answer["command_id"] == impatient["data"]["command_id"]
        assert len(bar.shop.requests) == 1


async def test_in_flight_joined_by_one_who_may_wait_longer_than_the_first(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.LATE, seconds=1.0)
        first = asyncio.create_task(bar.ask(timeout=0.5))
        await until(lambda: bar.shop.requests)
        patient = await bar.ask(timeout=9)
        assert (await first)["error"]["code"] == 1006
        assert patient["result"]["state"] == "succeeded"
        assert len(bar.shop.acts) == 1


@pytest.mark.parametrize("restart", RESTARTS)
async def test_succeeded_gives_the_same_answer_and_sends_nothing(restart: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        first = (await bar.ask())["result"]
        await bar.restart(restart)
        again = (await bar.ask(timeout=3, when_offline="fail"))["result"]
        not_waiting = (await bar.ask(wait=False))["result"]
        assert first == again == not_waiting
        assert len(bar.shop.requests) == 1


@pytest.mark.parametrize("restart", RESTARTS[:2])
async def test_rejected_gives_the_same_answer_and_sends_nothing(restart: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.UNKNOWN_RESULT_CODE, result_code=9)
        first = (await bar.ask())["error"]
        assert first["code"] == 1001
        await bar.restart(restart)
        assert (await bar.ask())["error"] == first
        assert len(bar.shop.requests) == 1


@pytest.mark.parametrize("restart", RESTARTS[:2])
async def test_failed_is_tried_afresh(restart: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        await bar.pos.stop_listening()
        bar.pos.drop()
        await until(lambda: not bar.pos.connections)
        while (failed := await bar.ask(timeout=0.1))["error"]["code"] != 1007:
            await asyncio.sleep(0.01)
        refused = (await bar.ask(when_offline="fail"))["error"]
        assert (refused["code"], refused["data"]["state"]) == (-32000, "failed")
        assert refused["data"]["command_id"] == failed["error"]["data"]["command_id"]
        assert bar.shop.requests == []
        await bar.pos.listen_again()
        await bar.restart(restart)
        answer = (await bar.ask())["result"]
        assert (answer["state"], answer["command_id"]) == ("succeeded", refused["data"]["command_id"])
        assert len(bar.shop.requests) == len(bar.shop.acts) == 1


@pytest.mark.parametrize("restart", RESTARTS)
async def test_unknown_is_sent_again_under_its_request_id(restart: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.SILENT)
        first = (await bar.ask(timeout=0.5))["error"]
        assert (first["code"], first["data"]["state"]) == (1006, "unknown")
        await bar.restart(restart)
        assert len(bar.shop.requests) == 1  # by itself it is never sent again
        answer = (await bar.ask())["result"]
        assert (answer["state"], answer["command_id"]) == ("succeeded", first["data"]["command_id"])
        assert bar.shop.requests[0] == bar.shop.requests[1]
        assert (len(bar.shop.acts), bar.shop.repeats) == (1, 1)
        row = await kiosk.row_of(bar.daemon.socket, "key")
        assert row["attempts"] == 2


async def test_unknown_asked_by_twenty_at_once_is_sent_again_once(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.SILENT)
        await bar.ask(timeout=0.5)
        bar.pos.faults.plan(Fault.LATE, seconds=0.2)
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(bar.ask()) for _ in range(20)]
        assert len({call.result()["result"]["command_id"] for call in calls}) == 1
        assert len(bar.shop.requests) == 2


async def test_command_retry_sends_an_unknown_one_again_and_nothing_else(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.SILENT)
        first = (await bar.ask(timeout=0.5))["error"]
        of = {"command_id": first["data"]["command_id"]}
        assert (await one.result("command.retry", of))["state"] == "succeeded"
        assert (len(bar.shop.acts), bar.shop.repeats) == (1, 1)
        error = await one.error("command.retry", of)
        assert (error["code"], error["data"]["state"]) == (-32602, "succeeded")
        assert len(bar.shop.requests) == 2


@pytest.mark.parametrize("verdict", ["succeeded", "failed"])
async def test_a_persons_verdict_ends_an_unknown_one(verdict: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.SILENT)
        first = (await bar.ask(timeout=0.5))["error"]
        of = {"command_id": first["data"]["command_id"]}
        row = await one.result("command.resolve", of | {"state": verdict, "note": "asked the waiter"})
        assert row["state"] == verdict
        assert "asked the waiter" in row["note"]
        again = await bar.ask()
        assert again["result"]["state"] == "succeeded"
        assert len(bar.shop.requests) == (1 if verdict == "succeeded" else 2)
        assert len(bar.shop.acts) == 1


@pytest.mark.parametrize("restart", RESTARTS[:2])
@pytest.mark.parametrize(
    "other",
    [
        {"order": kiosk.create("other")["order"]},
        {"order": kiosk.create("key")["order"] | {"table": "15"}},
        {"options": {"device_id": "another"}},
    ],
)
async def test_other_content_under_the_same_key_is_refused(
    other: dict[str, Any], restart: str, artifacts: Path
) -> None:
    async with venue(artifacts) as bar:
        first = (await bar.ask())["result"]
        await bar.restart(restart)
        error = (await bar.ask(**other))["error"]
        assert (error["code"], error["data"]["kind"]) == (-32005, "idempotency_conflict")
        assert error["data"]["command_id"] == first["command_id"]
        assert set(error["data"]) >= kiosk.MEMBERS
        assert len(bar.shop.requests) == 1


async def test_the_same_content_written_otherwise_is_the_same(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        first = (await bar.ask())["result"]
        params = kiosk.create("key")
        line = params["order"]["lines"][0]
        line |= {"unit_price": 4.5, "total": 4.50, "children": []}
        params["order"]["lines"] = [dict(reversed(list(line.items())))]
        params["order"]["covers"] = None
        again = await kiosk.ask(bar.daemon.socket, "order.create", params | {"options": {}, "session": "bar"})
        assert again["result"] == first
