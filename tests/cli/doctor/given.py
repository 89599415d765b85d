"""A configuration for the checks, and what they found."""

from pathlib import Path
from typing import Any

from ordernpay.cli.doctor.findings import Finding
from ordernpay.cli.doctor.situation import Situation, situation_of
from tests.support import toml
from tests.support.daemons import session


def situation(directory: Path, sessions: dict[str, Any] | None = None, **more: Any) -> Situation:
    """What is known when the file has these sessions, by default one that dials a port where nobody is."""
    tables = {
        "daemon": {"state_dir": str(directory / "state")},
        "rpc": {"socket": str(directory / "s")},
        "sessions": {"bar": session(url="ws://127.0.0.1:9/")} if sessions is None else sessions,
    }
    path = toml.write(directory / "ordernpay.toml", tables | more)
    path.chmod(0o600)
    return situation_of(path)


def verdicts(findings: list[Finding]) -> list[str]:
    """The verdicts, in order."""
    return [finding.verdict for finding in findings]


def one(findings: list[Finding], check: str) -> Finding:
    """The only finding of a check."""
    [finding] = [finding for finding in findings if finding.check == check]
    return finding
