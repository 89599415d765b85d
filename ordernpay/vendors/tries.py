"""When a request to a REST vendor is tried again, and how it ends when it is not. No I/O, no clock but for `Retry-After`.

| the vendor …                             | a request that may be repeated           | one that may not                 |
|------------------------------------------|------------------------------------------|----------------------------------|
| was not reached                          | tried again until the deadline           | the same: nothing was sent       |
| did not answer, or not as it would       | tried again until the deadline           | `unknown`                        |
| answered what we cannot take, or a read  | as without an answer, but not again      | `unknown`                        |
| not as it would, in JSON                 |                                          |                                  |
| answered 401, once                       | tried again with new credentials         | the same: it did nothing         |
| answered 503                             | tried again after `unavailable_seconds`  | the same where it is `undone`    |
| answered 429                             | tried again after each of `error_delays` | the same: it did nothing         |
| answered another 5xx, 408, 425           | tried again after each of `error_delays` | the same where it is `undone`    |
| answered 307 or 308                      | `failed`: it did nothing                 | the same                         |
| answered a change another 3xx            | `unknown`: it may be done, or not        | the same                         |
| says no in an answer of 2xx              | `rejected`                               | the same                         |
| answered anything else                   | that is the answer                       | that is the answer               |

A status is `undone` only as the vendor's own word: in its JSON, and by its page. A page of HTML is that of a gateway, and
502, 504 and 52x are nobody else's; what stands behind the gateway may have acted. `unknown` is then the end of a change.
Where the vendor names the time to come back (`Retry-After`), that counts, and the end comes at once if it is too late.
After a try without an answer a refusal proves nothing any more: the first try may have done what the second is refused.
"""

import contextlib
import random
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import define, field, frozen

from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, expired, session_unavailable, unknown
from ordernpay.vendors.http import Answered, NoAnswer, NotSent, Result

UNREACHED_FIRST = 0.2
UNREACHED_MOST = 5.0
MESSAGE_SHOWN = 500
MOST_SHOWN = 64 * 1024
"""Bytes of an answer that goes with an error; of a larger one its status alone."""

NOT_FOLLOWED: Final = frozenset({307, 308})
"""Where a request has to be made elsewhere, since it was not carried out (RFC 9110, section 15.4). After another 3xx it may
be elsewhere what there is to see of what it has done. None of them is followed."""

NOT_FINAL: Final = frozenset({408, 425})
"""Something on the way gave up waiting, or wants to be asked later: no word on what it has seen."""

COME_BACK: Final = frozenset({429, 503})
"""Said with a time at which to come back, it counts however often that was done."""

CONFIRMED: Final = frozenset({"success", "issuccess", "succeeded", "successful", "issuccessful", "ok", "accepted"})
DENIED: Final = frozenset({"iserror", "haserror", "haserrors", "failed", "isfailed", "failure"})
STATED: Final = frozenset({"status", "result", "outcome", "state"})
WRAPPED: Final = frozenset({"result", "data", "response", "body", "d", "payload", "meta", "status"})
NO: Final = frozenset({"false", "0", "no", "n", "error", "failed", "failure", "fail"})
YES: Final = frozenset({"true", "1", "yes", "y"})
WRAPPINGS: Final = 3
LONGEST_WAIT: Final = 10.0**9
MOST_EAGER: Final = 1.0
"""Seconds that are waited at least, unless the vendor's pause is shorter, however soon it wants to be asked again."""


def says_no(body: JsonValue, depth: int = WRAPPINGS) -> bool:
    """Whether an answer of 2xx says in so many words that nothing was done: `"IsSuccess": "false"`, `"status": "error"`."""
    if not isinstance(body, dict) or not depth:
        return False
    for name, value in body.items():
        field_name, word = name.lower().replace("_", ""), _word(value)
        if (field_name in CONFIRMED and word in NO) or (field_name in DENIED and word in YES):
            return True
        if field_name in STATED and word in NO - {"0"}:
            return True
        if field_name in WRAPPED and says_no(value, depth - 1):
            return True
    return False


def _word(value: JsonValue) -> str:
    if isinstance(value, dict | list) or value is None:
        return ""
    return "0" if value == 0 and not isinstance(value, bool) else str(value).strip().lower()


def declined(answer: Answered) -> Outcome | None:
    """How an answer of 2xx ends a command in which the vendor says no; None where it does not."""
    raw = answer.json()
    if not says_no(raw):
        return None
    words = _said(raw)
    text = f"the vendor said no with HTTP {answer.status}" + (f": {words}" if words else ", and not why")
    return ended(Failure("rejected", text, vendor_code=answer.status, vendor_message=words), raw)


def anything(_: Answered) -> bool:
    """Of what may hold anything nothing can be missed."""
    return True


@frozen
class Rules:
    """How often and when a request is tried again; times in seconds.

    Attributes:
        repeatable: whether a second one does no harm.
        changes: whether it has an effect.
        unavailable_seconds: pause after a 503; None where it is like any 5xx.
        error_delays: pauses after what is tried again a few times.
        undone: 5xx by which this vendor says that it did nothing, so that even what has no duplicate check is repeated.
        through: other statuses than 2xx that are an answer.
        declined: how an answer of 2xx ends a command in which the vendor says no, None where it does not.
        shows: whether an answer of 2xx holds what a success must: an id, a bill, a status. Another is not the vendor's.
    """

    repeatable: bool
    changes: bool
    unavailable_seconds: float | None = None
    error_delays: tuple[float, ...] = ()
    undone: frozenset[int] = frozenset({503})
    through: frozenset[int] = frozenset()
    declined: Callable[[Answered], Outcome | None] = declined
    shows: Callable[[Answered], bool] = anything

    @property
    def probing(self) -> bool:
        """Whether nobody reads the answer."""
        return not (self.changes or self.repeatable)

    def doubts(self, answer: Answered) -> bool:
        """Whether an answer other than 2xx leaves open if a change was carried out."""
        status = answer.status
        if not self.changes:
            return False
        if status >= 500:
            return status not in self.undone or not answer.own
        return status in NOT_FINAL or status < 200 or (300 <= status < 400 and status not in NOT_FOLLOWED)


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
        wall: the wall clock, for a time to come back that is told as one.
    """

    rules: Rules
    session: str
    may_wait: bool
    can_renew: bool
    ambiguous: bool
    pick: Callable[[], float] = random.random
    wall: Callable[[], float] = time.time
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
            case NoAnswer():
                return self._unanswered(result)
            case Answered() if result.ok:
                return self._good(result)
            case _:
                return self._answered(result)

    def _unanswered(self, nothing: NoAnswer, answer: Answered | None = None) -> Outcome | Again:
        self.ambiguous = True
        outcome = unanswered(nothing.why, self.rules, answer)
        return Again(self._back_off(), outcome) if self.rules.repeatable and not nothing.final else outcome

    def _good(self, answer: Answered) -> Answered | Outcome | Again:
        """What an answer of 2xx is worth; that of a probe is looked at, not read."""
        rules = self.rules
        if rules.probing:
            return answer if answer.plausible else self._unanswered(NoAnswer(_no_json(answer)))
        no = rules.declined(answer)
        if no is not None:
            return self.doubted(no)
        if not answer.readable:
            return self._unanswered(NoAnswer(_no_json(answer)), answer)
        if not rules.shows(answer):
            why = f"the answer, HTTP {answer.status}, does not hold what a success of this vendor must"
            return self._unanswered(NoAnswer(why, final=not rules.changes), answer)  # a read would be answered so again
        return answer

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
        doubts = rules.doubts(answer)
        if status in rules.through and not doubts:
            no = rules.declined(answer)
            return answer if no is None else self.doubted(no)
        outcome = self.doubted(refusal(answer))
        if status == 401 and self.can_renew:
            self.can_renew = False
            return Again(0.0, outcome, renew=True)
        if doubts:
            self.ambiguous = True
            outcome = undecided(answer, rules)
            if not rules.repeatable:
                return outcome
        pause, named = self._pause_after(status), come_back(answer.headers, self.wall())
        if pause is None and named is not None and status in COME_BACK:
            pause = MOST_EAGER
        if pause is None:
            return outcome
        return Again(pause if named is None else max(named, min(pause, MOST_EAGER)), outcome)

    def _pause_after(self, status: int) -> float | None:
        """Seconds until the next try; None where there is none."""
        if status == 503 and self.rules.unavailable_seconds is not None:
            return self.rules.unavailable_seconds
        passing = status >= 500 or status == 429 or status in NOT_FINAL
        if not passing or self._errors >= len(self.rules.error_delays):
            return None
        self._errors += 1
        return self.rules.error_delays[self._errors - 1]

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


def come_back(headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds after which the vendor wants to be asked again (`Retry-After`); None where it names no sane time.

    A time is reckoned from the vendor's own, where it tells that: a clock may be wrong, the vendor's or ours.
    """
    named = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", named, re.ASCII):
        return min(float(named), LONGEST_WAIT) if len(named) < 300 else LONGEST_WAIT
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        until = parsedate_to_datetime(named).timestamp()
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            wall = parsedate_to_datetime(headers.get("date", "")).timestamp()
        return max(0.0, until - wall)
    return None


def _no_json(answer: Answered) -> str:
    return f"the answer, HTTP {answer.status}, is no JSON"


def unanswered(why: str, rules: Rules, answer: Answered | None = None) -> Outcome:
    """The end of a request that was sent and not answered; its repeat helps where it may be repeated.

    Args:
        why: for people.
        rules: under which it was sent.
        answer: what came instead of an answer of the vendor.
    """
    code = None if answer is None else answer.status
    said = answer.json() if answer is not None and len(answer.body) <= MOST_SHOWN else None
    if rules.changes:
        text = f"sent, and not answered: {why}"
        return ended(Failure("outcome_unknown", text, vendor_code=code, retryable=rules.repeatable), said)
    text = f"sent, and not answered: {why}; it had no effect"
    return ended(Failure("vendor_unavailable", text, vendor_code=code), said)


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
    final = 400 <= status < 500 and status not in NOT_FINAL
    kind = kinds.get(status, "rejected" if final else "vendor_unavailable")
    body = answer.json()
    said = _said(body) or _plain(answer)
    text = f"the vendor answered HTTP {status}" + (f": {said}" if said else "")
    if 300 <= status < 400:
        text = f"{text}, which sends elsewhere and is not followed"
    shown = body if len(answer.body) <= MOST_SHOWN else None
    return ended(Failure(kind, text, vendor_code=status, vendor_message=said, details=details), shown)


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
