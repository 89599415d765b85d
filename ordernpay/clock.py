"""Time, as one thing that can be handed over and replaced in a test.

Intervals are measured on CLOCK_BOOTTIME, which goes on while the machine sleeps: a deadline of thirty seconds
means thirty seconds for the person in front of the kiosk, suspended or not.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the daemon needs to know of time."""

    def now(self) -> float:
        """Seconds since boot, suspended time included."""
        ...

    def awake(self) -> float:
        """Seconds since boot without suspended time."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 by the wall clock, which may be stepped at any moment."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def awake(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


def rfc3339(wall: float) -> str:
    """A wall time in the contract's form, e.g. ``2026-11-22T18:30:00.123Z``."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(moment: str | None) -> str | None:
    """A time given with any offset as vendors want it: in UTC, with milliseconds and Z."""
    if moment is None:
        return None
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
