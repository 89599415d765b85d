"""Who may call what: the local user at the other end of the socket, its groups, and the rules of `[[rpc.access]]`."""

import fnmatch
import grp
import os
import pwd
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from ordernpay.config import Access, Config, Rpc
from ordernpay.conversion import Fault
from ordernpay.outcomes import Failure, Refused
from ordernpay.rpc.sockets import Peer

ADMIN_METHODS: Final = frozenset({"vendor.request", "session.reconnect", "command.resolve"})
OPEN_METHODS: Final = frozenset({"rpc.discover"})
"""What whoever may open the socket may call, whatever the rules say."""


@frozen
class Caller:
    """A local user as the rules see it."""

    uid: int
    name: str
    groups: frozenset[str]
    admin: bool


class Gatekeeper:
    """Decides by the configuration of `[rpc]`."""

    def __init__(self, rpc: Rpc) -> None:
        self._rules = rpc.access
        self._admin_group = rpc.admin_group

    def caller(self, peer: Peer) -> Caller:
        """Find out who a peer is; its groups are those of the user database and the process' own."""
        try:
            name = pwd.getpwuid(peer.uid).pw_name
            gids = {*os.getgrouplist(name, peer.gid)}
        except KeyError:
            name, gids = str(peer.uid), set()
        groups = frozenset(_group_names(gids | {peer.gid} | peer.groups))
        admin = peer.uid in {0, os.geteuid()} or (self._admin_group is not None and self._admin_group in groups)
        return Caller(peer.uid, name, groups, admin)

    def check(self, caller: Caller, method: str, session: str | None = None) -> None:
        """Allow a call, or raise `Refused` with who asked and which group would be needed.

        Args:
            caller: who asks.
            method: what for.
            session: on which session, where the call names one.
        """
        if caller.admin or method in OPEN_METHODS:
            return
        admins = [self._admin_group] if self._admin_group else []
        if method in ADMIN_METHODS:
            raise _refused(caller, method, admins, session)
        if not self._rules:
            return
        allowing = [rule for rule in self._rules if any(fnmatch.fnmatchcase(method, known) for known in rule.methods)]
        if session is not None:
            allowing = [rule for rule in allowing if rule.sessions is None or session in rule.sessions]
        if not any(rule.group in caller.groups for rule in allowing):
            raise _refused(caller, method, [rule.group for rule in allowing] or admins, session)

    def sessions(self, caller: Caller, method: str) -> frozenset[str] | None:
        """The sessions on which a caller may call a method; None for all."""
        if caller.admin or not self._rules:
            return None
        mine = [rule for rule in self._rules if self._serves(rule, caller, method)]
        if any(rule.sessions is None for rule in mine):
            return None
        return frozenset(session for rule in mine for session in rule.sessions or ())

    @staticmethod
    def _serves(rule: Access, caller: Caller, method: str) -> bool:
        return rule.group in caller.groups and any(fnmatch.fnmatchcase(method, known) for known in rule.methods)


def unknown_groups(rpc: Rpc) -> Iterator[Fault]:
    """Groups that `[rpc]` names and this machine does not have: they let nobody in, and nobody is told."""
    groups = {"rpc.group": rpc.group, "rpc.admin_group": rpc.admin_group}
    groups |= {f"rpc.access[{number}].group": rule.group for number, rule in enumerate(rpc.access)}
    for path, group in groups.items():
        if group is not None and not _is_group(group):
            yield Fault(path, f"this machine has no group {group}")


def idle_rules(config: Config, methods: Iterable[str]) -> Iterator[Fault]:
    """Methods and sessions that `[[rpc.access]]` names and that are not there: what was meant is refused.

    Args:
        config: the whole of it.
        methods: all that there are.
    """
    known = [*methods]
    for number, rule in enumerate(config.rpc.access):
        for place, pattern in enumerate(rule.methods):
            if not fnmatch.filter(known, pattern):
                yield Fault(f"rpc.access[{number}].methods[{place}]", f"no method is called {pattern}")
        for place, session in enumerate(rule.sessions or ()):
            if session not in config.sessions:
                yield Fault(f"rpc.access[{number}].sessions[{place}]", f"there is no session {session}")


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _group_names(gids: Iterable[int]) -> Iterable[str]:
    for gid in gids:
        try:
            yield grp.getgrgid(gid).gr_name
        except KeyError:
            continue


def _refused(caller: Caller, method: str, groups: list[str], session: str | None) -> Refused:
    where = f" on session {session}" if session is not None else ""
    needed = " or ".join(sorted(set(groups))) or "none: only root and the daemon's own user may"
    have = ", ".join(sorted(caller.groups)) or "none"
    text = f"{caller.name} (uid {caller.uid}) may not call {method}{where}; local group needed: {needed}; has: {have}"
    return Refused(
        Failure("forbidden", text, details={"uid": caller.uid, "method": method, "groups": [*sorted(set(groups))]})
    )
