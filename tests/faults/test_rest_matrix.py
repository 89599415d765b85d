"""For each vendor and each command that changes something, whatever breaks: no second effect, and no wrong word.

The table is printed, and written to `fault-matrix.md` in the artifacts' folder.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.support import rest
from tests.support.daemons import DaemonProcess, daemon_inside, tables
from tests.support.matrix import CHANGES, CUTS, KILLS, ON_THE_WAY, Cell, Matrix, World, made_before, params, world
from tests.support.rest import Table, ask, fresh, row
from tests.support.wait import until

TIMEOUT = 1.2
KILL_TIMEOUT = 10.0
SIDE_BY_SIDE = 4
BROKEN_AT_ONCE = 6


@pytest.fixture(scope="module")
def matrix(artifacts_root: Path) -> Any:
    whole = Matrix(artifacts_root)
    yield whole
    print(f"\n\n{whole.table()}\n")


@pytest.mark.slow
@pytest.mark.parametrize("vendor", CHANGES)
async def test_a_broken_network_makes_no_second_effect_and_no_wrong_word(
    vendor: str, matrix: Matrix, artifacts: Path
) -> None:
    names = {
        f"{method.replace('.', '-')}-{fault.replace(' ', '-')}": (method, fault)
        for method in CHANGES[vendor]
        for fault in (*CUTS, *(() if vendor == "order-n-pay" else ON_THE_WAY))
    }
    room = asyncio.Semaphore(BROKEN_AT_ONCE)
    async with contextlib.AsyncExitStack() as stack:
        worlds = {name: await stack.enter_async_context(world(vendor)) for name in names}
        config = tables(artifacts, {name: place.session() for name, place in worlds.items()})
        daemon = await stack.enter_async_context(daemon_inside(config))
        await rest.up(daemon)
        socket = config["rpc"]["socket"]
        async with asyncio.TaskGroup() as tasks:
            cells = [
                tasks.create_task(_broken(vendor, *names[name], socket, name, place, room))
                for name, place in worlds.items()
            ]
    found = [cell.result() for cell in cells]
    matrix.add(found)
    assert [fault for cell in found for fault in cell.faults()] == []


async def _broken(
    vendor: str, method: str, fault: str, socket: str, session: str, place: World, room: asyncio.Semaphore
) -> Cell:
    async with room:
        return await _cell(vendor, method, fault, socket, session, place)


async def _cell(vendor: str, method: str, fault: str, socket: str, session: str, place: World) -> Cell:
    order_id = await made_before(vendor, method, socket, session, place)
    call = params(vendor, method, order_id)
    place.plan(method, fault, TIMEOUT)
    told = await ask(socket, method, session=session, timeout=TIMEOUT, idempotency_key=fresh("key"), **call)
    assert told.state is not None
    effects_then = place.effects(method)
    if told.state == "unknown" and fault == "late":
        await until(lambda: _is_settled(socket, told.command_id), 5)
    await asyncio.sleep(1.0)  # whoever acts twice, or settles what nobody told it, has had the time to do so
    later = await row(socket, told.command_id)
    return Cell(
        vendor, method, fault, told.state, later["state"], place.reached(method), place.effects(method), effects_then
    )


async def _is_settled(socket: str, command_id: str) -> bool:
    known = await row(socket, command_id)
    return known["state"] in {"succeeded", "rejected", "failed"}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("vendor", CHANGES)
async def test_a_killed_daemon_makes_no_second_effect_and_no_wrong_word(
    vendor: str, matrix: Matrix, artifacts: Path
) -> None:
    room = asyncio.Semaphore(SIDE_BY_SIDE)
    async with asyncio.TaskGroup() as tasks:
        cells = [
            tasks.create_task(_killed(vendor, method, point, artifacts / f"{method}-{point}", room))
            for method in CHANGES[vendor]
            for point in KILLS
        ]
    found = [cell.result() for cell in cells]
    matrix.add(found)
    assert [fault for cell in found for fault in cell.faults()] == []


async def _killed(vendor: str, method: str, point: str, directory: Path, room: asyncio.Semaphore) -> Cell:
    """One life that ends at a point of a command's way, and one that finds what the first has left."""
    async with room, world(vendor) as place:
        config = tables(directory, {"venue": place.session()})
        socket = config["rpc"]["socket"]
        async with daemon_inside(config) as earlier:
            await rest.up(earlier)
            order_id = await made_before(vendor, method, socket, "venue", place)
        call = params(vendor, method, order_id) | {"idempotency_key": fresh("key"), "timeout": KILL_TIMEOUT}
        daemon = DaemonProcess(directory, config)
        try:
            await daemon.start(ORDERNPAY_CRASH=f"{point}:{place.passes(point, method)}")
            await rest.up_outside(socket, place.at_start)
            with pytest.raises(ConnectionError):
                await ask(socket, method, **call)
            assert await daemon.wait() == -9, daemon.log.read_text()
            await daemon.start()
            state = await until(lambda: _end_of(socket, call["idempotency_key"]), KILL_TIMEOUT + 4) or ""
            effects_then = place.effects(method)
            await ask(socket, method, **(call | {"timeout": 1.0}))
            later = await until(lambda: _end_of(socket, call["idempotency_key"]), KILL_TIMEOUT + 4) or ""
        finally:
            await daemon.kill()
        name, reached = f"killed: {point}", place.reached(method)
        return Cell(vendor, method, name, state, later, reached, place.effects(method), effects_then)


async def _end_of(socket: str, key: str) -> str | None:
    """How the command with this key ended, if it did."""
    listed: Table = await rest.read(socket, "command.list", limit=10)
    states = [one["state"] for one in listed["commands"] if one["idempotency_key"] == key]
    return states[0] if states and states[0] not in {"accepted", "sent"} else None


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["ros", "tevalis", "doshii"])
async def test_an_order_that_waits_out_an_outage_is_sent_once_also_by_a_daemon_started_meanwhile(
    vendor: str, artifacts: Path
) -> None:
    """It is marked as sent when the connection stands: one that never stood leaves nothing to doubt."""
    async with world(vendor) as place:
        config = tables(artifacts, {"venue": place.session()})
        socket = config["rpc"]["socket"]
        daemon = DaemonProcess(artifacts, config)
        try:
            await daemon.start()
            await rest.up_outside(socket, place.at_start)
            await place.ready("order.create", None)
            place.proxy.refuse()
            place.proxy.drop()
            call = params(vendor, "order.create", None) | {"idempotency_key": fresh("key"), "timeout": 60.0}
            await ask(socket, "order.create", wait=False, **call)
            await until(lambda: _has_missed(socket), 20)
            [waiting] = (await rest.read(socket, "command.list", limit=10))["commands"]
            assert (waiting["state"], waiting["sent_at"]) == ("accepted", None)
            await daemon.kill()
            await daemon.start()
            place.proxy.accept()
            assert await until(lambda: _end_of(socket, call["idempotency_key"]), 60) == "succeeded"
            assert (place.reached("order.create"), place.effects("order.create")) == (1, 1)
        finally:
            await daemon.kill()


async def _has_missed(socket: str) -> bool:
    [session] = (await rest.read(socket, "session.list"))["sessions"]
    return bool(session["counters"]["not_sent"] >= 2)
