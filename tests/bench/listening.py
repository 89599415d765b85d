"""What comes in over HTTP: many tills that dial the daemon, and webhooks."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import httpx

from tests.bench import floors
from tests.bench.driving import Program, Rpc, closed_loop, daemon, resident, running, update
from tests.bench.peers import AUTH_SECRET
from tests.support.poster import by_ros, flood
from tests.support.rest import ROS_WEBHOOK_SECRET

COUNTS: Final = (1, 1_000, 5_000)
WEBHOOKS: Final = 3_000
OUTLET: Final = "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02"


def outlet(number: int) -> dict[str, Any]:
    """Return the table of a session whose POS dials."""
    return {
        "vendor": "order-n-pay",
        "role": "listen",
        "provider_id": 1,
        "provider_name": "P",
        "device_id": "D",
        "user": "1",
        "provider_outlet_id": f"venue-{number}",
        "pos_remote_id": f"remote-{number}",
        "auth_secret": AUTH_SECRET,
    }


def sessions(folder: Path, _rounds: int) -> dict[str, float]:
    """Measure memory, coming up and looking at 1, 1,000 and 5,000 sessions whose tills dial the daemon."""
    figures: dict[str, float] = {}
    base = 0
    for count in COUNTS:
        place = folder / str(count)
        place.mkdir()
        named = {f"s{number}": outlet(number) for number in range(count)}
        with daemon(place, named) as own:
            idle = resident(own.pid)
            began = time.perf_counter()
            with running(place, "tests.bench.peers", "tills", str(own.http), str(count)):
                _until_up(own, count)
                figures[f"seconds until all are up, {count:,} sessions"] = time.perf_counter() - began
                used = resident(own.pid)
                base = base or used
                if count > 1:
                    figures[f"KiB a session, {count:,} sessions"] = (used - base) / (count - 1) / 1024
                    figures[f"KiB a session that is down, {count:,} sessions"] = (idle - base) / (count - 1) / 1024
                figures |= _looks(own, count)
                load = closed_loop(own.socket, own.pid, "order.update", lambda: update("s0"), count=200, width=1)
                figures[f"command p50 ms, {count:,} sessions"] = load.p50 * 1000
    return figures


def _until_up(own: Program, count: int) -> None:
    while own.metric("ordernpay_session_up") < count:
        time.sleep(0.25)


def _looks(own: Program, count: int) -> dict[str, float]:
    """Return how long another call waits while somebody looks at all sessions."""
    rpc = Rpc(own.socket)
    looks = {
        "session.list": lambda: rpc.call("session.list"),
        "daemon.status": lambda: rpc.call("daemon.status"),
        "metrics": lambda: httpx.get(f"http://127.0.0.1:{own.http}/metrics", timeout=60, trust_env=False),
    }
    found = {f"{name} ms, {count:,} sessions": floors.median(look, 5) * 1000 for name, look in looks.items()}
    rpc.close()
    return found


def webhooks(folder: Path, _rounds: int) -> dict[str, float]:
    """Measure how many signed webhooks of ROS a second become durable."""
    table = {
        "vendor": "ros",
        "auth_url": "http://127.0.0.1:9/token",
        "organisation": "ORG",
        "client_id": "c",
        "client_secret": "s",
        "webhook_secret": ROS_WEBHOOK_SECRET,
        "outlet_id": OUTLET,
        "provider_id": 1,
        "provider_name": "P",
    }
    posts = []
    for number in range(WEBHOOKS):
        order = {"remoteOrderID": f"{number:032x}", "providerOrderID": str(number), "outletID": OUTLET}
        posts.append(by_ros(json.dumps({"organisationCode": "ORG", "preparedOrders": [order]}).encode()))
    with daemon(folder, {"courier": table}) as own:
        came = asyncio.run(flood(f"http://127.0.0.1:{own.http}/webhooks/ros/courier", posts, rate=1e9))
        commit = floors.commit(folder)
    assert came.statuses[200] == WEBHOOKS, came.statuses
    delays = sorted(came.delays)
    return {
        "webhooks a second": came.rate,
        "webhooks a second / commits a second, one in flight": came.rate * commit,
        "p50 ms, 24 connections": delays[len(delays) // 2] * 1000,
        "p99 ms, 24 connections": delays[len(delays) * 99 // 100] * 1000,
    }
