"""Commands without an effect that are under way: nothing of them is journaled, and any session may go on with them."""

from collections.abc import Mapping

import anyio
from attrs import define, field

from ordernpay import refusals
from ordernpay.attempts import ReadAttempt
from ordernpay.clock import Clock
from ordernpay.commands import Command
from ordernpay.conversion import Faults
from ordernpay.outcomes import Failure, Outcome, Refused
from ordernpay.vendors.protocol import Prepared, Session


@define(eq=False)
class Reading:
    """One read, and the session that performs it now."""

    session: Session
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    done: anyio.Event = field(factory=anyio.Event)


class Reads:
    """The reads of all sessions.

    Args:
        sessions: by name, as configured now.
        clock: for deadlines.
    """

    def __init__(self, sessions: Mapping[str, Session], clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._under_way: set[Reading] = set()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._under_way)

    async def perform(self, session: Session, command: Command, prepared: Prepared) -> Outcome:
        """Have a read done; on the session in the place of one that is closed meanwhile.

        Raises:
            Refused: the daemon stops first, or nobody is left who could do it.
        """
        attempt = ReadAttempt(self._clock.now() + command.timeout)
        while True:
            reading = Reading(session)
            self._under_way.add(reading)
            try:
                with reading.scope:
                    return await session.perform(command, prepared, attempt)
            finally:
                self._under_way.discard(reading)
                reading.done.set()
            session, prepared = self._elsewhere(command)

    def _elsewhere(self, command: Command) -> tuple[Session, Prepared]:
        if self._stopped:
            raise Refused(Failure("shutting_down", "the daemon is stopping; it had no effect, so call again"))
        session = self._sessions.get(command.session)
        if session is None:
            raise refusals.unknown_session(command.session, self._sessions)
        try:
            refusals.check_supported(session, command.method)
            return session, session.prepare(command)
        except Faults as error:
            raise refusals.invalid(error) from None

    def ends(self, session: Session) -> list[anyio.Event]:
        """Set when each of those has ended that a session performs now."""
        return [reading.done for reading in self._under_way if reading.session is session]

    def leave(self, session: Session) -> int:
        """Have what a closed session performs go on elsewhere; return how many those are."""
        left = [reading for reading in self._under_way if reading.session is session]
        for reading in left:
            reading.scope.cancel()
        return len(left)

    def stop(self) -> None:
        """End them all; their callers are told that the daemon stops."""
        self._stopped = True
        for reading in self._under_way:
            reading.scope.cancel()
