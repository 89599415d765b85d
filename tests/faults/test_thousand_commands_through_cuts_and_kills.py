"""1,000 orders through 200 forced disconnects and 50 `kill -9`: 1,000 acts, one outcome a key, none lost.

When a cut, a kill or a fault comes is told by how many orders are done, and drawn from a seed. It is printed; run with
``ORDERNPAY_TEST_SEED=…`` to draw the same again.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, daemon_process, session, tables
from tests.support.proxy import TcpProxy
from tests.support.wait import until

COMMANDS: Final = 1_000
DISCONNECTS: Final = 200
KILLS: Final = 50
CLIENTS: Final = 24
TIMEOUT: Final = 1.5
FAULTS: Final = {
    Fault.DROP_BEFORE: 25,
    Fault.DROP_AFTER: 25,
    Fault.LATE: 15,
    Fault.TWICE: 15,
    Fault.GARBAGE: 8,
    Fault.SILENT: 8,
    Fault.DEAF: 4,
    Fault.FOR_SOMEONE_ELSE: 10,
    Fault.REORDER: 5,
    Fault.FOREIGN_MESSAGE_TYPE: 10,
}

Blow = Fault | str


def blows(dice: random.Random) -> Iterator[tuple[int, Blow]]:
    """What befalls the run, each after how many orders, in that order; the last while some are still to come."""
    named: list[Blow] = ["kill"] * KILLS + ["cut"] * DISCONNECTS
    named += [fault for fault, count in FAULTS.items() for _ in range(count)]
    dice.shuffle(named)
    places = sorted(dice.randrange(COMMANDS - 2 * CLIENTS) for _ in named)
    yield from zip(places, named, strict=True)


@pytest.mark.figures
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_order_acts_once_and_ends_once(artifacts: Path) -> None:
    seed = os.environ.get("ORDERNPAY_TEST_SEED") or str(random.SystemRandom().randrange(2**32))
    print(f"seed of the run: ORDERNPAY_TEST_SEED={seed}")
    dice = random.Random(seed)
    began = time.monotonic()
    shop = Shop()
    outcomes: dict[str, dict[str, Any]] = {}
    async with simulator.serve(shop) as pos, TcpProxy(pos.host, pos.port) as proxy:
        bar = session(url=f"ws://127.0.0.1:{proxy.port}/", reconnect_min=0.05, reconnect_max=0.1, stable_seconds=0.05)
        async with daemon_process(artifacts, tables(artifacts, {"bar": bar})) as daemon:
            met = Counter[str]()
            async with asyncio.TaskGroup() as tasks:
                keys = iter([f"order-{number}" for number in range(COMMANDS)])
                for _ in range(CLIENTS):
                    tasks.create_task(order_all(daemon.socket, keys, outcomes))
                for after, blow in blows(dice):
                    await until(lambda after=after: len(outcomes) >= after, 60)  # type: ignore[misc]
                    await asyncio.sleep(dice.uniform(0, 0.02))
                    await strike(blow, daemon, pos, proxy)
                    met[str(blow)] += 1
                assert len(outcomes) < COMMANDS
            print(f"{dict(met)}, {len(shop.requests)} requests, {shop.repeats} repeats, {proxy.accepted} connections")
            print(f"{time.monotonic() - began:.1f} s")
            assert (met["kill"], met["cut"]) == (KILLS, DISCONNECTS)
            await agree(shop, outcomes, daemon)


async def order_all(path: str, keys: Iterator[str], outcomes: dict[str, dict[str, Any]]) -> None:
    for key in keys:
        outcomes[key] = await kiosk.insist(path, "order.create", kiosk.create(key, timeout=TIMEOUT))


async def strike(blow: Blow, daemon: DaemonProcess, pos: simulator.ListeningPos, proxy: TcpProxy) -> None:
    match blow:
        case "kill":
            await daemon.kill()
            await daemon.start()
        case "cut":
            await until(lambda: pos.connections)
            proxy.drop()
            await until(lambda: not pos.connections or proxy.connections)
        case fault:
            pos.faults.plan(Fault(fault), seconds=0.3)


async def agree(shop: Shop, outcomes: dict[str, dict[str, Any]], daemon: DaemonProcess) -> None:
    """The kiosks, the POS and the journal tell the same story."""
    acted = {act.provider_order_id: act for act in shop.acts}
    assert len(shop.acts) == len(acted) == len(outcomes) == COMMANDS
    assert len({act.request_id for act in shop.acts}) == COMMANDS
    assert shop.conflicts == shop.refusals == 0

    journal = {row["idempotency_key"]: row for row in await kiosk.rows(daemon.socket)}
    assert journal.keys() == outcomes.keys()
    for key, outcome in outcomes.items():
        row = journal[key]
        assert row["state"] == outcome["state"] == "succeeded"
        assert row["command_id"] == outcome["command_id"]
        assert row["result"] == outcome["result"]
        assert row["result"]["order"]["id"] == acted[key].order_id
        assert row["vendor_ids"]["request_id"] == acted[key].request_id

    told = Counter[str]()
    async with kiosk.kiosk(daemon.socket) as one:
        seq = 0
        while events := (await one.result("event.list", {"since": seq, "limit": 1000}))["events"]:
            numbers = [seq, *(event["seq"] for event in events)]
            jumps = [(earlier, later) for earlier, later in itertools.pairwise(numbers) if later != earlier + 1]
            assert not jumps, f"event numbers jump {jumps[:5]}, of {len(numbers)}"
            seq = numbers[-1]
            told.update(
                event["data"]["idempotency_key"]
                for event in events
                if event["kind"] == "command.settled" and event["data"]["state"] == "succeeded"
            )
    assert told == Counter(dict.fromkeys(outcomes, 1))
