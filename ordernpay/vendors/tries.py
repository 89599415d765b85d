"""When a request to a REST vendor is tried again, and how it ends when it is not. No I/O, no clock.

| the vendor …                       | a request that may be repeated           | one that may not                       |
|------------------------------------|------------------------------------------|----------------------------------------|
| was not reached                    | tried again until the deadline           | the same: nothing was sent             |
| did not answer, or not in JSON     | tried again until the deadline           | `unknown`                              |
| answered 401, once                 | tried again with new credentials         | the same: it did nothing               |
| answered 503                       | tried again after `unavailable_seconds`  | the same: it did nothing               |
| answered another 5xx, 429          | tried again after each of `error_delays` | the same, unless it is `ambiguous`     |
| answered a change 301, 302 or 303  | `unknown`: it may be done, or not        | the same                               |
| answered anything else             | that is the answer                       | that is the answer                     |

After a try without an answer a refusal proves nothing any more: the first try may have done what the second is refused.
"""

import random
from collections.abc import Callable

from attrs import define, field, frozen

from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, expired, session_unavailable, unknown
from ordernpay.vendors.http import Answered, NoAnswer, NotSent, Result

UNREACHED_FIRST = 0.2
UNREACHED_MOST = 5.0
MESSAGE_SHOWN = 500
REDIRECTED = frozenset({301, 302, 303})
"""Where a request is sent elsewhere, perhaps to see there what it has done (RFC 9110, section 15.4); 307 and 308 say that
it has not been carried out. None of them is followed."""


def _never(_: Answered) -> None:
    """A vendor that says no by its status alone."""


@frozen
class Rules:
    """How often and when a request is tried again; times in seconds.

    `declined` is how an answer of 2xx ends a command in which the vendor says no, None where it does not.
    """

    repeatable: bool
    changes: bool
    unavailable_seconds: float | None = None
    error_delays: tuple[float, ...] = ()
    ambiguous: frozenset[int] = frozenset()
    through: frozenset[int] = frozenset()
    declined: Callable[[Answered], Outcome | None] = _never

    def doubts(self, status: int) -> bool:
        """Whether this status leaves open if a change was carried out."""
        return self.changes and status in self.ambiguous | REDIRECTED


@frozen
class Again:
    """Try again after so many seconds; `otherwise` is how it ends where there is no time for that."""

    pause: float
    otherwise: Outcome
    renew: bool = False


@define
class Tries:
    """The tries at one request.

    Attributes:
        rules: when it is tried again.
        session: its name, for people.
        may_wait: whether to go on while the vendor cannot be reached.
        can_renew: whether there are credentials to be had anew.
        ambiguous: whether an earlier try may have acted.
        pick: a number from 0 to 1.
    """

    rules: Rules
    session: str
    may_wait: bool
    can_renew: bool
    ambiguous: bool
    pick: Callable[[], float] = random.random
    _misses: int = field(default=0, init=False)
    _errors: int = field(default=0, init=False)
    _said: Outcome | None = field(default=None, init=False)

    def after(self, result: Result) -> Answered | Outcome | Again:
        """What follows from a try."""
        follows = self._follows(result)
        if isinstance(follows, Again) and not isinstance(result, NotSent):
            self._said = follows.otherwise
        return follows

    def _follows(self, result: Result) -> Answered | Outcome | Again:
        match result:
            case NotSent():
                return self._not_sent(result)
            case NoAnswer(why=why):
                self.ambiguous = True
                outcome = unanswered(why, self.rules)
                return Again(self._back_off(), outcome) if self.rules.repeatable else outcome
            case Answered() if result.ok and not self._credible(result):
                return self._follows(NoAnswer(f"the answer, HTTP {result.status}, is no JSON"))
            case _:
                return self._answered(result)

    def _credible(self, answer: Answered) -> bool:
        """Whether it can be the vendor's own answer; that of a probe is looked at, not read."""
        probing = not (self.rules.changes or self.rules.repeatable)
        return answer.plausible if probing else answer.readable

    def _not_sent(self, nothing: NotSent) -> Outcome | Again:
        if not self.may_wait and not nothing.hurried:  # who was out of time knows nothing of the session
            return self.doubted(session_unavailable(f"session {self.session} is down: {nothing.why}"))
        outcome = self.doubted(expired(f"the vendor could not be reached until the timeout: {nothing.why}"))
        if (
            nothing.hurried and self._said is not None
        ):  # the vendor's last word counts, not that there was no time for more
            outcome = self._said
        return Again(self._back_off(), outcome)

    def _answered(self, answer: Answered) -> Answered | Outcome | Again:
        status, rules = answer.status, self.rules
        if answer.ok or status in rules.through:
            declined = rules.declined(answer)
            return answer if declined is None else self.doubted(declined)
        outcome = self.doubted(refusal(answer))
        if status == 401 and self.can_renew:
            self.can_renew = False
            return Again(0.0, outcome, renew=True)
        if status == 503 and rules.unavailable_seconds is not None:
            return Again(rules.unavailable_seconds, outcome)
        if rules.doubts(status):
            self.ambiguous = True
            outcome = undecided(answer, rules)
            if not rules.repeatable:
                return outcome
        if (status >= 500 or status == 429) and self._errors < len(rules.error_delays):
            self._errors += 1
            return Again(rules.error_delays[self._errors - 1], outcome)
        return outcome

    def doubted(self, outcome: Outcome) -> Outcome:
        """A refusal after a try without an answer proves nothing."""
        if self.ambiguous and self.rules.changes and outcome.state != "unknown":
            said = outcome.failure.message if outcome.failure else ""
            why = f"an earlier try was not answered, and may have acted; the last one: {said}"
            return unknown(why, retryable=self.rules.repeatable)
        return outcome

    def _back_off(self) -> float:
        ceiling = min(UNREACHED_MOST, UNREACHED_FIRST * 2.0 ** min(self._misses, 20))
        self._misses += 1
        return max(0.05, self.pick() * ceiling)


def unanswered(why: str, rules: Rules) -> Outcome:
    """The end of a request that was sent and not answered; its repeat helps where it may be repeated."""
    if rules.changes:
        return unknown(f"sent, and not answered: {why}", retryable=rules.repeatable)
    return ended(Failure("vendor_unavailable", f"sent, and not answered: {why}; it had no effect"))


def undecided(answer: Answered, rules: Rules) -> Outcome:
    """The end of a request whose answer is an error behind which it may have acted all the same."""
    refused = refusal(answer)
    said = refused.failure.message if refused.failure else ""
    words = refused.failure.vendor_message if refused.failure else None
    text = f"sent, and it may have acted: {said}"
    failure = Failure(
        "outcome_unknown", text, vendor_code=answer.status, vendor_message=words, retryable=rules.repeatable
    )
    return ended(failure, refused.vendor)


def refusal(answer: Answered, details: JsonValue = None) -> Outcome:
    """An answer other than 2xx as the contract maps it (section 2)."""
    status = answer.status
    kinds = {401: "unauthorised", 403: "unauthorised", 404: "not_found", 409: "conflict", 429: "vendor_unavailable"}
    kind = kinds.get(status, "vendor_unavailable" if status >= 500 else "rejected")
    body = answer.json()
    said = _said(body) or _plain(answer)
    text = f"the vendor answered HTTP {status}" + (f": {said}" if said else "")
    return ended(Failure(kind, text, vendor_code=status, vendor_message=said, details=details), body)


def _said(body: JsonValue) -> str | None:
    """What an error body says, wherever vendors put it."""
    if isinstance(body, str):
        return body[:MESSAGE_SHOWN] or None
    if not isinstance(body, dict):
        return None
    named: JsonObject = {name.lower(): value for name, value in body.items()}
    texts = ("message", "error_description", "error", "errormsg", "errormessage", "title")
    words = next((value for name in texts if isinstance(value := named.get(name), str) and value), None)
    said = [words, *_details(named)] if words else _details(named)
    return " ".join(said)[:MESSAGE_SHOWN] or None


def _plain(answer: Answered) -> str | None:
    """What a body says that is text; a page of HTML is for browsers, and of something on the way."""
    if not answer.headers.get("content-type", "").lower().startswith("text/plain"):
        return None
    return " ".join(answer.body.decode(errors="replace").split())[:MESSAGE_SHOWN] or None


def _details(named: JsonObject) -> list[str]:
    """What ASP.NET says beside a message that says nothing: which fields it did not like, or what broke."""
    broke, fields = named.get("exceptionmessage"), named.get("modelstate")
    details = [broke] if isinstance(broke, str) and broke else []
    if isinstance(fields, dict):
        for name, complaints in fields.items():
            if isinstance(complaints, list):
                details += [f"{name}: {complaint}" for complaint in complaints if isinstance(complaint, str)]
    return details
