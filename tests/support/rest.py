"""The three REST vendors for tests: simulators with planted secrets, the sessions that reach them, and a kiosk."""

import asyncio
import contextlib
import itertools
import json
import random
import socket as socketlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
from attrs import evolve, frozen

from ordernpay.daemon import Daemon
from ordernpay.simulator import doshii as doshii_simulator
from ordernpay.simulator import ros as ros_simulator
from ordernpay.simulator.doshii import App, DoshiiSimulator
from ordernpay.simulator.ros import Credentials as RosCredentials
from ordernpay.simulator.ros import Organisation, Outlet, RosSimulator
from ordernpay.simulator.tevalis import Credentials as TevalisCredentials
from ordernpay.simulator.tevalis import Site, TevalisSimulator
from tests.support.daemons import daemon_inside, tables
from tests.support.kiosk import keyed
from tests.support.wait import until

ROS_SECRET: Final = "PLANTED-ros-client-secret-3Hk9"
ROS_WEBHOOK_SECRET: Final = "PLANTED-ros-webhook-secret-8Zt1"
TEVALIS_GUID: Final = "PLANTED-tevalis-guid-51a4"
TEVALIS_GUID2: Final = "PLANTED-tevalis-guid2-3c0d"
DOSHII_SECRET: Final = "PLANTED-doshii-client-secret-77aa"
DOSHII_KEY: Final = "PLANTED-doshii-webhook-key-01"
DOSHII_TOKEN: Final = "PLANTED-doshii-webhook-token-02"

OUTLET: Final = "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02"
UNKNOWN_GUID: Final = "0b8f5c1e-0a4d-4d57-9a50-6d1b7e2c9f01"
PRODUCTS: Final = {
    "ros": ("1203", "Soup", "4.50"),
    "tevalis": ("SOUP", "Soup", "4.50"),
    "doshii": ("toasted_eggs", "Toasted Sourdough Bread & Eggs", "11.00"),
    "order-n-pay": ("5b0e2a1d-3f64-4a27-8c55-0d9f4d1b1203", "Soup", "4.50"),
}
_numbers = itertools.count(1)

Table = dict[str, Any]


def ros() -> RosSimulator:
    """A ROS whose secrets are planted."""
    organisation = Organisation(
        "DEMOORG", "c2f0a7d1-6a55-4a3e-b0ce-90de11aa2203", ROS_WEBHOOK_SECRET, (Outlet(OUTLET),)
    )
    return RosSimulator(organisations=[organisation], credentials=RosCredentials(client_secret=ROS_SECRET))


@contextlib.asynccontextmanager
async def serve_ros(simulator: RosSimulator | None = None) -> AsyncIterator[RosSimulator]:
    """A ROS on the network."""
    async with ros_simulator.serve(simulator or ros()) as served:
        yield served


@contextlib.asynccontextmanager
async def serve_tevalis(**site: Any) -> AsyncIterator[TevalisSimulator]:
    """A Tevalis on the network, whose secrets are planted."""
    credentials = TevalisCredentials(guid=TEVALIS_GUID, guid2=TEVALIS_GUID2)
    async with TevalisSimulator(Site(credentials=credentials, **site)).serve() as served:
        yield served


@contextlib.asynccontextmanager
async def serve_doshii(**more: Any) -> AsyncIterator[DoshiiSimulator]:
    """A Doshii on the network, whose secrets are planted."""
    async with doshii_simulator.serve(app=App(client_secret=DOSHII_SECRET), **more) as served:
        yield served


def ros_session(simulator: RosSimulator, **changes: Any) -> Table:
    """The table of a session that reaches this ROS; impatient."""
    table: Table = {
        "vendor": "ros",
        "auth_url": simulator.token_url,
        "organisation": simulator.organisation.code,
        "client_id": simulator.authority.credentials.client_id,
        "client_secret": ROS_SECRET,
        "webhook_secret": ROS_WEBHOOK_SECRET,
        "outlet_id": OUTLET,
        "provider_id": simulator.provider.provider_id,
        "provider_name": simulator.provider.name,
        "currency": "GBP",
        "unavailable_seconds": 0.2,
        "error_delays": [0.05, 0.06, 0.07],
        "probe_seconds": 600.0,
    }
    return table | changes


def tevalis_session(simulator: TevalisSimulator, **changes: Any) -> Table:
    """The table of a session that reaches this Tevalis; impatient."""
    credentials = simulator.site.credentials
    table: Table = {
        "vendor": "tevalis",
        "base_url": simulator.base_url,
        "site_id": simulator.site.site_id,
        "price_group_id": 3,
        "company_id": credentials.company_id,
        "dev_id": credentials.dev_id,
        "guid": TEVALIS_GUID,
        "guid2": TEVALIS_GUID2,
        "tender_type_id": 14,
        "unavailable_seconds": 0.2,
        "error_delays": [0.05, 0.06, 0.07],
    }
    return table | changes


def doshii_session(simulator: DoshiiSimulator, *, socket: bool = True, **changes: Any) -> Table:
    """The table of a session that reaches this Doshii; impatient."""
    table: Table = {
        "vendor": "doshii",
        "base_url": simulator.base_url,
        "location_id": simulator.location_id,
        "client_id": simulator.app.client_id,
        "client_secret": DOSHII_SECRET,
        "webhook_key": DOSHII_KEY,
        "webhook_token": DOSHII_TOKEN,
        "unavailable_seconds": 0.2,
        "error_delays": [0.05, 0.06, 0.07],
        "lookup_seconds": 0.1,
        "reconcile_seconds": 0.3,
        "probe_seconds": 600.0,
        "reconnect_max": 0.3,
        "refused_retry": 0.3,
    }
    if socket:
        table["socket_url"] = simulator.socket_url
    return table | changes


def line(vendor: str, **changes: Any) -> Table:
    """A line that this vendor sells."""
    product, name, price = PRODUCTS[vendor]
    return {"product": product, "name": name, "quantity": 1, "unit_price": price} | changes


def order(vendor: str, reference: str | None = None, **changes: Any) -> Table:
    """An order that this vendor takes."""
    return {"reference": reference or fresh("K"), "type": "pickup", "lines": [line(vendor)]} | changes


def fresh(prefix: str) -> str:
    """A name that no other test of this run has."""
    return f"{prefix}-{next(_numbers)}"


@frozen
class Told:
    """What the daemon answered to a call."""

    body: Table

    @property
    def ok(self) -> bool:
        """Whether it is a result."""
        return "result" in self.body

    @property
    def state(self) -> str | None:
        """How the command ended."""
        told: Table = self.body.get("result") or self.body["error"].get("data") or {}
        return told.get("state")

    @property
    def result(self) -> Table:
        """The command's own result."""
        assert self.ok, self.body
        result: Table = self.body["result"]["result"]
        return result

    @property
    def vendor(self) -> Any:
        """The vendor's own answer."""
        return self.body["result"]["vendor"]

    @property
    def code(self) -> int | None:
        """The error's number; None for a result."""
        code: int | None = self.body.get("error", {}).get("code")
        return code

    @property
    def data(self) -> Table:
        """What came with the error."""
        assert not self.ok, self.body
        data: Table = self.body["error"]["data"]
        return data

    @property
    def command_id(self) -> str:
        """The command."""
        told: Table = self.body["result"] if self.ok else self.data
        identity: str = told["command_id"]
        return identity

    @property
    def order_id(self) -> str:
        """The vendor's number of the order."""
        identity: str = self.result["order"]["id"]
        return identity


async def ask(socket: str, method: str, **params: Any) -> Told:
    """One call over the local socket; a change gets a key of its own, unless it has one."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=2**24)
    try:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": keyed(method, params)}
        writer.write(json.dumps(request, default=str).encode() + b"\n")
        text = await reader.readline()
        if not text:
            raise ConnectionError("the daemon is gone")
        return Told(json.loads(text, parse_float=Decimal))
    finally:
        writer.close()


async def read(socket: str, method: str, **params: Any) -> Table:
    """The answer of a method that is no vendor's command."""
    told = await ask(socket, method, **params)
    assert told.ok, told.body
    result: Table = told.body["result"]
    return result


async def row(socket: str, command_id: str) -> Table:
    """A command as the journal has it."""
    return await read(socket, "command.get", command_id=command_id)


async def events(socket: str, since: int = 0, **filters: Any) -> list[Table]:
    """All kept events."""
    found: list[Table] = []
    while True:
        page = await read(socket, "event.list", since=since, limit=500, **filters)
        found += page["events"]
        if len(page["events"]) < 500:
            return found
        since = page["events"][-1]["seq"]


async def up(daemon: Daemon, *names: str) -> None:
    """Wait until these sessions, or all, are up."""
    sessions = daemon.gateway.sessions
    await until(lambda: all(sessions[name].status().state == "up" for name in names or sessions))


async def up_outside(socket: str, answers: int = 0) -> None:
    """The same for a daemon in its own process, and that each session had so many answers of its vendor."""

    async def state() -> bool:
        listed = await read(socket, "session.list")
        return all(one["state"] == "up" and one["counters"].get("answers", 0) >= answers for one in listed["sessions"])

    await until(state, 20)


def config(directory: Path, sessions: Table, **more: Any) -> Table:
    """A whole configuration, with an HTTP door on a free port."""
    return tables(directory, sessions, inbound={"host": "127.0.0.1", "port": free_port()}, **more)


def door(config: Table, path: str = "") -> str:
    """Where the HTTP door of this configuration is."""
    return f"http://127.0.0.1:{config['inbound']['port']}{path}"


def free_port() -> int:
    """A port on which nobody listens, below those that outgoing connections get."""
    for _ in range(100):
        port = random.randint(20_000, 32_000)
        with contextlib.suppress(OSError), socketlib.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


def site_with(simulator: TevalisSimulator, **changes: Any) -> None:
    """Have the site decide otherwise from now on."""
    simulator.site = evolve(simulator.site, **changes)


@frozen
class Bench:
    """One session, `venue`, of a daemon inside the test, and the simulated vendor behind it."""

    simulator: Any
    daemon: Daemon
    config: Table

    @property
    def socket(self) -> str:
        """The local socket."""
        path: str = self.config["rpc"]["socket"]
        return path

    async def ask(self, method: str, **params: Any) -> Told:
        """One call."""
        return await ask(self.socket, method, **({"session": "venue", "timeout": 5} | params))

    async def row(self, told: Told) -> Table:
        """The command of an answer, as the journal has it."""
        return await row(self.socket, told.command_id)

    async def events(self, *kinds: str) -> list[Table]:
        """The kept events, but for those of sessions."""
        found = await events(self.socket)
        return [one for one in found if (one["kind"] in kinds if kinds else not one["kind"].startswith("session."))]

    async def metrics(self) -> str:
        """What Prometheus is told."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(door(self.config, "/metrics"))).text


@contextlib.asynccontextmanager
async def bench(directory: Path, vendor: str, simulator: Any = None, **changes: Any) -> AsyncIterator[Bench]:
    """A daemon with one session of this vendor."""
    served: dict[str, Any] = {"ros": serve_ros, "tevalis": serve_tevalis, "doshii": serve_doshii}
    sessions: dict[str, Any] = {"ros": ros_session, "tevalis": tevalis_session, "doshii": doshii_session}
    async with contextlib.AsyncExitStack() as stack:
        place = simulator if simulator is not None else await stack.enter_async_context(served[vendor]())
        session = sessions[vendor](place, **changes)
        table = config(directory, {"venue": session})
        place.server.heard.clear()
        daemon = await stack.enter_async_context(daemon_inside(table))
        if vendor == "ros":
            place.webhooks.url = door(table, "/webhooks/ros/venue")
        await up(daemon)
        if "socket_url" in session:  # whose connection catches up with what was missed, by requests of its own
            await until(lambda: any("venue_cancelled" in heard.query for heard in place.server.heard))
        place.server.heard.clear()
        yield Bench(place, daemon, table)


def loads(body: bytes) -> Any:
    """JSON with its numbers as they stand there."""
    return json.loads(body, parse_float=Decimal)
