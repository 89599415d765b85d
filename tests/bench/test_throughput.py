"""What the daemon adds to the POS' own time, measured in one run against the same simulator on a bare websocket."""

import json
import statistics
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial

from ordernpay.client import Client, connect
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.simulator import requests
from tests.support.daemons import daemon_process, session, tables
from tests.support.wait import until

ROUNDS = 150
WARM_UP = 20
MOST_ADDED_SECONDS = 0.25
"""A bound against regressions of another order of magnitude, not a promise: a slow disk flushes in 50 ms."""


async def bare(pos: ClientConnection, request: dict[str, Any]) -> float:
    request["RequestID"] = str(uuid.uuid4())
    began = time.perf_counter()
    await pos.send(json.dumps(request))
    answer = json.loads(await pos.recv())
    took = time.perf_counter() - began
    assert answer["ResultCode"] == 0
    return took


async def through(client: Client, method: str, params: dict[str, Any]) -> float:
    began = time.perf_counter()
    answer = await client.call(method, params)
    took = time.perf_counter() - began
    assert answer["state"] == "succeeded"
    return took


def told(name: str, seconds: list[float]) -> str:
    quantiles = statistics.quantiles(seconds, n=100)
    return f"{name:24} median {quantiles[49] * 1000:7.2f} ms   p99 {quantiles[98] * 1000:7.2f} ms"


@pytest.mark.bench
async def test_the_daemon_adds_little_to_a_read_and_a_flush_or_two_to_a_command(tmp_path: Path) -> None:
    shop = Shop()
    order = shop.open_order(table="14").sales_transaction_id
    async with simulator.serve(shop) as pos:
        config = tables(tmp_path, {"bar": session(url=pos.url)})
        async with daemon_process(tmp_path, config) as daemon, connect(daemon.socket) as client:
            await until(lambda: pos.connections == 1)
            async with dial(pos.url, compression=None, proxy=None) as straight:
                took: dict[str, list[float]] = {
                    name: [] for name in ("read, bare", "read, daemon", "command, bare", "command, daemon")
                }
                for number in range(WARM_UP + ROUNDS):
                    change = {"order_id": order, "covers": number % 9, "idempotency_key": f"bench-{number}"}
                    each = {
                        "read, bare": await bare(
                            straight, requests.request(1, {"ServiceModeEntityID": "", "UserOrdersOnly": False})
                        ),
                        "read, daemon": await through(client, "order.list", {}),
                        "command, bare": await bare(
                            straight, requests.update(SalesTransactionID=order, Covers=number % 9)
                        ),
                        "command, daemon": await through(client, "order.update", change),
                    }
                    if number >= WARM_UP:
                        for name, second in each.items():
                            took[name].append(second)
    for name, seconds in took.items():
        print(told(name, seconds))
    for kind in ("read", "command"):
        with_daemon, without = statistics.median(took[f"{kind}, daemon"]), statistics.median(took[f"{kind}, bare"])
        print(
            f"{kind}: {with_daemon / without:.1f} times the bare websocket, {1000 * (with_daemon - without):.2f} ms more"
        )
        assert with_daemon - without < MOST_ADDED_SECONDS
