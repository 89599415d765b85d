"""By when a loop that runs by itself has to have moved on: what the watchdog asks of a session."""

import time
from collections.abc import Callable

from attrs import define, field

SLACK = 15.0
"""Seconds beyond what was promised, for a machine that is busy."""


@define
class Pulse:
    """A loop's word on when it is heard of again. Time is CLOCK_MONOTONIC, which stands still while the machine sleeps."""

    what: str
    _clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _due: float | None = field(default=None, init=False)

    def within(self, seconds: float) -> None:
        """It moves on within so many seconds."""
        self._due = self._clock() + seconds + SLACK

    def overdue(self) -> str | None:
        """What has not moved on in time; None while it has."""
        late = 0.0 if self._due is None else self._clock() - self._due
        return None if late <= 0 else f"{self.what} has not moved on for {late + SLACK:.0f} s beyond its time"
