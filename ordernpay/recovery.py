"""Recovery of one command: go on with what was interrupted, or say what is known of it."""

from collections.abc import Mapping

import structlog

from ordernpay import refusals
from ordernpay.attempts import Answer, Flights, Running
from ordernpay.commands import Command
from ordernpay.conversion import Faults
from ordernpay.journal import Journal, JournalUnavailable, NewCommand, Row
from ordernpay.outcomes import Outcome, Refused
from ordernpay.vendors.protocol import Prepared, Session

log = structlog.get_logger(__name__)


def ready_to_go_on(
    sessions: Mapping[str, Session], row: Row, known: Command | None = None
) -> tuple[Session, Row, Command, Prepared] | Outcome:
    """Return what an interrupted command needs to go on, or how it ends since it cannot.

    Args:
        sessions: as configured now.
        row: as the journal has it.
        known: the command itself, where this process still knows it with its secrets.
    """
    if row.settled_at is not None:
        return row.outcome()
    sent, session = row.state == "sent", sessions.get(row.session)
    why = None
    if session is None:
        why = "its session is no longer configured"
    elif known is None and not row.whole:
        why = "a secret of it was not kept"
    elif sent and not session.may_repeat(row.method):
        why = "its vendor cannot tell a repeat"
    if session is None or why is not None:
        return refusals.interrupted(str(why), sent=sent)
    try:
        refusals.check_supported(session, row.method)
        command = known or row.command()
        return session, row, command, session.prepare(command)
    except (Faults, Refused) as error:
        return refusals.interrupted(f"its session no longer takes it: {error}", sent=sent)
    except Exception:  # one command that cannot be taken up does not keep the others from it
        log.exception("command_not_resumed", command_id=row.command_id, session=row.session)
        return refusals.interrupted("it cannot be read any more; see the log", sent=sent)


async def known_by_key(journal: Journal, new: NewCommand) -> Row | None:
    """Find the command that has the key of a new one, in a journal that may not be written now.

    Raises:
        Refused: the journal cannot be read either, or the key belongs to another command.
    """
    try:
        row = await journal.find(new.command.session, new.command.key)
    except JournalUnavailable as error:
        raise refusals.not_looked_up(error) from None
    if row is not None and not row.asks_the_same(new):
        raise refusals.conflict(row)
    return row


async def already_known(
    journal: Journal, flights: Flights, command: Command, prepared: Prepared
) -> Answer | Running | None:
    """Find what needs no room for another command: the first one of a repeated key, under way or with its answer.

    Raises:
        Refused: the key belongs to another command, or cannot be looked up.
    """
    if not command.type.changes:
        return None
    running = flights.find(command.session, command.key)
    if running is not None:
        return running
    row = await known_by_key(journal, NewCommand(command, prepared.kept, prepared.whole, 0.0, 0.0))
    if row is None or row.state not in {"succeeded", "rejected"}:
        return None
    return Answer(row.command_id, row.session, row.state, row.outcome())
