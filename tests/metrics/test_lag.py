"""How late the loop is, measured by a beat that is late itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry

from ordernpay.clock import Clock, SystemClock
from ordernpay.metrics.lag import EVERY, LoopLag
from tests.support.fakes import HandClock
from tests.support.wait import until


@contextlib.asynccontextmanager
async def beating(clock: Clock) -> AsyncIterator[CollectorRegistry]:
    registry = CollectorRegistry()
    beat = asyncio.create_task(LoopLag(clock, registry).run())
    await asyncio.sleep(0)
    yield registry
    beat.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beat


def figure(registry: CollectorRegistry, name: str) -> float:
    value = registry.get_sample_value(f"ordernpay_loop_lag_seconds_{name}")
    assert value is not None
    return value


async def test_a_loop_that_was_held_up_is_late_by_that_much() -> None:
    async with beating(SystemClock()) as registry:
        time.sleep(EVERY + 0.3)  # noqa: ASYNC251 - this is what is measured
        await until(lambda: figure(registry, "count") >= 1)
        assert 0.25 <= figure(registry, "sum") < 10


async def test_a_machine_that_slept_was_not_held_up() -> None:
    clock = HandClock()
    async with beating(clock) as registry:
        clock.asleep += 3_600
        await until(lambda: figure(registry, "count") >= 1)
        assert figure(registry, "sum") == 0
