"""A real daemon with a session of each kind, and the traffic that makes every metric move."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen

from ordernpay.daemon import Daemon
from ordernpay.journal import JournalUnavailable
from ordernpay.simulator import order_n_pay
from ordernpay.simulator.ros import RosSimulator
from ordernpay.simulator.ros.notices import Verdict
from ordernpay.simulator.shop import Shop
from ordernpay.simulator.web import WebFault
from tests.metrics.exposition import Page, read
from tests.support import daemons, kiosk, rest
from tests.support.rest import Table, Told
from tests.support.wait import until


@frozen
class Venue:
    """A bar by Order N Pay and a courier by ROS."""

    daemon: Daemon
    config: Table
    till: order_n_pay.ListeningPos
    ros: RosSimulator

    @property
    def socket(self) -> str:
        """The local socket."""
        path: str = self.config["rpc"]["socket"]
        return path

    async def text(self) -> str:
        """The page, as Prometheus gets it."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(rest.door(self.config, "/metrics"))).text

    async def page(self) -> Page:
        """The page, read."""
        return read(await self.text())

    async def order(self, session: str, reference: str, **more: Any) -> Told:
        """An order that this session's vendor takes."""
        if session == "bar":
            return Told(await kiosk.ask(self.socket, "order.create", kiosk.create(reference, session="bar", **more)))
        params = {"session": session, "order": rest.order("ros", reference), "timeout": 5} | more
        return await rest.ask(self.socket, "order.create", **params)

    async def lose_and_find(self) -> None:
        """Both connections are lost, and made anew."""
        before = {name: self.ups(name) for name in self.daemon.gateway.sessions}
        self.till.drop()
        self.ros.faults.plan(WebFault.CUT_BEFORE, path="activeoutlets")
        self.daemon.gateway.sessions["courier"].reconnect()
        await until(lambda: all(self.ups(name) == count + 1 for name, count in before.items()))

    def ups(self, session: str) -> int:
        """How often a session has come up."""
        return self.daemon.gateway.sessions[session].status().counters["connections"]

    async def webhooks(self) -> None:
        """One of each kind that ROS, a forger or a broken proxy may send, and one that meets a full disk."""
        genuine = self.ros.processed(Verdict(self.ros.foreign("HOOK")))
        hooks = self.ros.webhooks
        assert await hooks.notify(genuine) == [200]
        assert await hooks.replayed() == 200
        assert await hooks.forged(genuine) == 401
        assert await hooks.junk(self.ros.organisation, b"[]") == 400
        assert await hooks.oversize(genuine, 3 * 2**20) == 413
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.daemon.journal._writer, "do", _full)
            assert await hooks.junk(self.ros.organisation, b'{"Type": "7"}') == 503


async def _full(*_: object) -> None:
    raise JournalUnavailable("the journal cannot be written: disk full")


@contextlib.asynccontextmanager
async def venue(directory: Path) -> AsyncIterator[Venue]:
    """The daemon and both vendors, connected."""
    async with order_n_pay.serve(Shop()) as till, rest.serve_ros() as ros:
        sessions = {"bar": daemons.session(url=till.url), "courier": rest.ros_session(ros)}
        config = rest.config(directory, sessions)
        async with daemons.daemon_inside(config) as daemon:
            ros.webhooks.url = rest.door(config, "/webhooks/ros/courier")
            await rest.up(daemon)
            yield Venue(daemon, config, till, ros)


async def after_traffic(directory: Path) -> str:
    """The page of a daemon to which everything has happened once."""
    async with venue(directory) as one:
        assert (await one.order("bar", "TRAFFIC-1")).state == "succeeded"
        one.ros.faults.plan(WebFault.CUT_AFTER, path="add")
        assert (await one.order("courier", "TRAFFIC-2")).state == "unknown"
        await one.webhooks()
        await one.lose_and_find()
        beats = "ordernpay_loop_lag_seconds_count 0.0"

        async def beaten() -> bool:
            return beats not in await one.text()

        await until(beaten)
        return await one.text()
