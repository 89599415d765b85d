"""How one session reaches the journal: what it tells, and which of its commands have no outcome yet."""

from collections.abc import Mapping, Sequence

import structlog

from ordernpay.attempts import Running
from ordernpay.clock import Clock
from ordernpay.journal import Journal, Row
from ordernpay.vendors.protocol import Published, Report, Undecided

log = structlog.get_logger(__name__)


class SessionPublisher:
    """The journal for one session; see `vendors.protocol.Publish`.

    Args:
        journal: where reports are kept.
        clock: for the time of a report.
        session: the name of the session.
        running: the commands under way, by id; a try whose command a report settles is broken off.
    """

    def __init__(self, journal: Journal, clock: Clock, session: str, running: Mapping[str, Running]) -> None:
        self._journal = journal
        self._clock = clock
        self._session = session
        self._running = running

    async def __call__(
        self,
        reports: Sequence[Report],
        once: str | tuple[str, ...] | None = None,
        within: float | None = None,
        of: str | None = None,
        also: str | None = None,
    ) -> Published:
        settled = await self._journal.publish(self._session, reports, once, self._clock.wall(), within, of, also)
        for row in settled or ():
            log.info("command_settled_late", session=self._session, command_id=row.command_id, state=row.state)
            if row.command_id in self._running:
                self._running[row.command_id].leave()  # what the vendor has done must not be tried again
        return Published(news=settled is not None, settled=len(settled or ()))

    async def undecided(self, name: str | None = None, value: str | None = None) -> list[Undecided]:
        rows = await self._journal.undecided(self._session, self._clock.wall(), name, value)
        return [entry for row in rows if (entry := _undecided(row)) is not None]

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        return await self._journal.recall(self._session, name, value)


def _undecided(row: Row) -> Undecided | None:
    try:
        command = row.command()
    except Exception:  # noqa: BLE001 - one row that cannot be read any more must not hide the others
        log.warning("command_unreadable", session=row.session, command_id=row.command_id)
        return None
    return Undecided(command, row.state, row.accepted_at, row.sent_at is not None)
