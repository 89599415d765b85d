"""What a session tells without being asked, on its way to the journal: in order, and kept until it is durable."""

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import structlog

from ordernpay.vendors.protocol import Publish, Report

KEPT: Final = 10_000
KEPT_BYTES: Final = 16 * 1024 * 1024
PAUSE: Final = 1.0
"""Seconds between tries while the journal cannot be written."""

log = structlog.get_logger(__name__)


class Signal:
    """An event that can be waited for again and again."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Return when set since the last wait, or when the seconds are over."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event() if self._event.is_set() else self._event


class Reporter:
    """Takes reports at any time, publishes them one after the other.

    Args:
        session: whose reports these are.
        publish: durable when it returns.
        told: called with each report that is durable, and whether it settled a command.
    """

    def __init__(self, session: str, publish: Publish, told: Callable[[Report, bool], None]) -> None:
        self._session = session
        self._publish = publish
        self._told = told
        self._reports: deque[Report] = deque()
        self._bytes = 0
        self._news = Signal()

    def report(self, report: Report) -> None:
        """Take a report; the oldest one is given up where too many wait."""
        self._reports.append(report)
        self._bytes += report.size
        while len(self._reports) > KEPT or (self._bytes > KEPT_BYTES and len(self._reports) > 1):
            self._bytes -= self._reports.popleft().size
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            while self._reports:
                await self._publish_first(self._reports[0])
            await self._news.wait()

    async def _publish_first(self, report: Report) -> None:
        try:
            published = await self._publish([report])
        except OSError as error:
            log.warning("report_delayed", session=self._session, reason=str(error))
            await anyio.sleep(PAUSE)
            return
        if self._reports and self._reports[0] is report:
            self._bytes -= self._reports.popleft().size
        self._told(report, published.settled > 0)
