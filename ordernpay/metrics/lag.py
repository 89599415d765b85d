"""How late the event loop is. Whatever holds it up holds up every kiosk and every vendor."""

from typing import Final

import anyio
from prometheus_client import CollectorRegistry, Histogram

from ordernpay.clock import Clock

EVERY: Final = 0.25
"""Seconds between two beats: whatever blocks the loop for longer cannot be missed, four wake-ups a second cost nothing."""

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class LoopLag:
    """A heartbeat that measures its own lateness; time in which the machine slept is nobody's fault."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._late = Histogram(
            "ordernpay_loop_lag_seconds", "How late the event loop was", buckets=BUCKETS, registry=registry
        )

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            due = self._clock.awake() + EVERY
            await anyio.sleep(EVERY)
            self._late.observe(max(0.0, self._clock.awake() - due))
