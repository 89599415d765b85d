"""How the daemon stands, in one line for a person; and what of a new configuration only a restart can bring."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio
import attrs

from ordernpay.clock import rfc3339
from ordernpay.config import Config
from ordernpay.vendors.protocol import Session

REASON_MOST: Final = 120
LOOKS: Final = 5

TAKEN_OVER: Final = frozenset(
    {"daemon.drain_seconds", "rpc.access", "rpc.admin_group", "inbound.tls_certificate", "inbound.tls_key"}
)
"""Keys outside the sessions that a reload puts in force at once; all of `[journal]` is, too."""


def standing(sessions: Mapping[str, Session], unknown: int, troubles: list[str]) -> str:
    """One line: sessions up and down with the reasons, commands that nobody knows the outcome of, and what else is wrong.

    Args:
        sessions: as they run.
        unknown: how many commands have no known outcome.
        troubles: what an operator has to mend besides.
    """
    told = {name: session.status() for name, session in sessions.items()}
    up = sum(status.state == "up" for status in told.values())
    parts = [f"{up} of {len(told)} sessions up" if told else "no sessions configured"]
    for name, status in told.items():
        if status.state != "up":
            reason = " ".join((status.last_error or "").split())[:REASON_MOST]
            again = _again(status.flips, status.unsteady_since)
            parts.append(f"{name} {status.state}{again}" + (f" ({reason})" if reason else ""))
    if unknown:
        parts.append(f"{unknown} {'command' if unknown == 1 else 'commands'} unknown")
    return "; ".join([*troubles, *parts])


def _again(flips: int, since: float | None) -> str:
    """How often a session that is not steady was lost."""
    return f", lost {flips} times since {rfc3339(since)}" if flips > 1 and since is not None else ""


def needs_restart(started: Config, wanted: Config) -> list[str]:
    """Which keys have changed since the start that a reload cannot bring into force."""
    changed = []
    for table in ("daemon", "rpc", "inbound"):
        before, after = getattr(started, table), getattr(wanted, table)
        if before is None or after is None:
            changed += [table] if before != after else []
            continue
        names = [f"{table}.{attribute.name}" for attribute in attrs.fields(type(before))]
        changed += [
            name
            for name in names
            if name not in TAKEN_OVER
            and getattr(before, name.partition(".")[2]) != getattr(after, name.partition(".")[2])
        ]
    return changed


async def written(file: Path, seconds: float) -> None:
    """Return once a file has not changed for so long, since who reads it sooner may read a half; and in any case soon."""
    for _ in range(LOOKS):
        try:
            age = time.time() - (await anyio.Path(file).stat()).st_mtime
        except OSError:  # whoever reads it then says why
            return
        if not 0 <= age < seconds:  # a file from the future is none that is being written
            return
        await anyio.sleep(seconds - age + 0.01)
