"""Redaction of what a vendor says back: secrets and PINs are cut out, whatever way they are written.

| what                                    | where it is cut out                                                      |
|-----------------------------------------|--------------------------------------------------------------------------|
| a secret of 8 characters or more        | everywhere                                                               |
| a shorter one, such as a PIN            | where it stands alone, outside of identities, amounts, dates and GUIDs   |
| the value of a field named as a secret  | whole, where the call carried a PIN, and in every event                  |

Each is found raw, escaped for JSON, URLs or HTML (also in part, also twice), in base64 of both alphabets at any
alignment, in hexadecimal, in upper and lower case, and cut off at the end of a text. A PIN of four digits is a number
like any other: cut out of an order's id, it would cost the kiosk the order. So the fields whose names say that they hold
an identity or an amount keep their digits, and so does every longer number.
"""

import base64
import html
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import anyio.to_thread
from attrs import evolve, frozen

from ordernpay.jsontext import JsonValue
from ordernpay.outcomes import Outcome
from ordernpay.rules import is_guid

REDACTED: Final = "[redacted]"
SHORTEST_SECRET: Final = 8
LONGEST_PIN: Final = 12
SHORTEST_PIN: Final = 3
"""Shorter ones are cut out of fields with the name of a secret alone: a lone "7" says nothing."""

LEARNED: Final = 8
"""Tokens of requests that are remembered at a time: the answer to each comes soon, or is late."""

MOST_ON_THE_LOOP: Final = 500
"""Values in an answer beyond which a thread looks through it."""

CHUNK: Final = 65_536
DECODINGS: Final = 3
"""How often a text may have been escaped."""

SECRET_NAME: Final = re.compile(
    r"(?:.*(?:user|staff|manager|operator|waiter|server|login|employee|clerk|cashier|access|card|security|old|new))?"
    r"pin(?:code|number|no)?|.*(?:password|passwd|passcode|passphrase|secret|token|apikey|authori[sz]ation)|"
    r"cookie|guid2|card_?number|pan|cvc|cvv2?"
)
PLAIN_WORD: Final = re.compile(
    r"ids?|identifier|[gu]uid|uid|number|no|nr|num|ref|reference|code|plu|product|modifier|table|key|seq|version|"
    r"(?:order|item|table|product|payment|bill|site)(?:id|no|number)|type|status|state|currency|time|date|at|"
    r"amount|(?:sub)?total|price|owing|balance|quantity|qty|covers|count|charge|tip|surcharge|tax|rate"
)
"""Last words of the names of fields whose digits are an identity, an amount, a moment or a kind, and no PIN."""

IDENTITY: Final = frozenset({"id", "number", "amount"})
"""Words that say so wherever they stand, as in OrderNumberOpened, unless the last one is of a text."""

SPOKEN: Final = frozenset({"message", "text", "name", "description", "note", "notes", "comment", "reason"})
PERSON: Final = frozenset({"user", "staff", "operator", "login"})
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ESCAPED: Final = re.compile(r"%[0-9A-Fa-f]{2}|\\+[ux][0-9A-Fa-f]|\\+[\"'/]|&(?:#|[A-Za-z]{2,8};)")
_ESCAPE: Final = re.compile(
    r"(?P<url>(?:%[0-9A-Fa-f]{2})+)|\\+u(?P<u>[0-9A-Fa-f]{4})|\\+x(?P<x>[0-9A-Fa-f]{2})|\\+(?P<plain>[\"'/])"
)
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}")
_BASE64: Final = "[A-Za-z0-9+/_-]"
_GUID: Final = r"(?i:\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
_NUMBER: Final = r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|\b\d+(?:[.,]\d+)+\b"


@frozen
class _Needle:
    """One secret: what to look for in lower case, and what to cut out where that is found."""

    starts: tuple[str, ...]
    spellings: tuple[str, ...]
    pattern: str

    def cut(self, text: str) -> str:
        """The text without the secret, and without the beginning of one that the text ends with."""
        low = text.lower()
        if not any(start in low for start in self.starts):
            return text
        text = re.sub(self.pattern, REDACTED, text, flags=re.IGNORECASE)
        low, end = text.lower(), len(text.rstrip("…. "))
        for start, spelling in zip(self.starts, self.spellings, strict=True):
            at = low.rfind(start)
            if at >= 0 and len(low) == len(text) and spelling.startswith(low[at:end]):
                return text[:at] + REDACTED
        return text


def _needle(secret: str) -> _Needle:
    raw, octets = secret.lower(), secret.encode(errors="surrogatepass")
    encoded = dict.fromkeys(_base64_of(octets))
    spellings = tuple(
        dict.fromkeys((raw, raw.replace(" ", "+"), octets.hex(), *(spelling.lower() for spelling in encoded)))
    )
    ends = "|".join(f"{_BASE64}?{re.escape(spelling)}{_BASE64}?={{0,2}}" for spelling in encoded)
    pattern = f"{re.escape(secret)}|{re.escape(secret.replace(' ', '+'))}|{octets.hex()}|{ends}"
    return _Needle(tuple(spelling[:SHORTEST_SECRET] for spelling in spellings), spellings, pattern)


def _base64_of(octets: bytes) -> Iterator[str]:
    """What stays the same in base64 whatever stands before and after, for each alignment and alphabet."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + octets).rstrip(b"=").decode("ascii")
        first = (before * 8 + 5) // 6
        last = (before + len(octets)) * 8 // 6
        same = encoded[first:last]
        yield same
        yield same.replace("+", "-").replace("/", "_")


def _pins_pattern(pins: Iterable[str]) -> "re.Pattern[str] | None":
    """Find PINs that stand alone, or are encoded; the group ``keep`` is what only looks like one."""
    known = sorted({pin for pin in pins if len(pin) >= SHORTEST_PIN}, key=len, reverse=True)
    if not known:
        return None
    found = [rf"(?<![0-9A-Za-z])(?i:{re.escape(pin)})(?![0-9A-Za-z])" for pin in known]
    for pin in known:
        octets = pin.encode(errors="surrogatepass")
        found += [f"(?i:{octets.hex()})"] if len(octets) > SHORTEST_PIN else []
        found += [f"{_BASE64}?{re.escape(same)}{_BASE64}?={{0,2}}" for same in _base64_of(octets) if len(same) > 3]
    return re.compile(f"(?P<keep>{_GUID}|{_NUMBER})|{'|'.join(found)}")


class Redactor:
    """What must not be repeated of one session, or of one call on it.

    Args:
        secrets: that the configuration holds, or that a request carries; short ones count as PINs.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        given = tuple(dict.fromkeys(secret for secret in secrets if secret))
        self._fixed = tuple(_needle(secret) for secret in given if not _is_pin(secret))
        self._learned: dict[str, tuple[_Needle, ...]] = {}
        self._needles = self._fixed
        self._short = tuple(secret for secret in given if _is_pin(secret))
        self._pins = _pins_pattern(self._short)

    def learn(self, token: str) -> None:
        """Remember a token that goes out, for as long as an answer to it may come."""
        token = token.rpartition(" ")[2]
        if len(token) < SHORTEST_SECRET or token in self._learned:
            return
        parts = [part for part in token.split(".")[1:] if len(part) > 2 * SHORTEST_SECRET]
        self._learned[token] = tuple(map(_needle, parts or [token]))
        if len(self._learned) > LEARNED:
            del self._learned[next(iter(self._learned))]
        self._needles = (*self._fixed, *(needle for needles in self._learned.values() for needle in needles))

    def also(self, secrets: Iterable[str]) -> "Redactor":
        """The same for one call, with what that call carries besides."""
        more = [secret for secret in secrets if secret]
        if not more:
            return self
        made = Redactor((*self._short, *more))
        made._needles = (*self._needles, *made._needles)
        return made

    # Texts and values

    def text(self, text: str, name: str = "") -> str:
        """A text without secrets; ``name`` is that of the field it stands in."""
        found = self._cut(text, name)
        if found is not text or not _ESCAPED.search(text):
            return found
        for decoded in decodings(text):
            found = self._cut(decoded, name)
            if found is not decoded:
                return found
        return text

    def value(self, value: JsonValue, name: str = "", *, named: bool = False) -> JsonValue:
        """A JSON value without secrets; the very same one where there are none.

        Args:
            value: as the vendor sent it.
            name: of the field it stands in.
            named: whether fields with the name of a secret are emptied, also where no PIN is known.
        """
        named = named or bool(self._short)
        if not named and not self._suspicious(value):
            return value
        return self._rebuilt(value, name, named=named)

    def outcome(self, outcome: Outcome) -> Outcome:
        """An outcome without secrets, a success as well."""
        failure = outcome.failure
        if failure is not None:
            failure = evolve(
                failure,
                message=self._said(failure.message) or "",
                vendor_message=self._said(failure.vendor_message),
                vendor_code=self.text(failure.vendor_code)
                if isinstance(failure.vendor_code, str)
                else failure.vendor_code,
                details=self.value(failure.details),
            )
        result = self.value(outcome.result)
        ids = {name: self.text(value, name) for name, value in outcome.vendor_ids.items()}
        return evolve(
            outcome,
            failure=failure,
            result=result if isinstance(result, dict) else None,
            vendor=self.value(outcome.vendor),
            vendor_ids=ids,
        )

    async def outcome_of_any_size(self, outcome: Outcome) -> Outcome:
        """The same, in a thread where the answer is so large that the loop would wait for it."""
        if _is_small(outcome.vendor) and _is_small(outcome.result):
            return self.outcome(outcome)
        return await anyio.to_thread.run_sync(self.outcome, outcome)

    def _said(self, text: str | None) -> str | None:
        return None if text is None else _JWT.sub(REDACTED, self.text(text))

    def _cut(self, text: str, name: str) -> str:
        if len(text) >= SHORTEST_SECRET:
            for needle in self._needles:
                text = needle.cut(text)
        if self._pins is None or _is_plain(name):
            return text
        cut = self._pins.sub(lambda found: found[0] if found["keep"] else REDACTED, text)
        return text if cut == text else cut

    def _suspicious(self, value: JsonValue) -> bool:
        """Whether a value may hold a secret: many texts are looked through at once."""
        texts, size = list[str](), 0
        for text in _texts(value):
            texts.append(text)
            size += len(text)
            if size > CHUNK:
                if self._any_in("\n".join(texts)):
                    return True
                texts, size = [], 0
        return self._any_in("\n".join(texts))

    def _any_in(self, text: str) -> bool:
        layers = [text, *decodings(text)] if _ESCAPED.search(text) else [text]
        lowered = [layer.lower() for layer in layers]
        return any(start in low for low in lowered for needle in self._needles for start in needle.starts)

    def _rebuilt(self, value: JsonValue, name: str, *, named: bool) -> JsonValue:
        if isinstance(value, dict):
            return {self._cut(key, ""): self._rebuilt(entry, key, named=named) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._rebuilt(entry, name, named=named) for entry in value]
        if value is None or isinstance(value, bool):
            return value
        if named and is_secret_name(name, value):
            return REDACTED if value != "" else value
        if isinstance(value, str):
            return self.text(value, name)
        written = {str(value)}
        if isinstance(value, Decimal) and value.is_finite() and abs(value) < 10**LONGEST_PIN and value == int(value):
            written.add(str(int(value)))
        return value if _is_plain(name) or written.isdisjoint(self._short) else REDACTED


def wordless(outcome: Outcome) -> Outcome:
    """The same end without the vendor's words, for a command whose secrets are no longer known: they may repeat one."""
    failure, said = outcome.failure, "the vendor's words are not kept, since they may repeat a secret"
    if failure is not None:
        return evolve(outcome, failure=evolve(failure, message=said, vendor_message=None), vendor=None)
    return evolve(
        outcome, result={name: _wordless(value, name) for name, value in (outcome.result or {}).items()}, vendor=None
    )


def _wordless(value: JsonValue, name: str) -> JsonValue:
    if isinstance(value, dict):
        return {key: _wordless(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [_wordless(entry, name) for entry in value]
    return value if value is None or isinstance(value, bool) or _is_plain(name) else REDACTED


# Sessions

_redactors: Final[dict[str, Redactor]] = {}


def register(session: str, redactor: Redactor) -> Redactor:
    """Have what is logged of a session redacted; with a reload the newer configuration counts."""
    _redactors[session] = redactor
    return redactor


def of_session(session: object) -> Redactor:
    """The redactor of a session; one that knows nothing where there is no such session."""
    return _redactors.get(session, _KNOWS_NOTHING) if isinstance(session, str) else _KNOWS_NOTHING


_KNOWS_NOTHING: Final = Redactor()


# Names and escapes


def is_secret_name(name: str, value: JsonValue = None) -> bool:
    """Whether a field of this name holds a secret; a user's identifier does unless it is a GUID."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return SECRET_NAME.fullmatch(plain) is not None or (plain == "useridentifier" and not is_guid(value))


def _is_plain(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or not PERSON.isdisjoint(words):
        return False
    return PLAIN_WORD.fullmatch(words[-1]) is not None or (words[-1] not in SPOKEN and not IDENTITY.isdisjoint(words))


def _is_pin(secret: str) -> bool:
    """Whether a secret is so short, or so much a number, that it may be part of what is none."""
    return len(secret) < SHORTEST_SECRET or (secret.isdecimal() and len(secret) <= LONGEST_PIN)


def _texts(value: JsonValue) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            yield from one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _is_small(value: JsonValue) -> bool:
    seen, size = 0, 0
    for text in _texts(value):
        seen, size = seen + 1, size + len(text)
        if seen > MOST_ON_THE_LOOP or size > CHUNK:
            return False
    return True


def decodings(text: str) -> Iterator[str]:
    """The text with its escapes for JSON, URLs and HTML undone, once, twice and so on."""
    for _ in range(DECODINGS):
        decoded = html.unescape(_ESCAPE.sub(_decoded, text))
        if decoded == text:
            return
        text = decoded
        yield text


def _decoded(found: re.Match[str]) -> str:
    if found["url"]:
        return bytes.fromhex(found["url"].replace("%", "")).decode(errors="replace")
    return found["plain"] or chr(int(found["u"] or found["x"], 16))
