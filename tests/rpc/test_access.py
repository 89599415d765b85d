"""Who may call what."""

import grp
import os
import pwd
from types import SimpleNamespace
from typing import Any

import pytest

from ordernpay.config import Access, Rpc
from ordernpay.outcomes import Refused
from ordernpay.rpc.access import ADMIN_METHODS, Caller, Gatekeeper
from ordernpay.rpc.sockets import Peer

USERS = {"asha": (2001, 3001), "ben": (2002, 3002), "root": (0, 0)}
GROUPS = {3001: "kiosk", 3002: "office", 3003: "ordernpay-admin", 0: "root"}
MEMBERS = {"asha": [3001], "ben": [3002, 3003], "root": [0]}
RULES = (
    Access("kiosk", ("order.*", "event.*", "session.list", "user.lookup"), ("bar", "terrace")),
    Access("office", ("order.list", "command.*", "daemon.status")),
)


@pytest.fixture(autouse=True)
def user_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users and groups of a venue, instead of those of this machine."""

    def by_uid(uid: int) -> Any:
        for name, (known, _) in USERS.items():
            if known == uid:
                return SimpleNamespace(pw_name=name)
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", by_uid)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_name=GROUPS[gid]))
    monkeypatch.setattr(os, "getgrouplist", lambda name, _gid: MEMBERS[name])
    monkeypatch.setattr(os, "geteuid", lambda: 999)


def caller(uid: int, gid: int = 9999, **rpc: Any) -> Caller:
    return Gatekeeper(Rpc(**rpc)).caller(Peer(1, uid, gid))


def allowed(who: Caller, method: str, session: str | None = None, **rpc: Any) -> bool:
    try:
        Gatekeeper(Rpc(**rpc)).check(who, method, session)
    except Refused:
        return False
    return True


def test_a_caller_is_its_user_with_the_groups_of_the_database_and_of_its_process() -> None:
    assert caller(2001) == Caller(2001, "asha", frozenset({"kiosk"}), admin=False)
    assert caller(2001, 3002).groups == {"kiosk", "office"}
    assert caller(4711, 3001) == Caller(4711, "4711", frozenset({"kiosk"}), admin=False)
    for uid, groups in ((4711, {"office", "kiosk"}), (2001, {"office", "kiosk"})):
        assert Gatekeeper(Rpc()).caller(Peer(1, uid, 3001, frozenset({3002}))).groups == groups


def test_root_the_daemons_own_user_and_the_admin_group_are_admins() -> None:
    assert caller(0).admin
    assert caller(999).admin
    assert not caller(2002).admin
    assert caller(2002, admin_group="ordernpay-admin").admin
    assert not caller(2001, admin_group="ordernpay-admin").admin


def test_without_rules_whoever_may_open_the_socket_may_call_all_but_admin_methods() -> None:
    asha = caller(2001)
    for method in ("order.create", "user.lookup", "command.get", "daemon.status", "rpc.discover"):
        assert allowed(asha, method, "bar")
    for method in ADMIN_METHODS:
        assert not allowed(asha, method, "bar")
        assert allowed(caller(0), method, "bar")
    assert {"vendor.request", "session.reconnect", "command.resolve"} == ADMIN_METHODS


@pytest.mark.parametrize(
    ("uid", "method", "session", "may"),
    [
        (2001, "order.create", "bar", True),
        (2001, "order.create", "cellar", False),
        (2001, "order.create", None, True),
        (2001, "user.lookup", "bar", True),
        (2001, "command.get", "bar", False),
        (2001, "session.list", None, True),
        (2001, "session.get", "bar", False),
        (2001, "vendor.request", "bar", False),
        (2002, "order.list", "cellar", True),
        (2002, "order.create", "bar", False),
        (2002, "command.resolve", "bar", False),
        (2002, "command.get", "cellar", True),
        (4711, "order.list", "bar", False),
        (4711, "rpc.discover", None, True),
        (0, "command.resolve", "cellar", True),
    ],
)
def test_rules_say_which_group_may_call_what_where(uid: int, method: str, session: str | None, may: bool) -> None:  # noqa: FBT001
    assert allowed(caller(uid), method, session, access=RULES) is may


def test_a_rule_for_all_methods_does_not_make_admins() -> None:
    rules = (Access("kiosk", ("*",)),)
    assert allowed(caller(2001), "order.create", "bar", access=rules)
    assert not allowed(caller(2001), "vendor.request", "bar", access=rules)


@pytest.mark.parametrize(
    ("uid", "method", "session", "needed"),
    [
        (2001, "order.create", "cellar", ["ordernpay-admin"]),
        (4711, "order.list", "bar", ["kiosk", "office"]),
        (4711, "order.create", "bar", ["kiosk"]),
        (2001, "session.reconnect", "bar", ["ordernpay-admin"]),
    ],
)
def test_a_refusal_names_the_user_and_the_group_that_would_do(
    uid: int, method: str, session: str | None, needed: list[str]
) -> None:
    rpc = Rpc(access=RULES, admin_group="ordernpay-admin")
    who = Gatekeeper(rpc).caller(Peer(1, uid, 9999))
    with pytest.raises(Refused) as caught:
        Gatekeeper(rpc).check(who, method, session)
    assert caught.value.failure.details == {"uid": uid, "method": method, "groups": needed}
    assert f"may not call {method}" in caught.value.failure.message


@pytest.mark.parametrize("method", ["order.create", "session.reconnect"])
def test_a_refusal_says_where_no_group_would_do(method: str) -> None:
    keeper = Gatekeeper(Rpc(access=RULES))
    with pytest.raises(Refused) as caught:
        keeper.check(keeper.caller(Peer(1, 2001, 9999)), method, "cellar")
    assert "needed: none: only root and the daemon's own user may" in caught.value.failure.message


@pytest.mark.parametrize(
    ("uid", "method", "visible"),
    [
        (2001, "order.list", {"bar", "terrace"}),
        (2001, "command.list", set()),
        (2002, "order.list", None),
        (0, "order.list", None),
        (4711, "order.list", set()),
    ],
)
def test_the_sessions_that_a_caller_sees(uid: int, method: str, visible: set[str] | None) -> None:
    keeper = Gatekeeper(Rpc(access=RULES))
    assert keeper.sessions(keeper.caller(Peer(1, uid, 9999)), method) == visible
    assert Gatekeeper(Rpc()).sessions(caller(2001), "order.list") is None


def test_groups_that_nobody_knows_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgrouplist", lambda *_: [3001, 12345])
    assert caller(2001, 54321).groups == {"kiosk"}
