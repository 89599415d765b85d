"""What has to reach the journal, or be read from it, however long a disk is in trouble."""

from collections.abc import Callable
from typing import Final

import anyio
import structlog

from ordernpay.clock import Clock
from ordernpay.journal import InvalidTransition, Journal, JournalUnavailable, Row
from ordernpay.outcomes import Outcome

PAUSE: Final = 0.5
"""Seconds between two tries."""
PRUNE_EVERY: Final = 600.0
PRUNE_PAUSE: Final = 0.05
LOOK_EVERY: Final = 1.0
FLUSH_MOST: Final = 600.0
"""Seconds that one flush may take: no disk that will come back takes longer."""

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
            except LookupError:  # lost with a damaged journal: what is known here is all that is known
                log.exception("outcome_not_kept", command_id=command_id)
                return outcome
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


async def comes_round(journal: Journal) -> str | None:
    """Wait until the journal's writer comes round, or is seen to be inside one flush; why not, where it is stuck.

    A disk may take long, and who is killed meanwhile has to wait for it all the same.
    """
    came_round = anyio.Event()

    async def turn() -> None:
        await journal.turn()
        came_round.set()

    why = None
    async with anyio.create_task_group() as asking:
        asking.start_soon(turn)
        under_way = 0.0
        while not came_round.is_set() and under_way <= LOOK_EVERY:
            with anyio.move_on_after(LOOK_EVERY):
                await came_round.wait()
            under_way = journal.flushes.under_way()
        if under_way > FLUSH_MOST:
            why = f"has been inside one flush for {under_way:.0f} s"
        asking.cancel_scope.cancel()
    return why


async def forget_old(journal: Journal, keep_days: Callable[[], int]) -> None:
    """Prune the journal now and then, and write down how long it has been kept; runs until cancelled."""
    while True:
        await anyio.sleep(PRUNE_EVERY)  # never in the first minutes: a clock that is wrong may be set in them
        try:
            await journal.live()
            while await journal.prune(keep_days() * 86_400):  # noqa: ASYNC110 - a pause between two pieces of work
                await anyio.sleep(PRUNE_PAUSE)
        except JournalUnavailable as error:
            log.warning("journal_not_pruned", reason=str(error))
