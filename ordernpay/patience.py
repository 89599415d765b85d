"""What has to reach the journal, or be read from it, however long a disk is in trouble."""

from typing import Final

import anyio
import structlog

from ordernpay.clock import Clock
from ordernpay.journal import InvalidTransition, Journal, JournalUnavailable, Row
from ordernpay.outcomes import Outcome

PAUSE: Final = 0.5
"""Seconds between two tries."""

log = structlog.get_logger(__name__)


async def settle(journal: Journal, clock: Clock, command_id: str, outcome: Outcome) -> Outcome:
    """Make an outcome durable; the outcome that stands then, since news may have settled the command meanwhile."""
    while True:
        try:
            try:
                return (await journal.settle(command_id, outcome, clock.wall())).outcome()
            except InvalidTransition:
                found = await journal.get(command_id)
                return found.outcome() if found else outcome
        except JournalUnavailable as error:
            log.error("outcome_delayed", command_id=command_id, reason=str(error))
            await anyio.sleep(PAUSE)


async def newest(journal: Journal, row: Row) -> Row:
    """A command's row once all is written that was asked for before."""
    while True:
        try:
            await journal.turn()
            return await journal.get(row.command_id) or row
        except JournalUnavailable as error:
            log.error("command_delayed", command_id=row.command_id, reason=str(error))
            await anyio.sleep(PAUSE)
