"""Orders and payments that are made: looked up wherever one may have been made already, and never made twice."""

from collections.abc import Callable

import anyio
from attrs import frozen

from ordernpay.clock import Clock
from ordernpay.commands import Command, CreateOrder
from ordernpay.jsontext import JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, unknown
from ordernpay.vendors.doshii.api import NOT_NOW, Api
from ordernpay.vendors.doshii.findings import TOO_MANY, Contested, carried_out, doubted, final, told_by
from ordernpay.vendors.doshii.lookups import Lookups
from ordernpay.vendors.doshii.requests import Work
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.http import Answered
from ordernpay.vendors.protocol import Attempt
from ordernpay.vendors.tries import refusal


class Creates:
    """The creates of one session.

    Args:
        config: of the session.
        clock: for pauses and deadlines.
        api: the way to Doshii.
        lookups: what is there already.
        made: called with the answer to each order that was made.
    """

    def __init__(
        self, config: DoshiiConfig, clock: Clock, api: Api, lookups: Lookups, made: Callable[[JsonValue], None]
    ) -> None:
        self._config = config
        self._clock = clock
        self._api = api
        self._lookups = lookups
        self._made = made

    async def perform(self, command: Command, work: Work, attempt: Attempt, *, may_wait: bool) -> Outcome:
        """Make it; send it again only where Doshii shows nothing of an earlier try."""
        search = _Search(command, attempt, self._clock.now(), may_wait)
        if attempt.sent_before and not attempt.knowingly:
            return await self._look_up(search)
        if (
            attempt.sent_before or attempt.tried
        ):  # a person's word to send it again, or a key that failed: unless it can be seen to be there
            found = await self._find(search)
            if found is not None:
                return found if attempt.sent_before or found.state != "unknown" else _not_sent(found)
        rules = self._api.rules(repeatable=False, changes=True, command=command, through=NOT_NOW)
        late = final(self._api.late(command), doubtful=attempt.sent_before)
        while True:
            answer = await self._api.ask(work, attempt, rules, may_wait=may_wait, late=late)
            if isinstance(answer, Outcome):
                return answer if answer.state != "unknown" else await self._look_up(search)
            if answer.ok:
                if isinstance(command.params, CreateOrder):
                    self._made(answer.json())
                return told_by(command, answer)
            again, found = await self._may_be_sent_again(search, answer)
            if found is not None:
                return found
            if not again:
                return doubted(refusal(answer), attempt.sent_before)

    async def _may_be_sent_again(self, search: "_Search", busy: Answered) -> tuple[bool, Outcome | None]:
        """Whether there is time for another try after `not now`, and what the earlier one has done all the same."""
        pause = self._api.pause_after(busy)
        again = self._clock.now() + pause < search.attempt.deadline
        if again:
            await anyio.sleep(pause)
        found = await self._find(search)
        if found is None or found.state != "unknown":
            return again, found
        return False, None if busy.status == TOO_MANY else await self._look_up(search)

    async def _look_up(self, search: "_Search") -> Outcome:
        """What became of a create that was not answered."""
        while True:
            found = await self._find(search)
            if found is not None and found.state != "unknown":
                return found
            pause = self._config.lookup_seconds
            if self._clock.now() + pause >= search.attempt.deadline:
                break
            await anyio.sleep(pause)
        return found or unknown(
            "sent, and not answered; it was not found at Doshii yet, and is looked for now and then"
        )

    async def _find(self, search: "_Search") -> Outcome | None:
        """What a create made; None where Doshii shows nothing of it, `unknown` where that is not certain."""
        attempt, now = search.attempt, self._clock.now()
        since = self._clock.wall() - (
            now - search.began
        )  # on the clock as it is set now: it may have been wrong before
        if (attempt.sent_before or attempt.tried) and attempt.accepted_at is not None:
            since = min(since, attempt.accepted_at)
        ask = self._api.reading(attempt.deadline - now, may_wait=search.may_wait)
        found = await self._lookups.find(ask, search.command, since)
        if isinstance(found, Contested):
            return unknown(f"sent, and not answered; {found.why}; it is looked for now and then")
        return None if found is None else carried_out(search.command, found)


@frozen
class _Search:
    """A create that is looked for; `began`: when this try did, on the clock of intervals."""

    command: Command
    attempt: Attempt
    began: float
    may_wait: bool


def _not_sent(found: Outcome) -> Outcome:
    """A key that failed is not sent again where it cannot be seen that the first try did nothing."""
    why = found.failure.message if found.failure else ""
    return ended(Failure("vendor_unavailable", f"not sent again: an earlier try had failed; {why}"))
