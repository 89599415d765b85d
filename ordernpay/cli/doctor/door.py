"""The local socket, as this user meets it, and the daemon behind it."""

import os
import shlex
import stat
from typing import Final

import anyio

from ordernpay import __version__
from ordernpay.cli.accounts import group_name, in_group, known_group, listed_in_group, user_name
from ordernpay.cli.doctor.findings import Finding, Verdict, doubtful, ok, wrong
from ordernpay.cli.doctor.situation import Situation
from ordernpay.cli.terminal import duration, member, objects, whole
from ordernpay.client import OrdernpayError, RpcFailure, connect, default_socket
from ordernpay.jsontext import JsonObject
from ordernpay.rpc.reasons import explained

SECONDS: Final = 5.0
START: Final = "start it: `systemctl start ordernpay.socket ordernpay.service`, or `ordernpay run --config FILE`"
MODE: Final = "set rpc.mode (under systemd, SocketMode= of ordernpay.socket) to 0660, then restart"
LOG: Final = "`journalctl -u ordernpay -n 50` tells what it does instead"


def look_at_socket(situation: Situation) -> list[Finding]:
    """The socket itself: there, of which group, and whether this user may open it."""
    path = situation.socket
    findings = []
    if (
        situation.config is not None
        and "ORDERNPAY_SOCKET" in os.environ
        and default_socket().absolute() != path.absolute()
    ):
        found = f"$ORDERNPAY_SOCKET leads programs to {default_socket()}, the daemon is configured to be at {path}"
        findings.append(doubtful("socket", "$ORDERNPAY_SOCKET", found, "unset it, or set it to that path"))
    try:
        status = os.lstat(path)
    except PermissionError:
        remedy = "look at its directories: kiosk users need to pass through them (mode 0755)"
        return [*findings, wrong("socket", str(path), "its directory lets this user not pass", remedy)]
    except OSError as error:
        return [*findings, wrong("socket", str(path), f"not there ({error.strerror})", START)]
    if not stat.S_ISSOCK(status.st_mode):
        return [*findings, wrong("socket", str(path), "something else than a socket", f"remove it, then {START}")]
    findings.append(_admission(str(path), status))
    group = None if situation.config is None else situation.config.rpc.group
    if group is not None and group != group_name(status.st_gid):
        found = f"belongs to group {group_name(status.st_gid)}, while rpc.group is {group}"
        findings.append(
            doubtful("socket", str(path), found, "restart the daemon, or let rpc.group and SocketGroup= agree")
        )
    return findings


def _admission(path: str, status: os.stat_result) -> Finding:
    group, user, mode = group_name(status.st_gid), user_name(os.geteuid()), stat.S_IMODE(status.st_mode)
    told = f"group {group}, mode {mode:04o}"
    if os.access(path, os.W_OK, effective_ids=True):
        how = "is in it" if in_group(status.st_gid) else "may open it nevertheless"
        found = f"{told}; {user} {how}"
        return (
            doubtful("socket", path, f"{found}, as may everybody", MODE) if mode & 0o002 else ok("socket", path, found)
        )
    if in_group(status.st_gid):
        return wrong("socket", path, f"{told}; {user} is in it, but the mode keeps it out", MODE)
    if listed_in_group(os.geteuid(), status.st_gid):
        found = f"{told}; {user} has been put in it since the last login"
        return wrong(
            "socket",
            path,
            found,
            f"log in again, or restart the kiosk app; for one shell: `newgrp {shlex.quote(group)}`",
        )
    return wrong(
        "socket",
        path,
        f"{told}; {user} is not in it",
        f"as root: `adduser {shlex.quote(user)} {shlex.quote(group)}`, then log in again",
    )


def look_at_groups(situation: Situation) -> list[Finding]:
    """The groups that the configuration names: one that is not there lets nobody in, and nobody is told."""
    if situation.config is None:
        return []
    rpc = situation.config.rpc
    named = {"rpc.group": rpc.group, "rpc.admin_group": rpc.admin_group}
    named |= {f"rpc.access[{number}].group": access.group for number, access in enumerate(rpc.access)}
    return [
        wrong(
            "groups", key, f"there is no group {group}", f"`addgroup --system {shlex.quote(group)}`, or mend the name"
        )
        for key, group in named.items()
        if group is not None and not known_group(group)
    ]


async def look_at_daemon(situation: Situation) -> list[Finding]:
    """Whether the daemon answers, its version, and what it says of itself."""
    path = str(situation.socket)
    if not situation.socket.exists():
        return []
    answer: JsonObject | None = None
    with anyio.move_on_after(SECONDS):
        try:
            async with connect(path) as client:
                answer = await client.call("daemon.status")
        except RpcFailure as error:
            return [ok("daemon", path, f"answers, but does not tell this user its status: {error.message}")]
        except OrdernpayError as error:
            return [wrong("daemon", path, f"does not answer: {error}", START)]
    if answer is None:
        return [wrong("daemon", path, f"has the socket and did not answer within {SECONDS:g} s", LOG)]
    return [_version(path, answer), *_own_word(path, answer), *map(_session, objects(answer, "sessions"))]


def _version(path: str, answer: JsonObject) -> Finding:
    version = answer.get("version")
    found = f"answers, version {version}, up {duration(answer.get('uptime'))}"
    if version != __version__:
        remedy = "`systemctl restart ordernpay` brings the installed version into force"
        return doubtful("daemon", path, f"{found}; this command is version {__version__}", remedy)
    return ok("daemon", path, found)


def _own_word(path: str, answer: JsonObject) -> list[Finding]:
    findings = []
    journal = member(answer, "journal")
    if answer.get("config_error") is not None:
        why = "; ".join(str(answer["config_error"]).splitlines())
        found = f"the last reload was refused, the configuration before it is in force: {why}"
        findings.append(wrong("daemon", path, found, "mend the file, `ordernpay check`, `systemctl reload ordernpay`"))
    waiting = answer.get("needs_restart")
    if isinstance(waiting, list) and waiting:
        found = f"not in force until a restart: {', '.join(map(str, waiting))}"
        findings.append(
            doubtful("daemon", path, found, "`systemctl restart ordernpay`; kiosks' connections wait meanwhile")
        )
    if journal.get("error") is not None:
        remedy = "make room on the disk, or find out why it is read-only; the daemon recovers by itself"
        findings.append(wrong("daemon", path, f"the journal cannot be written: {journal['error']}", remedy))
    if journal.get("moved_aside") is not None:
        found = f"a damaged journal was moved to {journal['moved_aside']}"
        findings.append(
            doubtful("daemon", path, found, "look at the disk (`dmesg`); keep the file until all is settled")
        )
    newest = member(journal, "damaged").get("newest")
    records = [str(one) for one in newest if not str(one).startswith("file ")] if isinstance(newest, list) else []
    if records:
        found = f"damaged records were set aside: {'; '.join(records)}"
        findings.append(doubtful("daemon", path, found, "look at the vendor what became of them, and at the disk"))
    unknown = whole(journal, "unknown")
    if unknown:
        found = f"commands whose outcome nobody knows: {unknown}"
        findings.append(doubtful("daemon", path, found, "`ordernpay commands --state unknown`, and look at the till"))
    return findings


def _session(session: JsonObject) -> Finding:
    name, state = str(session.get("name")), str(session.get("state"))
    verdicts: dict[str, Verdict] = {"up": "ok", "refused": "wrong"}
    error = session.get("last_error")
    found = state if state == "up" or error is None else f"{state}: {error}"
    why = explained(
        state, None if error is None else str(error)
    )  # in this program's words: the daemon's are not root's
    return Finding("session", name, verdicts.get(state, "doubtful"), found, why)
