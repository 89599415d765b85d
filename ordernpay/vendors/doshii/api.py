"""Requests to Doshii for one location: with its token, under the rules of Doshii's pages."""

from collections.abc import Callable
from typing import Final

from attrs import evolve

from ordernpay.clock import Clock
from ordernpay.commands import Command
from ordernpay.outcomes import Outcome
from ordernpay.vendors.doshii import wire
from ordernpay.vendors.doshii.findings import TOO_MANY, UNAVAILABLE, shows, told_by
from ordernpay.vendors.doshii.lookups import Ask
from ordernpay.vendors.doshii.requests import Work
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.http import Answered, Call
from ordernpay.vendors.protocol import Attempt, Report, Settlement
from ordernpay.vendors.rest import Probing, RestLine, ended_late
from ordernpay.vendors.tries import MOST_EAGER, Rules, come_back

NOT_NOW: Final = frozenset({TOO_MANY, UNAVAILABLE})
"""Statuses by which Doshii says that it could not act now."""


class Api:
    """The way of one session to Doshii."""

    def __init__(self, config: DoshiiConfig, clock: Clock, line: RestLine) -> None:
        self._config = config
        self._clock = clock
        self._line = line

    def reading(self, seconds: float, *, may_wait: bool = True) -> Ask:
        """Read what is at a path, tried again for so long; whatever the session's state."""
        deadline = self._clock.now() + seconds

        async def ask(path: str, shown: Callable[[Answered], bool]) -> Answered | Outcome:
            rules = evolve(self.rules(repeatable=True, changes=False), shows=shown)
            return await self.ask(Work("GET", path), Probing(deadline), rules, may_wait=may_wait)

        return ask

    async def ask(
        self,
        work: Work,
        attempt: Attempt,
        rules: Rules,
        *,
        may_wait: bool,
        late: Callable[[Answered], None] | None = None,
    ) -> Answered | Outcome:
        """Make a request; see `RestLine.perform`."""

        async def build() -> Call:
            config = self._config
            headers = {
                "Authorization": "Bearer "
                + wire.token(config.client_id, config.client_secret.reveal(), self._clock.wall()),
                wire.LOCATION: config.location_id,
                "Accept": "application/json",
                "Content-Type": "application/json",
            }
            url = f"{config.base_url.rstrip('/')}/{work.path}"
            return Call(work.method, url, headers, None if work.text is None else work.text.encode())

        return await self._line.perform(build, attempt, rules, may_wait=may_wait, late=late)

    def rules(
        self,
        *,
        repeatable: bool,
        changes: bool,
        command: Command | None = None,
        through: frozenset[int] = frozenset(),
        undone: frozenset[int] = frozenset({UNAVAILABLE}),
    ) -> Rules:
        """When a request is tried again, and what an answer to this command must show; see `Rules`."""
        rules = Rules(
            repeatable=repeatable,
            changes=changes,
            unavailable_seconds=None if changes else self._config.unavailable_seconds,
            error_delays=self._config.error_delays,
            undone=undone,
            through=through,
        )
        return rules if command is None else evolve(rules, shows=shows(command, self._config.location_id))

    def late(self, command: Command) -> Callable[[Answered], None]:
        """Settle a command by an answer after its deadline."""

        def late(answer: Answered) -> None:
            def ended(known: Command) -> Outcome:
                return ended_late(answer, lambda told: told_by(known, told))

            self._line.reporter.report(Report(settlement=Settlement("key", command.key, ended)))

        return late

    def pause_after(self, answer: Answered) -> float:
        """Seconds until the next try after an answer that says `not now`."""
        named = come_back(answer.headers, self._clock.wall())
        pause = self._config.unavailable_seconds
        return pause if named is None else max(named, min(pause, MOST_EAGER))
