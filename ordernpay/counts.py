"""What the gateway has done and is doing, for bounds, status and metrics."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import structlog
from attrs import define, field

from ordernpay.commands import Command
from ordernpay.journal import Row
from ordernpay.outcomes import Outcome

log = structlog.get_logger(__name__)


@define
class Counts:
    """What the gateway has done, for status and metrics.

    Attributes:
        outcomes: by session, method and kind of outcome.
        in_flight: by session.
        webhooks: what became of webhooks, by session and result.
        dropped: what vendors said later of commands and could not be read, by session.
        observe: told of each stage of a command that ended: the stage, the method, seconds.
    """

    outcomes: dict[tuple[str, str, str], int] = field(factory=dict)
    in_flight: dict[str, int] = field(factory=dict)
    webhooks: dict[tuple[str, str], int] = field(factory=dict)
    dropped: dict[str, int] = field(factory=dict)
    observe: Callable[[str, str, float], None] = field(default=lambda *_: None, repr=False)

    @contextlib.contextmanager
    def flying(self, session: str) -> Iterator[None]:
        """One more in flight on a session, for as long as it is entered."""
        self.took_off(session)
        try:
            yield
        finally:
            self.landed(session)

    def took_off(self, session: str) -> None:
        """One more in flight on a session, until it has landed."""
        self.in_flight[session] = self.in_flight.get(session, 0) + 1

    def landed(self, session: str) -> None:
        """One less in flight on a session."""
        self.in_flight[session] -= 1

    def ended(self, command: Command | Row, outcome: Outcome, stages: Mapping[str, float], command_id: str) -> None:
        """Count an outcome and what each stage took, in seconds, and write the one line that a command has in the log."""
        kind = outcome.failure.kind if outcome.failure else "succeeded"
        key = (command.session, command.method, kind)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1
        for stage, seconds in stages.items():
            self.observe(stage, command.method, seconds)
        log.info(
            "command_ended",
            session=command.session,
            method=command.method,
            command_id=command_id,
            state=outcome.state,
            kind=kind,
            vendor_code=outcome.failure.vendor_code if outcome.failure else None,
            milliseconds=round(stages["whole"] * 1000),
        )

    def notified(self, session: str, result: str) -> None:
        """Count a webhook."""
        key = (session, result)
        self.webhooks[key] = self.webhooks.get(key, 0) + 1

    def late_word_dropped(self, session: str) -> None:
        """Count what a vendor said later of a command and could not be read."""
        self.dropped[session] = self.dropped.get(session, 0) + 1
