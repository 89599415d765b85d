"""A link that is silent but not closed is found and replaced within 35 s by the default settings, in both roles.

A late answer settles a command that was told as `unknown`, and an event says so.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

import pytest

from ordernpay.daemon import Daemon
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import daemon_inside, session, tables
from tests.support.proxy import TcpProxy
from tests.support.venues import free_port, inbound, listening
from tests.support.wait import until

AT_MOST: Final = 35.0
LATE: Final = 36.0


@pytest.mark.figures
@pytest.mark.slow
async def test_in_both_roles_and_a_late_answer_comes_over_the_new_link(artifacts: Path) -> None:
    port = free_port()
    shops = {"bar": Shop(), "terrace": Shop()}
    async with (
        simulator.serve(shops["bar"]) as bar,
        TcpProxy(bar.host, bar.port) as bar_proxy,
        TcpProxy("127.0.0.1", port) as terrace_proxy,
    ):
        config = tables(
            artifacts,
            {"bar": session(url=f"ws://127.0.0.1:{bar_proxy.port}/"), "terrace": listening()},
            inbound=inbound(port),
        )
        path = config["rpc"]["socket"]
        async with (
            daemon_inside(config) as daemon,
            simulator.dial(shops["terrace"], f"http://127.0.0.1:{terrace_proxy.port}", kiosk.CREDENTIALS) as terrace,
        ):
            async with asyncio.TaskGroup() as both:
                both.create_task(black_out("bar", daemon, path, bar, bar_proxy))
                both.create_task(black_out("terrace", daemon, path, terrace, terrace_proxy))
            assert [len(shop.acts) for shop in shops.values()] == [2, 2]


async def black_out(
    name: str, daemon: Daemon, path: str, pos: simulator.DialingPos | simulator.ListeningPos, proxy: TcpProxy
) -> None:
    one = daemon.gateway.sessions[name]
    await kiosk.up(path, name)
    pos.faults.plan(Fault.LATE, seconds=LATE)
    error = (await kiosk.ask(path, "order.create", kiosk.create(name, session=name, timeout=0.3)))["error"]
    assert (error["code"], error["data"]["state"]) == (1006, "unknown")

    proxy.blackhole()
    lost = await kiosk.ask(path, "order.list", {"session": name, "timeout": 0.3})
    assert lost["error"]["code"] == 1008
    assert proxy.swallowed
    proxy.restore()  # for new connections only: this one has lost bytes
    silent_since = time.monotonic()
    assert one.status().state == "up"
    await until(lambda: one.status().counters["connections"] == 2 and one.status().state == "up", AT_MOST)
    print(f"{name}: replaced after {time.monotonic() - silent_since:.1f} s")
    assert time.monotonic() - silent_since > 5  # by its silence, and not because the proxy told

    async with kiosk.kiosk(path) as follower:
        since = daemon.events.last_seq
        answer = await follower.result("order.create", kiosk.create(f"{name}-2", session=name))
        assert answer["state"] == "succeeded"  # the new link works

        await follower.result("event.subscribe", {"since": 0, "sessions": [name], "kinds": ["command.settled"]})
        states: list[str] = []
        while states[-1:] != ["succeeded"]:
            message = await follower.hear(LATE)
            data = message["params"]["event"]["data"]
            if data["idempotency_key"] == name:
                states.append(data["state"])
        assert states == ["unknown", "succeeded"]
        assert since < daemon.events.last_seq
    assert (await kiosk.row_of(path, name))["state"] == "succeeded"
    same = await kiosk.ask(path, "order.create", kiosk.create(name, session=name))
    assert same["result"]["state"] == "succeeded"
