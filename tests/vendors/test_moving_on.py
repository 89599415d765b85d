"""Each loop of a session gives the watchdog its word at every turn: one that hangs is overdue, one that waits is not."""

import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from ordernpay.vendors.doshii import feed as doshii_feed
from ordernpay.vendors.order_n_pay import session as order_n_pay
from ordernpay.vendors.pulse import SLACK, Pulse
from ordernpay.vendors.rest import PROBE_MOST, RestLine
from tests.support.daemons import daemon_inside, session, tables
from tests.support.wait import until
from tests.vendors.given import HandClock, Journal, Script, serving
from tests.vendors.test_doshii_feed import Ears, feed, listening, url


def later(pulse: Pulse, seconds: float) -> str | None:
    """What the pulse says so many seconds from now."""
    pulse._clock = lambda: time.monotonic() + seconds
    try:
        return pulse.overdue()
    finally:
        pulse._clock = time.monotonic


async def hangs(*_: Any, **__: Any) -> Any:
    await anyio.sleep_forever()


async def given(pulse: Pulse) -> None:
    await until(lambda: pulse._due is not None)


async def test_a_rest_probe_that_hangs() -> None:
    line = RestLine("cafe", "acme", Script(), Journal(), HandClock())
    [pulse] = line.pulses
    async with serving(lambda: line.keep_probing(hangs, 600.0)):
        await given(pulse)
        assert later(pulse, PROBE_MOST) is None
        assert later(pulse, PROBE_MOST + SLACK + 1) == "its probe has not moved on for 16 s beyond its time"


async def test_a_rest_session_that_is_up_may_rest_until_its_next_probe() -> None:
    line = RestLine("cafe", "acme", Script(), Journal(), HandClock())
    [pulse] = line.pulses

    async def probe() -> None:
        line.stands()

    async with serving(lambda: line.keep_probing(probe, 600.0)):
        await until(lambda: line.status().state == "up")
        assert later(pulse, 590.0) is None
        assert later(pulse, 600.0 + SLACK + 1) is not None
        assert line.status().overdue is None


async def test_a_dial_that_hangs(monkeypatch: pytest.MonkeyPatch, artifacts: Path) -> None:
    monkeypatch.setattr(order_n_pay, "open_link", hangs)
    config = tables(artifacts, {"bar": session(url="ws://127.0.0.1:9/", connect_timeout=5.0)})
    async with daemon_inside(config) as daemon:
        pulse = daemon.gateway.sessions["bar"]._session._pulse  # type: ignore[attr-defined]
        await given(pulse)
        assert later(pulse, 4.0) is None
        assert "its connection" in str(later(pulse, 5.0 + SLACK + 1))


async def test_a_pause_between_two_dials_is_no_fault(artifacts: Path) -> None:
    wait = {"reconnect_min": 600.0, "reconnect_max": 600.0, "connect_timeout": 1.0}
    async with daemon_inside(tables(artifacts, {"bar": session(url="ws://127.0.0.1:9/", **wait)})) as daemon:
        await until(lambda: daemon.gateway.sessions["bar"].status().state == "down")
        pulse = daemon.gateway.sessions["bar"]._session._pulse  # type: ignore[attr-defined]
        assert later(pulse, 290.0) is None
        assert later(pulse, 600.0 + SLACK + 1) is not None


async def test_a_link_that_nobody_keeps_alive(artifacts: Path) -> None:
    async with simulator.serve(Shop()) as pos:
        alive = {"ping_interval": 100.0, "ping_timeout": 50.0, "connect_timeout": 1.0}
        async with daemon_inside(tables(artifacts, {"bar": session(url=pos.url, **alive)})) as daemon:
            await until(lambda: daemon.gateway.sessions["bar"].status().state == "up")
            pulse = daemon.gateway.sessions["bar"]._session._pulse  # type: ignore[attr-defined]
            await until(lambda: later(pulse, 140.0) is None)
            assert later(pulse, 150.0 + SLACK + 1) is not None


async def test_a_socket_for_events_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doshii_feed.Feed, "_once", hangs)
    one = feed(Ears(), "ws://127.0.0.1:9/", connect_timeout=5.0)
    async with serving(one.run):
        await given(one.pulse)
        assert later(one.pulse, 4.0) is None
        assert "its socket" in str(later(one.pulse, 5.0 + SLACK + 1))


async def test_a_pause_between_two_sockets_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(_: object) -> tuple[str, float]:
        return "lost", 0.0

    monkeypatch.setattr(doshii_feed.Feed, "_once", ends)
    ears = Ears()
    one = feed(ears, "ws://127.0.0.1:9/", connect_timeout=1.0, reconnect_min=600.0, reconnect_max=600.0)
    async with serving(one.run):
        await until(lambda: ears.changes)
        assert later(one.pulse, 290.0) is None
        assert later(one.pulse, 600.0 + SLACK + 1) is not None


async def test_a_socket_that_nobody_keeps_alive() -> None:
    ears = Ears()
    async with listening() as vendor:
        one = feed(ears, url(vendor), connect_timeout=1.0, ping_interval=100.0, ping_timeout=50.0)
        async with serving(one.run):
            await until(lambda: vendor.frames)
            assert later(one.pulse, 190.0) is None
            assert later(one.pulse, 200.0 + SLACK + 1) is not None
