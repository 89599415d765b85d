"""The gateway's own refusals and ends, in words for people."""

from collections.abc import Iterable
from difflib import get_close_matches

from ordernpay.attempts import JournaledAttempt
from ordernpay.clock import rfc3339
from ordernpay.conversion import Faults
from ordernpay.journal import JournalUnavailable, Row
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, Refused, ended, expired, unknown
from ordernpay.vendors.protocol import Session


def invalid(error: Faults) -> Refused:
    """Params with faults; nothing was journaled."""
    details: list[JsonValue] = [fault.as_json() for fault in error.faults]
    return Refused(Failure("invalid_params", f"invalid params: {error}", details=details))


def no_session(name: str | None, known: Iterable[str]) -> Refused:
    """A session that is not configured; or none named, and more or less than one to choose from."""
    if name is not None:
        return unknown_session(name, known)
    names = ", ".join(sorted(known)) or "none is configured"
    message = f"required, since there is not exactly one session: {names}"
    return Refused(
        Failure(
            "invalid_params", f"invalid params: session: {message}", details=[{"path": "session", "message": message}]
        )
    )


def check_supported(session: Session, method: str) -> None:
    """Refuse a command that the session's vendor has not."""
    failure = session.unsupported(method)
    if failure is not None:
        raise Refused(failure)


def unknown_session(name: str, known: Iterable[str]) -> Refused:
    """A session that is not configured."""
    names: list[JsonValue] = [*sorted(known)]
    nearest = next(iter(get_close_matches(name, map(str, names), 1)), None)
    meant = f"; did you mean {nearest}?" if nearest else ""
    details: JsonObject = {"sessions": names, "nearest": nearest}
    return Refused(Failure("unknown_session", f"no session {name}{meant}", details=details))


def conflict(row: Row) -> Refused:
    """The key belongs to another command. `state` is null: the other command's state does not apply."""
    first = f"{row.method} {row.command_id} of {rfc3339(row.accepted_at)}"
    message = f"this key was used for another command, {first}; use a new key for new content"
    details: JsonObject = {
        "command_id": row.command_id,
        "method": row.method,
        "state": row.state,
        "accepted_at": rfc3339(row.accepted_at),
    }
    return Refused(Failure("idempotency_conflict", message, details=details), command_id=row.command_id)


def too_many(session: str, limit: int) -> Refused:
    """A session that has all it may have under way."""
    details: JsonObject = {"limit": "max_in_flight", "value": limit}
    return Refused(Failure("overloaded", f"session {session} has {limit} commands under way", details=details))


def too_much(session: str, limit: int) -> Refused:
    """A command too large beside those under way."""
    details: JsonObject = {"limit": "bytes_in_flight", "value": limit}
    return Refused(
        Failure("overloaded", f"session {session} has too much under way for one more so large", details=details)
    )


def not_journaled(error: JournalUnavailable) -> Refused:
    """What cannot be written down is not sent."""
    details: JsonObject = {"limit": "journal", "reason": str(error)}
    return Refused(Failure("overloaded", f"{error}; nothing was sent", details=details))


def not_looked_up(error: JournalUnavailable) -> Refused:
    """The journal can be neither written nor read: an earlier command may have this key, and have acted."""
    details: JsonObject = {"limit": "journal", "reason": str(error)}
    message = f"{error}; whether this key was used before cannot be looked up: ask again with the same key"
    return Refused(Failure("overloaded", message, details=details))


def not_continued(row: Row, error: JournalUnavailable) -> Refused:
    """An open command that the journal knows and nobody performs; it goes on once the journal can be written."""
    message = f"{error}; the command is in the journal as {row.state} and goes on when that can be written"
    details: JsonObject = {"limit": "journal", "reason": str(error)}
    return Refused(Failure("overloaded", message, details=details), command_id=row.command_id, state=row.state)


def left_to_next_start(row: Row) -> Refused:
    """A stop that came before the outcome; the state would be out of date before it was read."""
    message = (
        "the daemon is stopping; the command is in its journal, where the next start takes it up: ask again by its key"
    )
    return Refused(Failure("shutting_down", message), command_id=row.command_id)


def secret_not_kept(row: Row) -> Refused:
    """A retry of a command of which the journal has not all."""
    why = "a secret of it was not kept: call it again with its key instead"
    return Refused(Failure("unsupported", why), command_id=row.command_id, state=row.state)


def not_unknown(state: str) -> Failure:
    """A verdict or a retry for a command that needs none."""
    return Failure(
        "invalid_params",
        f"expected an unknown command, this one is {state}",
        details=[{"path": "command_id", "message": f"expected an unknown command, this one is {state}"}],
    )


def interrupted(why: str, *, sent: bool) -> Outcome:
    """How a command ends that was interrupted and cannot go on."""
    return unknown(f"sent before an interruption; {why}") if sent else expired(f"never sent: {why}")


def broken(attempt: JournaledAttempt) -> Outcome:
    """How a command ends whose session failed inside."""
    if attempt.may_have_acted:
        return unknown("an error inside the daemon; see its log")
    return ended(Failure("session_unavailable", "an error inside the daemon, before anything was sent; see its log"))
