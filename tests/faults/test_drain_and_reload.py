"""SIGTERM: what is under way may end within the limit, the rest is durable. SIGHUP: what did not change is not touched."""
# ruff: noqa: ASYNC110, ASYNC240 - it polls with a deadline and looks at small files

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk, toml
from tests.support.daemons import DaemonProcess, daemon_process, session, tables
from tests.support.wait import until


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    daemon: DaemonProcess

    async def hang_up(self) -> None:
        """SIGHUP, and wait until the daemon says what it made of it."""
        assert self.daemon.process is not None
        before = self._reloads()
        toml.write(self.daemon.directory / "ordernpay.toml", self.daemon.tables)
        self.daemon.process.send_signal(signal.SIGHUP)
        await until(lambda: self._reloads() > before)

    def _reloads(self) -> int:
        log = self.daemon.log.read_text()
        return log.count('"configuration_reloaded"') + log.count('"reload_refused"')

    async def sessions(self) -> dict[str, dict[str, Any]]:
        listed = (await kiosk.ask(self.daemon.socket, "session.list"))["result"]["sessions"]
        return {one["name"]: one for one in listed}


@contextlib.asynccontextmanager
async def venue(folder: Path, drain_seconds: float = 20.0) -> AsyncIterator[Venue]:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(folder, {"bar": session(url=pos.url)})
        config["daemon"]["drain_seconds"] = drain_seconds
        async with daemon_process(folder, config) as daemon:
            await kiosk.up(daemon.socket)
            yield Venue(shop, pos, daemon)


async def test_sigterm_waits_for_what_is_under_way_and_tells_it(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.LATE, count=5, seconds=0.5)
        numbers = [one.begin("order.create", kiosk.create(f"key-{number}")) for number in range(5)]
        await until(lambda: len(bar.shop.requests) == 5)
        began = time.monotonic()
        ended = asyncio.create_task(bar.daemon.terminate())
        for number in numbers:
            assert (await one.answer(number))["result"]["state"] == "succeeded"
        assert await ended == 0
        assert time.monotonic() - began < 15  # of the twenty that it may drain


async def test_sigterm_answers_a_batch_that_is_under_way(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.LATE, count=3, seconds=0.5)
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": "order.create", "params": kiosk.create(f"key-{number}")}
            for number in range(3)
        ]
        one.say(json.dumps(batch).encode() + b"\n")
        await until(lambda: len(bar.shop.requests) == 3)
        ended = asyncio.create_task(bar.daemon.terminate())
        answers: Any = await one.hear()
        assert isinstance(answers, list), answers
        assert {answer["result"]["state"] for answer in answers} == {"succeeded"}
        assert await ended == 0


async def test_sigterm_answers_a_read_that_is_under_way(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.LATE, seconds=0.5)
        number = one.begin("order.list", {})
        await until(lambda: bar.shop.requests)
        ended = asyncio.create_task(bar.daemon.terminate())
        assert "result" in await one.answer(number)
        assert await ended == 0


async def test_what_does_not_end_in_time_is_durable_and_ends_after_the_restart(artifacts: Path) -> None:
    async with venue(artifacts, drain_seconds=0.5) as bar:
        bar.pos.faults.plan(Fault.SILENT)
        async with kiosk.kiosk(bar.daemon.socket) as one:
            number = one.begin("order.create", kiosk.create("key"))
            await until(lambda: bar.shop.requests)
            began = time.monotonic()
            ended = asyncio.create_task(bar.daemon.terminate())
            error = (await one.answer(number))["error"]
            assert (error["code"], error["data"]["kind"], error["data"]["retryable"]) == (
                -32006,
                "shutting_down",
                True,
            )
            command_id = error["data"]["command_id"]
            assert command_id
            assert await ended == 0
            assert 0.4 < time.monotonic() - began < 10
        assert not Path(bar.daemon.socket).exists()
        await bar.daemon.start()
        async with asyncio.timeout(20):
            while (row := await kiosk.row_of(bar.daemon.socket, "key"))["state"] != "succeeded":
                await asyncio.sleep(0.01)
        assert row["command_id"] == command_id
        assert (len(bar.shop.acts), bar.shop.repeats) == (1, 1)


async def test_subscribers_are_told_that_it_stops(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        await one.result("event.subscribe", {})
        assert await bar.daemon.terminate() == 0
        while (message := await one.hear())["method"] != "closed":
            pass
        assert message["params"]["reason"] == "shutting_down"


async def test_a_second_sigterm_while_it_drains_changes_nothing(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.LATE, seconds=0.5)
        number = one.begin("order.create", kiosk.create("key"))
        await until(lambda: bar.shop.requests)
        ended = asyncio.create_task(bar.daemon.terminate())
        await until(lambda: "daemon_stopping" in bar.daemon.log.read_text())
        assert bar.daemon.process is not None
        bar.daemon.process.send_signal(signal.SIGTERM)
        assert (await one.answer(number))["result"]["state"] == "succeeded"
        assert await ended == 0


async def test_sigterm_during_the_start_is_a_clean_end(artifacts: Path) -> None:
    config = tables(artifacts, {})
    daemon = DaemonProcess(artifacts, config)
    for delay in (0.0, 0.002, 0.005):
        await daemon.start()
        await asyncio.sleep(delay)
        assert await daemon.terminate() == 0


async def test_sighup_adds_removes_and_changes_and_leaves_the_others_alone(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as loyal:
        sessions = bar.daemon.tables["sessions"]
        sessions |= {"terrace": session(url=bar.pos.url)}
        await bar.hang_up()
        await kiosk.up(bar.daemon.socket, "terrace")
        before = (await bar.sessions())["bar"]
        assert before["counters"]["connections"] == 1

        bar.pos.faults.plan(Fault.REORDER)  # answered after the next one, and over its own connection
        under_way = loyal.begin("order.create", kiosk.create("key", session="bar"))
        await until(lambda: bar.shop.requests)
        sessions["terrace"]["device_id"] = "another"
        await bar.hang_up()
        await kiosk.up(bar.daemon.socket, "terrace")
        answer = await kiosk.ask(bar.daemon.socket, "order.create", kiosk.create("other", session="terrace"))
        assert answer["result"]["state"] == "succeeded"
        assert json.loads(bar.shop.requests[-1])["DeviceID"] == "another"

        del sessions["terrace"]
        await bar.hang_up()
        assert list(await bar.sessions()) == ["bar"]
        assert (await loyal.answer(under_way))["result"]["state"] == "succeeded"
        after = (await bar.sessions())["bar"]
        assert (after["since"], after["counters"]["connections"]) == (before["since"], 1)
        await until(lambda: bar.pos.connections == 1)
        error = (await kiosk.ask(bar.daemon.socket, "order.create", kiosk.create("x", session="terrace")))["error"]
        assert error["code"] == -32007


async def test_sighup_with_a_broken_file_keeps_everything(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        good = dict(bar.daemon.tables)
        broken: list[dict[str, Any]] = [
            {"sessions": {"bar": good["sessions"]["bar"] | {"colour": "red"}}},
            {"sessions": {"bar": good["sessions"]["bar"] | {"provider_id": "many"}}},
            {"sessions": {"bar": good["sessions"]["bar"] | {"auth_secret": {"file": "/nowhere"}}}},
            {"kitchen": {"a": 1}},
        ]
        for changes in broken:
            bar.daemon.tables = good | changes
            await bar.hang_up()
            assert (await kiosk.ask(bar.daemon.socket, "order.create", kiosk.create("key")))["result"]
        bar.daemon.tables = good
        file = bar.daemon.directory / "ordernpay.toml"
        file.unlink()
        assert bar.daemon.process is not None
        bar.daemon.process.send_signal(signal.SIGHUP)
        await until(lambda: bar.daemon.log.read_text().count('"reload_refused"') == len(broken) + 1)
        assert (await bar.sessions())["bar"]["counters"]["connections"] == 1
        assert len(bar.shop.acts) == 1
        assert '"colour"' in bar.daemon.log.read_text() or "colour" in bar.daemon.log.read_text()


async def test_a_command_under_way_on_a_session_that_changes_goes_on_with_the_new_one(artifacts: Path) -> None:
    async with venue(artifacts, drain_seconds=0.5) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.SILENT)
        number = one.begin("order.create", kiosk.create("key", timeout=8))
        await until(lambda: bar.shop.requests)
        bar.daemon.tables["sessions"]["bar"]["ping_interval"] = 19.0
        await bar.hang_up()
        assert (await one.answer(number))["result"]["state"] == "succeeded"
        assert (len(bar.shop.acts), bar.shop.repeats) == (1, 1)


async def test_calls_that_come_while_a_session_changes_are_served(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        stop = asyncio.Event()
        outcomes: list[dict[str, Any]] = []

        async def kiosks() -> None:
            number = 0
            async with kiosk.kiosk(bar.daemon.socket) as one:
                while not stop.is_set():
                    outcomes.append(await one.ask("order.create", kiosk.create(f"{id(one)}-{number}")))
                    number += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(kiosks())
            for number in range(6):
                bar.daemon.tables["sessions"]["bar"]["ping_interval"] = 10.0 + number
                await bar.hang_up()
            stop.set()
        errors = [answer["error"] for answer in outcomes if "error" in answer]
        assert errors == []
        assert len(bar.shop.acts) == len(outcomes)


async def test_a_command_under_way_on_a_session_that_is_removed_is_told_as_unknown(artifacts: Path) -> None:
    async with venue(artifacts, drain_seconds=0.5) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.pos.faults.plan(Fault.SILENT)
        number = one.begin("order.create", kiosk.create("key", timeout=60, session="bar"))
        await until(lambda: bar.shop.requests)
        kept = bar.daemon.tables["sessions"].pop("bar")
        bar.daemon.tables["sessions"]["terrace"] = kept
        await bar.hang_up()
        error = (await one.answer(number, 20))["error"]
        assert (error["code"], error["data"]["state"]) == (1006, "unknown")
        bar.daemon.tables["sessions"]["bar"] = kept
        await bar.hang_up()
        outcome = await kiosk.insist(bar.daemon.socket, "order.create", kiosk.create("key", session="bar"))
        assert (outcome["state"], len(bar.shop.acts)) == ("succeeded", 1)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
async def test_either_signal_ends_an_idle_daemon_at_once(name: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        assert bar.daemon.process is not None
        began = time.monotonic()
        bar.daemon.process.send_signal(signal.Signals[name])
        assert await bar.daemon.wait() == 0
        assert time.monotonic() - began < 10  # of the twenty that it may drain
