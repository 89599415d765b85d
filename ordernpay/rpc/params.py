"""What the methods take that are no vendor commands."""

from typing import Annotated, Literal

from attrs import frozen

from ordernpay.commands import Key, Timeout
from ordernpay.outcomes import State
from ordernpay.rules import Text, Whole

SessionName = Annotated[str, Text(1, 64)]
CommandId = Annotated[str, Text(1, 64)]
Limit = Annotated[int, Whole(1, 1_000)]
Since = Annotated[int, Whole(0, 2**53)]
Kind = Literal[
    "session.up",
    "session.down",
    "command.settled",
    "order.updated",
    "quote.completed",
    "quote.rejected",
    "stock.updated",
    "menu.updated",
    "vendor.event",
]
"""Of events. Another one would never come, and who asks for it has mistyped."""
Note = Annotated[str, Text(1, 1_000, lines=True)]


@frozen
class Nothing:
    """No params."""


@frozen
class OfSession:
    """One session, by its name in the configuration."""

    session: SessionName


@frozen
class OfCommand:
    """One command of the journal: by `command_id`, or by `session` and `idempotency_key`."""

    command_id: CommandId | None = None
    session: SessionName | None = None
    idempotency_key: Key | None = None


@frozen
class CommandQuery:
    """Commands of the journal, newest first; `after` is the `next` of the page before."""

    session: SessionName | None = None
    state: State | None = None
    after: CommandId | None = None
    limit: Limit = 100


@frozen
class RetryCommand:
    """Send an unknown command again under its own identity. `timeout` is in seconds."""

    command_id: CommandId
    timeout: Timeout = 30.0


@frozen
class ResolveCommand:
    """A person's verdict on an unknown command."""

    command_id: CommandId
    state: Literal["succeeded", "failed"]
    note: Note


@frozen
class Subscribe:
    """Events as they happen; with `since`, first all kept events after that number."""

    since: Since | None = None
    sessions: tuple[SessionName, ...] | None = None
    kinds: tuple[Kind, ...] | None = None


@frozen
class Unsubscribe:
    """End a subscription of this connection."""

    subscription: Annotated[int, Whole(1, 2**53)]


@frozen
class EventQuery:
    """Kept events after a number, in order."""

    since: Since = 0
    limit: Limit = 100
    sessions: tuple[SessionName, ...] | None = None
    kinds: tuple[Kind, ...] | None = None
