"""What the sessions of REST vendors share: the way to the vendor, how it stands, and one command over it."""

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import anyio
import structlog
from attrs import field, frozen

from ordernpay import crash
from ordernpay.clock import Clock
from ordernpay.outcomes import Outcome, session_unavailable
from ordernpay.vendors.health import SessionHealth
from ordernpay.vendors.http import Answered, Call, Http, NoAnswer, NotSent, Result
from ordernpay.vendors.protocol import Attempt, Publish, Report, SessionState, SessionStatus
from ordernpay.vendors.pulse import Pulse
from ordernpay.vendors.reporter import Reporter, Signal
from ordernpay.vendors.tries import Again, Rules, Tries, declined, refusal

PROBE_DOWN_MOST: Final = 30.0
DOUBT_SECONDS: Final = 5.0
"""Seconds since the last probe after which a caller whose time was too short is reason for another."""

REFUSED_MOST: Final = 60.0
PROBE_MOST: Final = 60.0
"""Seconds within which a probe has ended, with its retries and a new token."""

log = structlog.get_logger(__name__)


Build = Callable[[], Awaitable[Call | Outcome | NotSent]]
"""Makes the request, with fresh credentials; where there are none to be had, why."""


@frozen
class Unmarked:
    """A try at what has no effect: nothing of it is written down, and no earlier try makes it doubtful."""

    deadline: float
    sent_before: bool = False
    tried: bool = False
    knowingly: bool = False
    accepted_at: float | None = None
    remembered: Mapping[str, str] = field(factory=dict)

    async def sending(self) -> None:
        """Nothing to write down."""

    async def remember(self, **_: str) -> None:
        """Nothing to write down."""

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        """Nothing to look up."""
        del name, value
        return {}


class Probing(Unmarked):
    """A try at nothing but finding out whether the vendor is there, however the session stands."""


class RestLine:
    """A session's way to its vendor, and how that way stands."""

    def __init__(self, name: str, vendor: str, http: Http, publish: Publish, clock: Clock) -> None:
        self.http = http
        self.reporter = Reporter(name, publish, self._told)
        self.counters = dict.fromkeys(
            ("requests", "answers", "unanswered", "not_sent", "late_answers", "webhooks", "connections"), 0
        )
        self._name = name
        self._clock = clock
        self.lacking: str | None = None
        self.without: SessionState = "down"
        self._performing = 0
        self._works = False
        self._hurry = Signal()
        self._probed = clock.now()
        self._pulse = Pulse("its probe")
        self.pulses = [self._pulse]
        self.health = SessionHealth(clock, self.reporter.report, log.bind(session=name, vendor=vendor))

    # State

    def status(self) -> SessionStatus:
        """How the session stands."""
        overdue = next((why for pulse in self.pulses if (why := pulse.overdue())), None)
        return SessionStatus(
            self.health.state,
            self.health.since,
            self._performing,
            self.health.last_error,
            self.counters | {"breaks": self.health.breaks},
            overdue,
            certificate_expires=self.http.certificate_expires,
            flips=self.health.flips,
            unsteady_since=self.health.unsteady_since,
        )

    def reconnect(self) -> None:
        """Probe now."""
        self._hurry.set()

    def change(self, state: SessionState, why: str | None = None) -> None:
        """Note how the way stands, and tell it where that is news."""
        if state in {"down", "refused"}:
            self._works = False
        self.counters["connections"] += self.health.change(state, why)

    def stands(self) -> None:
        """The vendor answers us; the session is up with it, unless it lacks something else."""
        if self.lacking is None:
            self.change("up")
        else:
            self.change(self.without, self.lacking)

    def probed(self, found: Answered | Outcome) -> None:
        """Note what a probe has found; that its path is not there takes no session down whose commands work."""
        if isinstance(found, Answered):
            self.stands()
        elif found.failure is not None:
            why, kind = found.failure.message, found.failure.kind
            if kind in {"not_found", "rejected"} and self._works:
                self.health.last_error = why
                self.stands()
            else:
                self.change("refused" if kind == "unauthorised" else "down", why)

    async def run(
        self, probe: Callable[[], Awaitable[None]], every: float, **parts: Callable[[], Awaitable[None]]
    ) -> None:
        """Run the parts that every session has, and its own; one that breaks is run again and costs no request."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.http.run)
            parts = {"reporter": self.reporter.run, "probe": partial(self.keep_probing, probe, every), **parts}
            for what, part in parts.items():
                tasks.start_soon(self.health.keep_running, part, what)

    async def retire(self) -> None:
        """Tell nothing more; what is under way can end here however long it takes."""
        self.health.retired = True
        await anyio.sleep_forever()

    async def keep_probing(self, probe: Callable[[], Awaitable[None]], every: float) -> None:
        """Find out how the way stands: at once, every so often while it is up, with back-off while it is not, slowly where it refuses us."""
        misses = 0
        while True:
            self._pulse.within(PROBE_MOST)
            self._probed = self._clock.now()
            await probe()
            if self.health.state == "up":
                misses, pause = 0, every
            elif self.health.state == "refused":
                pause = min(every, REFUSED_MOST)
            else:
                misses += 1
                ceiling = min(PROBE_DOWN_MOST, 0.5 * 2.0**misses)
                pause = max(0.1, random.random() * ceiling)  # noqa: S311 - jitter, no secret
            self._pulse.within(pause)
            await self._hurry.wait(pause)

    def _told(self, report: Report, settled: bool) -> None:  # noqa: FBT001 - a callback's fact, not a switch
        if report.settlement is not None and settled:
            self.counters["late_answers"] += 1

    # Requests

    async def perform(
        self,
        build: Build,
        attempt: Attempt,
        rules: Rules,
        *,
        may_wait: bool = True,
        renew: Callable[[], None] | None = None,
        late: Callable[[Answered], None] | None = None,
    ) -> Answered | Outcome:
        """Make a request under its vendor's rules.

        Args:
            build: the request.
            attempt: the command's try.
            rules: when it is tried again.
            may_wait: whether to go on while the vendor cannot be reached.
            renew: forget the credentials; the request is then tried once more.
            late: told of an answer after the deadline that says how the command ended: `ended_late` reads it.

        Returns:
            an answer of 2xx or of a status that `rules` lets through, else how the command ended.
        """
        tries = Tries(rules, self._name, may_wait, renew is not None, attempt.sent_before, wall=self._clock.wall)
        if not may_wait and not isinstance(attempt, Probing) and self.health.state in {"down", "refused"}:
            return tries.doubted(
                session_unavailable(f"session {self._name} is {self.health.state}: {self.health.last_error}")
            )
        self._performing += 1
        try:
            while True:
                call = await build()
                if isinstance(call, Outcome):
                    return tries.doubted(call)
                tell = _telling(late, rules, tries.ambiguous)
                follows = tries.after(await self._send(call, attempt, tell, rules))
                if not isinstance(follows, Again):
                    return follows
                if self._clock.now() + follows.pause >= attempt.deadline:
                    return follows.otherwise
                if follows.renew and renew is not None:
                    renew()
                await anyio.sleep(follows.pause)
        finally:
            self._performing -= 1

    async def _send(
        self, call: Call | NotSent, attempt: Attempt, late: Callable[[Answered], None] | None, rules: Rules
    ) -> Result:
        """One try, and what it says of the way."""

        async def sending() -> None:
            await attempt.sending()
            crash.point("sending")

        self.counters["requests"] += isinstance(call, Call)
        mark = sending if rules.changes else None
        result = call if isinstance(call, NotSent) else await self.http.send(call, attempt.deadline, late, mark)
        match result:
            case NotSent():
                self.counters["not_sent"] += 1
                self._doubt(result)
            case NoAnswer():
                self.counters["unanswered"] += 1
            case _:
                self.counters["answers"] += 1
                if result.ok and result.plausible:
                    self._works = self._works or not rules.probing
                    self.stands()
                elif result.status == 404 and not result.own and not rules.probing:  # not a word of the vendor's
                    self._works = False
                crash.point("answered")
        return result

    def _doubt(self, nothing: NotSent) -> None:
        """The vendor was not reached: the probe finds out at once whether it is for a moment, or for longer."""
        if self.health.state == "up" and (not nothing.hurried or self._clock.now() - self._probed > DOUBT_SECONDS):
            self._hurry.set()
        if not nothing.hurried:
            self.change("down", nothing.why)


def ended_late(answer: Answered, told: Callable[[Answered], Outcome]) -> Outcome:
    """How a command ended whose answer came after its deadline: as in time, a refusal too."""
    return (declined(answer) or told(answer)) if answer.ok else refusal(answer)


def _telling(
    late: Callable[[Answered], None] | None,
    rules: Rules,
    doubtful: bool,  # noqa: FBT001 - a fact, not a switch
) -> Callable[[Answered], None] | None:
    """Leave out late refusals that prove nothing: after an earlier try without an answer, or ambiguous themselves."""
    if late is None:
        return None
    tell = late

    def on_late(answer: Answered) -> None:
        if answer.ok and rules.declined(answer) is None:
            tells = answer.readable and rules.shows(answer)
        else:
            tells = not (doubtful or rules.doubts(answer))
        if tells:
            tell(answer)

    return on_late
