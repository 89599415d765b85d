"""How one session reaches the journal: what it tells, and which of its commands have no outcome yet.

What a vendor's later word says of a command is read here, on the loop, and never inside the journal's transaction. Where
the command has moved on meanwhile it is read again. What cannot be read is logged, counted and dropped: the event that
it came with is kept.
"""

from collections.abc import Mapping, Sequence

import structlog

from ordernpay.attempts import Flights
from ordernpay.clock import Clock
from ordernpay.counts import Counts
from ordernpay.journal import CommandMoved, Journal, Row, Verdict
from ordernpay.vendors.protocol import Published, Report, Settlement, Undecided

log = structlog.get_logger(__name__)


class SessionPublisher:
    """The journal for one session; see `vendors.protocol.Publish`.

    Args:
        journal: where reports are kept.
        clock: for the time of a report.
        counts: where words that cannot be read are counted.
        session: the name of the session.
        flights: the commands under way; a try whose command a report settles is broken off.
    """

    def __init__(self, journal: Journal, clock: Clock, counts: Counts, session: str, flights: Flights) -> None:
        self._journal = journal
        self._clock = clock
        self._counts = counts
        self._session = session
        self._flights = flights

    async def __call__(
        self,
        reports: Sequence[Report],
        once: str | tuple[str, ...] | None = None,
        within: float | None = None,
        of: str | None = None,
        also: str | None = None,
    ) -> Published:
        while True:
            verdicts = [await self._verdict(report.settlement) for report in reports]
            try:
                settled = await self._journal.publish(
                    self._session, reports, once, self._clock.wall(), within, of, also, verdicts
                )
            except CommandMoved:
                continue
            break
        for row in settled or ():
            log.info("command_settled_late", session=self._session, command_id=row.command_id, state=row.state)
            running = self._flights.get(row.command_id)
            if running is not None:
                running.overtaken = True
                running.leave()  # what the vendor has done must not be tried again
        return Published(news=settled is not None, settled=len(settled or ()))

    async def _verdict(self, settlement: Settlement | None) -> Verdict | None:
        """What a word says of the command that it is about; None where there is no such command, or it says nothing."""
        if settlement is None:
            return None
        row = await self._journal.match(self._session, settlement, self._clock.wall())
        if row is None:
            return None
        try:
            return Verdict(row, settlement.outcome(row.command()), settlement.sole)
        except Exception:
            log.exception("late_word_not_read", session=self._session, command_id=row.command_id)
            self._counts.late_word_dropped(self._session)
            return None

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
