"""A journal that cannot grow: commands are refused before anything is sent, reads go on, and it recovers by itself.

The limit is on the size of files of the running daemon (``RLIMIT_FSIZE``), and, for root, a file system that is full.
"""
# ruff: noqa: ASYNC240 - it looks at small files

import asyncio
import contextlib
import json
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, daemon_process, session, tables
from tests.support.wait import until

UNLIMITED: Final = resource.RLIM_INFINITY


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    daemon: DaemonProcess
    fill: Callable[[], None]
    empty: Callable[[], None]

    async def ask(self, key: str, **more: Any) -> dict[str, Any]:
        return await kiosk.ask(self.daemon.socket, "order.create", kiosk.create(key, **more))


def _limit(daemon: DaemonProcess, size: int) -> None:
    assert daemon.process is not None
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))


@contextlib.contextmanager
def small_file_system(place: Path) -> Any:
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextlib.asynccontextmanager
async def venue(kind: str, folder: Path) -> AsyncIterator[Venue]:
    shop = Shop()
    with contextlib.ExitStack() as stack:
        state = folder / "state"
        if kind == "full":
            if os.geteuid() != 0:
                pytest.skip("only root can mount")
            stack.enter_context(small_file_system(state))
        async with simulator.serve(shop) as pos:
            config = tables(folder, {"bar": session(url=pos.url)})
            async with daemon_process(folder, config) as daemon:
                await kiosk.up(daemon.socket)
                await kiosk.insist(daemon.socket, "order.create", kiosk.create("before"))
                ballast = state / "ballast"

                def fill() -> None:
                    if kind == "limited":
                        _limit(daemon, 4096)
                        return
                    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                        while True:
                            file.write(bytes(4096))

                def empty() -> None:
                    if kind == "limited":
                        _limit(daemon, UNLIMITED)
                    else:
                        ballast.unlink()

                yield Venue(shop, pos, daemon, fill, empty)


KINDS: Final = ("limited", "full")


@pytest.mark.parametrize("kind", KINDS)
async def test_commands_are_refused_and_reads_go_on_and_it_recovers(kind: str, artifacts: Path) -> None:
    async with venue(kind, artifacts) as bar, kiosk.kiosk(bar.daemon.socket) as one:
        bar.fill()
        while "result" in (refused := await bar.ask(f"filling-{len(bar.shop.acts)}", timeout=0.3)):
            assert len(bar.shop.acts) < 2_000
        heard, acts = len(bar.shop.requests), len(bar.shop.acts)
        for number in range(5):
            error = (await bar.ask(f"refused-{number}"))["error"]
            assert (error["code"], error["data"]["kind"]) == (-32002, "overloaded")
            assert set(error["data"]) >= kiosk.MEMBERS
            assert error["data"]["retryable"] is True
            assert error["data"]["state"] is None
            assert "nothing was sent" in error["message"]
        assert (len(bar.shop.requests), len(bar.shop.acts)) == (heard, acts)
        assert refused["error"]["code"] in {-32002, 1006}

        assert (await one.result("order.list"))["result"]["orders"]
        assert (await one.result("command.list"))["commands"]
        assert (await one.result("event.list"))["events"]
        assert (await one.result("event.subscribe", {"since": 0}))["last_seq"]
        status = await one.result("daemon.status")
        assert "cannot be written" in status["journal"]["error"]

        bar.empty()
        answer = (await bar.ask("refused-0"))["result"]
        assert answer["state"] == "succeeded"
        assert len(bar.shop.acts) == acts + 1
        assert (await one.result("daemon.status"))["journal"]["error"] is None
        await everything_ends(bar)
        unsettled = [row for row in await kiosk.rows(bar.daemon.socket) if row["state"] in {"accepted", "sent"}]
        assert unsettled == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_outcome_that_cannot_be_written_is_not_told_as_durable(kind: str, artifacts: Path) -> None:
    async with venue(kind, artifacts) as bar:
        acts = len(bar.shop.acts)
        bar.pos.faults.plan(Fault.LATE, seconds=0.5)
        under_way = asyncio.create_task(bar.ask("under-way", timeout=1.5))
        await until(lambda: len(bar.shop.acts) > acts)
        bar.fill()
        while (await bar.ask(f"filling-{len(bar.shop.acts)}", timeout=0.2)).get("result"):
            pass
        answer = await under_way
        if kind == "limited" or "error" in answer:  # a full file system may have had room for this one
            assert (answer["error"]["code"], answer["error"]["data"]["state"]) == (1006, "unknown")
        assert (await kiosk.row_of(bar.daemon.socket, "under-way"))["state"] in {"sent", "succeeded"}
        bar.empty()
        await everything_ends(bar)
        row = await kiosk.row_of(bar.daemon.socket, "under-way")
        assert row["state"] == "succeeded"
        told = await kiosk.ask(bar.daemon.socket, "event.list", {"kinds": ["command.settled"], "limit": 1000})
        settled = [
            event["data"] for event in told["result"]["events"] if event["data"]["idempotency_key"] == "under-way"
        ]
        assert [data["state"] for data in settled] == ["succeeded"]
        again = (await bar.ask("under-way"))["result"]
        assert again["result"] == row["result"]


@pytest.mark.parametrize("kind", KINDS)
async def test_killed_while_full_nothing_is_lost_or_done_twice(kind: str, artifacts: Path) -> None:
    async with venue(kind, artifacts) as bar:
        acts = len(bar.shop.acts)
        bar.pos.faults.plan(Fault.LATE, seconds=0.3)
        under_way = asyncio.create_task(bar.ask("under-way", timeout=10))
        await until(lambda: len(bar.shop.acts) > acts)
        bar.fill()
        while (await bar.ask(f"filling-{len(bar.shop.acts)}", timeout=0.2)).get("result"):
            pass
        await bar.daemon.kill()
        with contextlib.suppress(kiosk.Gone):
            await under_way
        if kind == "full":
            bar.empty()
        await bar.daemon.start()
        await everything_ends(bar)
        keys = [act.provider_order_id for act in bar.shop.acts]
        assert len(keys) == len(set(keys))
        assert (await kiosk.row_of(bar.daemon.socket, "under-way"))["state"] == "succeeded"


async def test_a_full_disk_under_the_log_stops_nothing(artifacts: Path) -> None:
    """Where stderr is a file on the same disk, no line can be written either."""
    shop = Shop()
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url)})
        daemon = DaemonProcess(artifacts, config)
        artifacts.mkdir(exist_ok=True)
        daemon.log.symlink_to("/dev/full")
        try:
            await daemon.start(PYTHONUNBUFFERED="")
            for number in range(3):
                answer = await kiosk.ask(daemon.socket, "order.create", kiosk.create(f"key-{number}"))
                assert answer["result"]["state"] == "succeeded"
                pos.drop()
            error = await kiosk.ask(daemon.socket, "order.create", kiosk.create("key-0", timeout=700))
            assert error["error"]["code"] == -32602
            assert len(shop.acts) == 3
            assert await daemon.terminate() == 0
        finally:
            await daemon.kill()


async def everything_ends(bar: Venue) -> None:
    """Every command has an outcome, by itself."""
    async with asyncio.timeout(10), kiosk.kiosk(bar.daemon.socket) as one:
        while True:
            listed = [await one.result("command.list", {"state": state}) for state in ("accepted", "sent")]
            if not any(page["commands"] for page in listed):
                return
            await asyncio.sleep(0.05)


async def test_a_state_directory_that_cannot_be_written_is_said_at_the_start(artifacts: Path) -> None:
    blocker = artifacts / "a-file"
    blocker.write_text("x")
    config = tables(artifacts, {})
    config["daemon"]["state_dir"] = str(blocker / "state")
    daemon = DaemonProcess(artifacts, config)
    await daemon.start(ready=False)
    assert await daemon.wait() == 1
    said = daemon.log.read_text()
    assert str(blocker) in said
    assert "Traceback" not in said
    assert json.dumps("Traceback") not in said
