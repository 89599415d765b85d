"""What a check found."""

from typing import Literal

from attrs import frozen

from ordernpay.jsontext import JsonObject

Verdict = Literal["ok", "doubtful", "wrong"]


@frozen
class Finding:
    """What a check found.

    Attributes:
        check: what was looked at, in a word.
        subject: which one: a file, a session and its address …
        verdict: `doubtful` is what works now and may not tomorrow, or what could not be looked at.
        found: what there is.
        remedy: what to do; None where there is nothing to be done.
    """

    check: str
    subject: str
    verdict: Verdict
    found: str
    remedy: str | None = None

    def as_json(self) -> JsonObject:
        """For programs."""
        return {
            "check": self.check,
            "subject": self.subject,
            "verdict": self.verdict,
            "found": self.found,
            "remedy": self.remedy,
        }


def ok(check: str, subject: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, subject, "ok", found)


def doubtful(check: str, subject: str, found: str, remedy: str | None = None) -> Finding:
    """Works, or may work, and should make a person think."""
    return Finding(check, subject, "doubtful", found, remedy)


def wrong(check: str, subject: str, found: str, remedy: str | None = None) -> Finding:
    """Does not work."""
    return Finding(check, subject, "wrong", found, remedy)
