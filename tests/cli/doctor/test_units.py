"""What systemd says of the service, told by a `systemctl` of the test's own."""

import os
from pathlib import Path
from typing import Any

import pytest

from ordernpay.cli.doctor import units
from ordernpay.cli.doctor.findings import Finding
from ordernpay.cli.doctor.units import look_at_systemd
from tests.cli.doctor.given import situation, verdicts

SOCKET: dict[str, str] = {
    "Id": "ordernpay.socket", "LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active",
    "SubState": "running", "Result": "success", "NeedDaemonReload": "no",
}  # fmt: skip
SERVICE = SOCKET | {"Id": "ordernpay.service", "NRestarts": "0"}


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with systemd, whose answers a test writes."""
    monkeypatch.setattr(units, "RUNS", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    program(tmp_path, "timedatectl", "yes")
    return tmp_path


def program(box: Path, name: str, answer: str) -> None:
    path = box / "bin" / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n", encoding="utf-8")
    path.chmod(0o755)


async def told(box: Path, *shown: dict[str, str]) -> list[Finding]:
    blocks = ["\n".join(f"{name}={value}" for name, value in unit.items()) for unit in shown]
    program(box, "systemctl", "\n\n".join(blocks))
    return await look_at_systemd(situation(box))


async def test_units_that_run_and_are_enabled_are_fine(box: Path) -> None:
    findings = await told(box, SOCKET, SERVICE)
    assert [(finding.subject, finding.verdict, finding.found) for finding in findings] == [
        ("ordernpay.socket", "ok", "active (running)"),
        ("ordernpay.service", "ok", "active (running)"),
        ("this machine", "ok", "synchronised"),
    ]


@pytest.mark.parametrize(
    ("changes", "verdict", "found", "remedy"),
    [
        ({"ActiveState": "failed", "Result": "exit-code"}, "wrong", "failed (exit-code)", "`journalctl -u"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "wrong", "inactive (dead)", "`systemctl start ordernpay"),
        ({"ActiveState": "activating"}, "doubtful", "activating (running)", "look again in a moment"),
        ({"UnitFileState": "disabled"}, "doubtful", "not started at boot (disabled)", "`systemctl enable ordernpay"),
        ({"NRestarts": "12"}, "doubtful", "systemd has restarted it 12 times", "`journalctl -u"),
        ({"NeedDaemonReload": "yes"}, "doubtful", "its file has changed since", "`systemctl daemon-reload`"),
    ],
)
async def test_what_is_not_as_it_should_be_says_what_to_do(
    box: Path, changes: dict[str, str], verdict: str, found: str, remedy: str
) -> None:
    findings = await told(box, SOCKET, SERVICE | changes)
    [finding] = [finding for finding in findings if finding.verdict != "ok"]
    assert (finding.subject, finding.verdict) == ("ordernpay.service", verdict)
    assert finding.found.startswith(found)
    assert (finding.remedy or "").startswith(remedy)


async def test_where_the_units_are_not_installed_nothing_is_said(box: Path) -> None:
    gone = {"LoadState": "not-found", "ActiveState": "inactive"}
    assert await told(box, SOCKET | gone, SERVICE | gone) == []


async def test_where_there_is_no_systemd_nothing_is_said(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "RUNS", box / "none")
    assert await told(box, SOCKET | {"ActiveState": "failed"}) == []


@pytest.mark.parametrize(("answer", "verdict"), [("no", ["doubtful"]), ("yes", ["ok"]), ("", [])])
async def test_a_clock_that_nobody_keeps_is_doubtful(box: Path, answer: str, verdict: Any) -> None:
    program(box, "timedatectl", answer)
    findings = await told(box, SOCKET)
    assert verdicts([finding for finding in findings if finding.check == "clock"]) == verdict


async def test_a_systemd_that_does_not_answer_holds_nobody(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "SECONDS", 0.2)
    path = box / "bin" / "systemctl"
    path.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    path.chmod(0o755)
    assert await look_at_systemd(situation(box)) == []
