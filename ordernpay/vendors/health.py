"""Whether a session is up, since when, and why not; and the parts of a session that are run again when they break."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from attrs import define, field

from ordernpay.clock import Clock
from ordernpay.vendors.backoff import BackOff
from ordernpay.vendors.protocol import Report, SessionState

STEADY: Final = 300.0
"""Seconds for which a session has been up before its next loss is the first one again."""

BREAK_LOW: Final = 0.5
BREAK_HIGH: Final = 60.0


@define(eq=False)
class SessionHealth:
    """The state of one session, and what is told of it.

    Attributes:
        clock: for the times.
        report: takes the events of its changes.
        log: bound to the session.
        state: as the contract names it.
        since: when it came up, or when it ceased to be; tries in between do not count. Wall time.
        last_error: why it was last not up.
        flips: how often it was lost since `unsteady_since`.
        unsteady_since: the first loss after it had been up for `STEADY` seconds, or its beginning; None while it is steady.
        breaks: how often a part of it broke inside and was run again.
        retired: whether another session speaks for the outlet now, so that nothing is told of this one.
    """

    clock: Clock
    report: Callable[[Report], None]
    log: Any
    state: SessionState = "connecting"
    last_error: str | None = None
    since: float = field(init=False)
    breaks: int = field(default=0, init=False)
    retired: bool = field(default=False, init=False)
    _losses: int = field(default=0, init=False)
    _unsteady_since: float | None = field(default=None, init=False)
    _up_at: float | None = field(default=None, init=False)
    _logged: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.since = self.clock.wall()

    def change(self, state: SessionState, why: str | None = None) -> bool:
        """Set the state; publish ``session.up`` or ``session.down`` if it changed. Return whether the session came up."""
        if why is not None:
            self.last_error = why
        if state == self.state:
            return False
        was, self.state = self.state, state
        if "up" in {was, state}:
            self.since = self.clock.wall()
        if was == "up":
            self._lost()
        self._up_at = self.clock.now() if state == "up" else None
        self._tell(was, state, why)
        return state == "up"

    def _lost(self) -> None:
        if self.steady or self._unsteady_since is None:
            self._losses, self._unsteady_since = 0, self.since
        self._losses += 1

    @property
    def steady(self) -> bool:
        """Whether it has been up for so long that earlier losses are of no interest."""
        return self._up_at is not None and self.clock.now() - self._up_at >= STEADY

    @property
    def flips(self) -> int:
        """How often it was lost since `unsteady_since`."""
        return 0 if self.steady else self._losses

    @property
    def unsteady_since(self) -> float | None:
        """The first loss of a row of them; None where there was none, or it is over."""
        return None if self.steady else self._unsteady_since

    def _tell(self, was: SessionState, state: SessionState, why: str | None) -> None:
        if self.retired:
            return
        if state not in {"connecting", self._logged}:  # once a change, and not once a try
            self._logged = state
            log = self.log.info if state == "up" else self.log.warning
            log("session_changed", state=state, reason=why, flips=self.flips)
        if state == "up":
            self.report(Report("session.up", {"state": "up"}))
        elif was == "up" or state == "refused":
            self.report(Report("session.down", {"state": state, "reason": why}))

    def broke(self, what: str, error: Exception) -> None:
        """Count and log a part that raised what no rule foresaw."""
        self.breaks += 1
        self.log.error("session_broke", part=what, breaks=self.breaks, exc_info=error)

    async def keep_running(self, part: Callable[[], Awaitable[None]], what: str) -> None:
        """Run a part of the session; where it breaks, run it again with back-off, and leave the other parts alone."""
        back_off = BackOff(BREAK_LOW, BREAK_HIGH)
        while True:
            began = self.clock.now()
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - what no rule foresaw must not end what is under way
                self.broke(what, error)
            else:
                return
            if self.clock.now() - began > BREAK_HIGH:
                back_off = BackOff(BREAK_LOW, BREAK_HIGH)
            await anyio.sleep(back_off.after_miss())
