"""What the checks start from: the configuration, as far as this user may read it."""

import errno
import os
from pathlib import Path
from typing import Final, get_args

import attrs
from attrs import evolve, field, frozen

from ordernpay.cli.doctor.findings import Finding, doubtful, ok, wrong
from ordernpay.cli.doubts import doubts
from ordernpay.client import default_socket
from ordernpay.commands import COMMANDS
from ordernpay.config import Config, ConfigError, Inbound, Secret, SessionConfig, parse, read
from ordernpay.conversion import Fault, Faults, structure
from ordernpay.jsontext import JsonObject
from ordernpay.rpc.access import idle_rules
from ordernpay.rpc.methods import METHODS
from ordernpay.vendors import CONFIGS

ELSEWHERE: Final = frozenset({"credential", "file", "env"})
STAND_IN: Final = "not readable by this user"

WHERE_ROOT_LOOKS: Final = (
    "systemd hands them out from or to (/etc/ordernpay/credentials, /etc/ordernpay/credentials.encrypted, "
    "/run/credentials/ordernpay.service)"
)
HINT_FOR_ROOT: Final = (
    "a credential is a file of its name in /etc/ordernpay/credentials, and needs `systemctl restart ordernpay`; the log of "
    "the daemon tells whether it has what is named here"
)
HINT_FOR_OTHERS: Final = (
    "run `ordernpay doctor` as root, which sees what systemd will hand to the service (/etc/ordernpay/credentials), or as "
    "the user of the daemon"
)

CHECK: Final = "configuration"


@frozen
class Situation:
    """What is known before anything is looked at.

    Attributes:
        path: the configuration file.
        config: None where it cannot be used. Secrets that this user cannot read are replaced by a stand-in.
        faults: why it cannot be used.
        withheld: the keys of those secrets, each with the reason.
        secret_files: the files that hold secrets, by key.
        credentials: the keys of systemd's credentials that this user can read outside of systemd.
    """

    path: Path
    config: Config | None = None
    faults: list[Fault] = field(factory=list)
    withheld: dict[str, str] = field(factory=dict)
    secret_files: dict[str, Path] = field(factory=dict)
    credentials: list[str] = field(factory=list)

    @property
    def socket(self) -> Path:
        """Where the daemon should be."""
        return default_socket() if self.config is None else Path(self.config.rpc.socket)

    @property
    def inbound(self) -> Inbound | None:
        """The HTTP door, where the daemon opens one."""
        if self.config is None:
            return None
        waiting = any(waits(session) for session in self.config.sessions.values())
        return self.config.inbound or (Inbound() if waiting else None)

    @property
    def plain_secrets(self) -> list[str]:
        """The keys of secrets that stand in the file itself."""
        return [] if self.config is None else [key for key in _plain(self.config) if key not in self.withheld]


def situation_of(path: Path) -> Situation:
    """Read what can be read."""
    try:
        tables = parse(path)
    except ConfigError as error:
        return Situation(path, faults=error.faults)
    given = _stand_in(path, tables)
    try:
        return evolve(given, config=read(tables, path, CONFIGS))
    except ConfigError as error:
        return evolve(given, faults=error.faults)


def waits(session: SessionConfig) -> bool:
    """Whether a session's point of sale dials us."""
    return getattr(session, "role", None) == "listen"


def look_at_configuration(situation: Situation) -> list[Finding]:
    """The file itself, as `ordernpay check` sees it; secrets that this user may not read are no fault."""
    file = str(situation.path)
    if situation.config is None:
        return [
            wrong(CHECK, _place(file, fault), fault.message, _remedy(fault, situation)) for fault in situation.faults
        ]
    sessions = situation.config.sessions
    findings = [ok(CHECK, file, f"sessions: {', '.join(sessions) or 'none'}")]
    findings += [
        doubtful(CHECK, _place(file, doubt), doubt.message)
        for doubt in (*doubts(situation.config), *idle_rules(situation.config, (*COMMANDS, *METHODS)))
        if doubt.path not in situation.withheld
    ]
    if situation.credentials:
        keys = ", ".join(situation.credentials)
        found = f"read where {WHERE_ROOT_LOOKS}, since $CREDENTIALS_DIRECTORY is not set: {keys}"
        findings.append(ok(CHECK, "credentials", found))
    remedy = HINT_FOR_ROOT if os.geteuid() == 0 else HINT_FOR_OTHERS
    for key, why in situation.withheld.items():
        findings.append(doubtful(CHECK, f"{file}: {key}", f"not to be seen from here: {why}", remedy))
    return findings


def _place(file: str, fault: Fault) -> str:
    return f"{file}: {fault.path}" if fault.path else file


def _remedy(fault: Fault, situation: Situation) -> str:
    if fault.path:
        return f"mend this key in {situation.path}, then `ordernpay check`; the manual page is ordernpay.toml(5)"
    if fault.message.endswith(os.strerror(errno.ENOENT)):
        return "name it with --config or $ORDERNPAY_CONFIG, or write one: examples/ordernpay.toml is a first one"
    return "run `ordernpay doctor` as root, or mend the file"


def _stand_in(path: Path, tables: JsonObject) -> Situation:
    """Put a stand-in for every secret that is elsewhere and cannot be had; what is known of all that are elsewhere."""
    given, outside = Situation(path), os.environ.get("CREDENTIALS_DIRECTORY") is None
    sessions = tables.get("sessions")
    for name, table in sessions.items() if isinstance(sessions, dict) else ():
        config = CONFIGS.get(str(table.get("vendor"))) if isinstance(table, dict) else None
        if config is None or not isinstance(table, dict):
            continue
        for key in [key for key in _secret_keys(config) if key in table]:
            value, place = table[key], f"sessions.{name}.{key}"
            if not isinstance(value, dict) or not _is_elsewhere(value):
                continue
            if "file" in value:
                given.secret_files[place] = Path(str(value["file"]))
            try:
                structure(value, Secret)
            except Faults as error:
                given.withheld[place], table[key] = error.faults[0].message, STAND_IN
            else:
                if "credential" in value and outside:
                    given.credentials.append(place)
    return given


def _is_elsewhere(value: JsonObject) -> bool:
    """Whether a secret is said to be outside of the file, in a way that can be understood."""
    if len(value) != 1:
        return False
    [(source, where)] = value.items()
    return source in ELSEWHERE and isinstance(where, str) and bool(where)


def _secret_keys(config: type[SessionConfig]) -> list[str]:
    return [entry.name for entry in attrs.fields(config) if Secret in {entry.type, *get_args(entry.type)}]


def _plain(config: Config) -> list[str]:
    return [
        f"sessions.{name}.{key}"
        for name, session in config.sessions.items()
        for key in _secret_keys(type(session))
        if (secret := getattr(session, key)) is not None and secret.plain
    ]
