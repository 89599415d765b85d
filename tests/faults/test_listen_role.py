"""The POS dials: who may come in, for how long, and which of its connections counts."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ordernpay.daemon import Daemon
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import AUTH_PATH, Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import daemon_inside, daemon_process, tables
from tests.support.proxy import TcpProxy
from tests.support.venues import free_port, inbound, listening
from tests.support.wait import until


@frozen
class Venue:
    daemon: Daemon
    path: str
    port: int

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def counters(self, name: str = "bar") -> dict[str, int]:
        return self.daemon.gateway.sessions[name].status().counters

    def state(self, name: str = "bar") -> str:
        return self.daemon.gateway.sessions[name].status().state

    async def auth(self, **changes: Any) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.post(self.base + AUTH_PATH, json=kiosk.CREDENTIALS.as_request() | changes)

    async def token(self, **changes: Any) -> str:
        token: str = (await self.auth(**changes)).json()["AccessToken"]
        return token

    async def open(self, token: str, path: str = "/") -> ClientConnection:
        return await connect(f"ws://127.0.0.1:{self.port}{path}?token={token}", proxy=None, close_timeout=1)


@contextlib.asynccontextmanager
async def venue(folder: Path, others: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Venue]:
    port = free_port()
    config = tables(folder, {"bar": listening(**changes)} | (others or {}), inbound=inbound(port))
    async with daemon_inside(config) as daemon:
        yield Venue(daemon, config["rpc"]["socket"], port)


@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_with_all_three_values_a_token_and_with_it_the_websocket(path: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        answer = await bar.auth()
        assert answer.status_code == 200
        assert answer.json()["ErrorMessage"] is None
        async with await bar.open(answer.json()["AccessToken"], path):
            await kiosk.up(bar.path)
        await until(lambda: bar.state() == "down")


async def test_wrong_credentials_are_401_and_too_many_are_429(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        statuses = []
        for number in range(12):
            name = ("ProviderOutletID", "POSRemoteID", "AuthSecret")[number % 3]
            answer = await bar.auth(**{name: "wrong"})
            statuses.append(answer.status_code)
            if answer.status_code == 401:
                assert answer.json()["AccessToken"] is None
                assert answer.json()["ErrorMessage"]
        assert statuses == [401] * 10 + [429] * 2
        assert (await bar.auth()).status_code == 200  # whoever else fails behind the same address
        assert bar.state() == "down"


async def test_websockets_with_bad_tokens_are_counted_apart(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        for number in range(12):
            with pytest.raises(InvalidStatus) as refused:
                await bar.open("no-token")
            assert refused.value.response.status_code == (403 if number < 10 else 429)
        assert (await bar.auth(AuthSecret="wrong")).status_code == 401
        async with await bar.open(await bar.token()):
            await kiosk.up(bar.path)


async def test_a_token_outlives_a_restart(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        token = await bar.token()
    async with venue(artifacts) as again, await again.open(token):
        await kiosk.up(again.path)


async def test_a_connection_that_stands_outlives_the_failures_of_others(artifacts: Path) -> None:
    shop = Shop()
    async with venue(artifacts) as bar, simulator.dial(shop, bar.base, kiosk.CREDENTIALS):
        await kiosk.up(bar.path)
        for _ in range(12):
            await bar.auth(AuthSecret="wrong")
        answer = await kiosk.ask(bar.path, "order.create", kiosk.create("key"))
        assert answer["result"]["state"] == "succeeded"


async def test_a_token_of_one_outlet_does_not_open_another(artifacts: Path) -> None:
    terrace = listening() | {"pos_remote_id": "remote-8", "provider_outlet_id": "venue-43"}
    async with venue(artifacts, {"terrace": terrace}) as both:
        token = await both.token()
        other = await both.token(POSRemoteID="remote-8", ProviderOutletID="venue-43")
        assert (await both.auth(POSRemoteID="remote-8")).status_code == 401  # one of each
        async with await both.open(token):
            await kiosk.up(both.path, "bar")
            assert both.state("terrace") == "down"
            async with await both.open(other):
                await kiosk.up(both.path, "terrace")
                assert both.counters("bar")["connections"] == both.counters("terrace")["connections"] == 1
                assert both.counters("bar")["superseded"] == 0


async def test_the_newest_connection_of_an_outlet_wins_and_takes_what_is_in_flight(artifacts: Path) -> None:
    shop = Shop()
    async with venue(artifacts) as bar:
        async with await bar.open(await bar.token()) as older:
            await kiosk.up(bar.path)
            calls = [
                asyncio.create_task(kiosk.ask(bar.path, "order.create", kiosk.create(f"key-{number}")))
                for number in range(3)
            ]
            frames = [str(await older.recv()) for _ in calls]
            async with await bar.open(await bar.token()) as newer:
                again = [str(await newer.recv()) for _ in calls]
                assert again == frames  # the same RequestIDs, in the order in which they came
                with pytest.raises(ConnectionClosed):
                    await older.recv()
                assert older.close_code == 1000
                for frame in reversed(again):
                    await newer.send(shop.answer(frame).text)
                assert {(await call)["result"]["state"] for call in calls} == {"succeeded"}
                assert (bar.counters()["superseded"], bar.state()) == (1, "up")
        assert len(shop.acts) == 3


async def test_the_close_of_an_old_connection_does_not_touch_the_newer(artifacts: Path) -> None:
    shop = Shop()
    port = free_port()
    config = tables(artifacts, {"bar": listening()}, inbound=inbound(port))
    path = config["rpc"]["socket"]
    async with daemon_inside(config) as daemon, TcpProxy("127.0.0.1", port) as proxy:
        bar = Venue(daemon, path, port)
        through = Venue(daemon, path, proxy.port)
        older = await through.open(await bar.token())
        await kiosk.up(path)
        async with simulator.dial(shop, bar.base, kiosk.CREDENTIALS) as pos:
            await until(lambda: bar.counters()["superseded"] == 1)
            proxy.drop()
            with contextlib.suppress(ConnectionClosed):
                await older.recv()
            await older.close()
            answer = await kiosk.ask(path, "order.create", kiosk.create("key"))
            assert answer["result"]["state"] == "succeeded"
            assert (bar.state(), bar.counters()["connections"], pos.accepted) == ("up", 2, 1)


async def test_a_token_expires(artifacts: Path) -> None:
    async with venue(artifacts, token_seconds=0.5) as bar:
        token = await bar.token()
        async with await bar.open(token) as standing:
            await kiosk.up(bar.path)
            await asyncio.sleep(0.6)  # the token's life is over
            with pytest.raises(InvalidStatus):
                await bar.open(token)
            assert (bar.state(), bar.counters()["connections"]) == ("up", 1)  # what stands is not touched
            await standing.ping()


async def test_a_pos_that_restarts_is_served_again_and_an_order_survives_it(artifacts: Path) -> None:
    shop = Shop()
    async with venue(artifacts) as bar:
        async with simulator.dial(shop, bar.base, kiosk.CREDENTIALS) as pos:
            await kiosk.up(bar.path)
            pos.faults.plan(Fault.SILENT)
            call = asyncio.create_task(kiosk.ask(bar.path, "order.create", kiosk.create("key")))
            await until(lambda: shop.acts)
        await until(lambda: bar.state() == "down")
        async with simulator.dial(shop, bar.base, kiosk.CREDENTIALS):
            assert (await call)["result"]["state"] == "succeeded"
            assert (len(shop.acts), shop.repeats) == (1, 1)


async def test_a_daemon_that_is_killed_is_found_again_by_the_pos(artifacts: Path) -> None:
    port, shop = free_port(), Shop()
    config = tables(artifacts, {"bar": listening()}, inbound=inbound(port))
    async with (
        simulator.dial(shop, f"http://127.0.0.1:{port}", kiosk.CREDENTIALS) as pos,
        daemon_process(artifacts, config) as daemon,
    ):
        await kiosk.up(daemon.socket)
        pos.faults.plan(Fault.SILENT)
        lost = asyncio.create_task(kiosk.ask(daemon.socket, "order.create", kiosk.create("key")))
        await until(lambda: shop.acts)
        await daemon.kill()
        with contextlib.suppress(kiosk.Gone):
            await lost
        await daemon.start()
        outcome = await kiosk.insist(daemon.socket, "order.create", kiosk.create("key"))
        assert outcome["state"] == "succeeded"
        assert len(shop.acts) == 1


@pytest.mark.slow
async def test_a_pos_that_floods_ends_nothing(artifacts: Path) -> None:
    port = free_port()
    config = tables(artifacts, {"bar": listening()}, inbound=inbound(port))
    async with daemon_process(artifacts, config) as daemon:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"http://127.0.0.1:{port}{AUTH_PATH}", json=kiosk.CREDENTIALS.as_request())
        url = f"ws://127.0.0.1:{port}/?token={answer.json()['AccessToken']}"
        async with connect(url, proxy=None, close_timeout=1) as rude:
            await kiosk.up(daemon.socket)
            flooding = asyncio.create_task(flood(rude))
            loop = asyncio.get_running_loop()
            took = []
            for _ in range(3):
                began = loop.time()
                await kiosk.ask(daemon.socket, "session.list")
                took.append(loop.time() - began)
            flooding.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await flooding
            print(f"slowest answer under the flood: {max(took):.2f} s")
            began = loop.time()
            await kiosk.ask(daemon.socket, "session.list")
            assert loop.time() - began < 10


async def flood(connection: ClientConnection) -> None:
    number = 0
    while True:
        await connection.send(json.dumps({"RequestID": f"nobody-{number}", "ResultCode": 0}))
        await connection.send("garbage")
        number += 1


async def test_two_poses_that_fight_for_an_outlet_lose_no_order(artifacts: Path) -> None:
    shop = Shop()
    async with (
        venue(artifacts) as bar,
        simulator.dial(shop, bar.base, kiosk.CREDENTIALS, reconnect_delay=0.02),
        simulator.dial(shop, bar.base, kiosk.CREDENTIALS, reconnect_delay=0.02),
    ):
        outcomes = [
            await kiosk.insist(bar.path, "order.create", kiosk.create(f"key-{number}", timeout=10))
            for number in range(20)
        ]
        assert {outcome["state"] for outcome in outcomes} == {"succeeded"}
        assert len(shop.acts) == 20
        assert bar.counters()["superseded"] > 2


async def test_credentials_are_compared_whole(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        right = kiosk.CREDENTIALS.as_request()
        for name, value in right.items():
            for near in (value[:-1], value + "x", value.upper(), f" {value}", ""):
                if near != value:
                    assert (await bar.auth(**{name: near})).status_code in {401, 429}
