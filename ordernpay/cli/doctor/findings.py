"""What a check found."""

import os
import shlex
import stat
from pathlib import Path
from typing import Final, Literal

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


KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(mode: int) -> str | None:
    """What a file is other than a regular one, which alone can be read without waiting; None for that."""
    return next((kind for is_one, kind in KINDS if is_one(mode)), None)


def command(words: str, path: Path) -> str:
    """What to do to a file, for root to paste: nobody but root can put something else in its place meanwhile."""
    if not str(path).isprintable():
        return "its name has characters that cannot be typed: give it another one first"
    for place in path.absolute().parents:
        status = os.lstat(place)
        shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
        if status.st_uid not in {0, os.geteuid()} or shared or stat.S_ISLNK(status.st_mode):
            return f"look at it first (`ls -l {shlex.quote(str(path))}`): others than root can replace it in {place}"
    return f"{words} {shlex.quote(str(path))}"


def ok(check: str, subject: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, subject, "ok", found)


def doubtful(check: str, subject: str, found: str, remedy: str | None = None) -> Finding:
    """Works, or may work, and should make a person think."""
    return Finding(check, subject, "doubtful", found, remedy)


def wrong(check: str, subject: str, found: str, remedy: str | None = None) -> Finding:
    """Does not work."""
    return Finding(check, subject, "wrong", found, remedy)
