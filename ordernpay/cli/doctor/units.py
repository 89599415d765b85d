"""What systemd says of the service; nothing where there is no systemd, or no unit of ours."""

import shutil
from pathlib import Path
from typing import Final

import anyio

from ordernpay.cli.doctor.findings import Finding, doubtful, ok, wrong
from ordernpay.cli.doctor.situation import Situation

RUNS: Final = Path("/run/systemd/system")
UNITS: Final = ("ordernpay.socket", "ordernpay.service")
SHOWN: Final = (
    "Id",
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "NeedDaemonReload",
)
SECONDS: Final = 5.0
MANY_RESTARTS: Final = 3

CHECK: Final = "systemd"


async def look_at_systemd(situation: Situation) -> list[Finding]:
    """Whether the units are enabled and run, and whether the clock is kept."""
    del situation
    if not RUNS.is_dir() or shutil.which("systemctl") is None:
        return []
    told = await _ask("systemctl", "show", f"--property={','.join(SHOWN)}", *UNITS)
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in told.split("\n\n") if block.strip()]
    installed = [unit for unit in units if unit.get("LoadState") == "loaded"]
    findings = [finding for unit in installed for finding in _unit(unit)]
    return [*findings, *await _clock()] if installed else []


def _unit(unit: dict[str, str]) -> list[Finding]:
    name, findings = unit["Id"], []
    enabled, active, detail = unit.get("UnitFileState", ""), unit.get("ActiveState", ""), unit.get("SubState", "")
    state = f"{active} ({detail})"
    if active == "failed":
        remedy = f"`journalctl -u {name} -b -n 50` tells why; then `systemctl restart {name}`"
        findings.append(wrong(CHECK, name, f"failed ({unit.get('Result')})", remedy))
    elif active == "active":
        findings.append(ok(CHECK, name, state))
    elif active in {"activating", "reloading", "deactivating"}:
        findings.append(doubtful(CHECK, name, state, f"look again in a moment; `journalctl -u {name} -f` shows it"))
    else:
        findings.append(wrong(CHECK, name, state, f"`systemctl start {name}`"))
    if enabled not in {"enabled", "enabled-runtime", "static", "generated", "alias"}:
        findings.append(doubtful(CHECK, name, f"not started at boot ({enabled})", f"`systemctl enable {name}`"))
    restarts = int(unit.get("NRestarts") or 0)
    if restarts > MANY_RESTARTS:
        found = f"systemd has restarted it {restarts} times"
        findings.append(doubtful(CHECK, name, found, f"`journalctl -u {name} -b -p warning` tells why"))
    if unit.get("NeedDaemonReload") == "yes":
        found = "its file has changed since systemd read it"
        findings.append(doubtful(CHECK, name, found, f"`systemctl daemon-reload`, then `systemctl restart {name}`"))
    return findings


async def _clock() -> list[Finding]:
    """Whether this machine's clock is kept by NTP."""
    if shutil.which("timedatectl") is None:
        return []
    told = (await _ask("timedatectl", "show", "--property=NTPSynchronized", "--value")).strip()
    if told == "no":
        found = "not synchronised by NTP, as far as systemd knows"
        remedy = "`timedatectl set-ntp true`; where chrony or the like keeps it, ask that"
        return [doubtful("clock", "this machine", found, remedy)]
    return [ok("clock", "this machine", "synchronised")] if told == "yes" else []


async def _ask(*command: str) -> str:
    """What a command of systemd prints; nothing where it does not answer."""
    with anyio.move_on_after(SECONDS):
        ended = await anyio.run_process(command, check=False)
        return ended.stdout.decode(errors="replace")
    return ""
