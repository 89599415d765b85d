"""The configuration file (contract, section 3): TOML, checked whole, with secrets that never show themselves."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import attrs
from attrs import field, frozen

from ordernpay.addresses import address_fault
from ordernpay.conversion import DETAILED, QUICK, Fault, Faults, structure
from ordernpay.credentials import credential, octets_of, secret_in, text_of
from ordernpay.jsontext import JsonObject
from ordernpay.rules import Network, Seconds, Text, Whole, Wrong, nearest, shown, unknown
from ordernpay.tomllines import in_line, lines_of

DEFAULT_PATH: Final = Path("/etc/ordernpay/ordernpay.toml")
DEFAULT_SOCKET: Final = Path("/run/ordernpay/ordernpay.sock")
CONFIG_VARIABLE: Final = "ORDERNPAY_CONFIG"
_SESSION_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

Port = Annotated[int, Whole(0, 65_535)]
Bytes = Annotated[int, Whole(1_024, 64 * 1024 * 1024)]
Count = Annotated[int, Whole(1, 100_000)]
Interval = Annotated[float, Seconds(0.05, 3_600)]
Name = Annotated[str, Text(1, 64)]


class ConfigError(Exception):
    """A configuration that cannot be used; the text names file, key and what was expected."""

    def __init__(self, file: Path, faults: list[Fault]) -> None:
        super().__init__(
            "\n".join(f"{file}: {f.path}: {f.message}" if f.path else f"{file}: {f.message}" for f in faults)
        )
        self.file = file
        self.faults = faults


@frozen(repr=False)
class Secret:
    """A secret that shows itself only when asked by name. `plain` tells that it stood in the file itself."""

    _value: str
    plain: bool = False

    def reveal(self) -> str:
        """The secret's text, to be put on the wire and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


def _read_secret(value: object, _: object) -> Secret:
    expected = 'a secret: { credential = "name" }, { file = "path" }, { env = "NAME" } or, for trials, a text'
    if isinstance(value, str) and value:
        return Secret(secret_in(value), plain=True)
    if not isinstance(value, dict) or len(value) != 1:
        raise Wrong(f"expected {expected}")
    [(source, where)] = value.items()
    if source not in {"credential", "file", "env"} or not isinstance(where, str) or not where or "\0" in where:
        raise Wrong(f"expected {expected}")
    if source == "env":
        text = os.environ.get(where, "")
    else:
        hint = (
            "; systemd hands credentials over at a start, a new one needs a restart" if source == "credential" else ""
        )
        try:
            text = text_of(octets_of(Path(where))) if source == "file" else credential(where)
        except OSError as error:
            raise Wrong(f'{source} "{where}" cannot be read ({error.strerror}){hint}') from None
        except Wrong as error:
            raise Wrong(f'{source} "{where}": {error}' if source == "file" else str(error)) from None
    if not text.strip():
        raise Wrong(f'{source} "{where}": expected a secret there, found nothing')
    try:
        return Secret(secret_in(text))
    except Wrong as error:
        raise Wrong(f'{source} "{where}": {error}') from None


for _converter in (QUICK, DETAILED):
    _converter.register_structure_hook(Secret, _read_secret)


@frozen
class Daemon:
    """`[daemon]`.

    Attributes:
        state_dir: directory of the journal; made if need be.
        drain_seconds: how long a stop waits for commands that are under way.
    """

    state_dir: str = "/var/lib/ordernpay"
    drain_seconds: Interval = 20.0


@frozen
class Journal:
    """`[journal]`.

    Attributes:
        keep_days: how long settled commands and events are kept; unknown ones stay until they are settled.
    """

    keep_days: Annotated[int, Whole(1, 3_650)] = 30


@frozen
class Access:
    """`[[rpc.access]]`: what the members of a local group may call. With no such table, all but admin methods.

    Attributes:
        group: name of a local group.
        methods: names of methods, or a prefix and a star: "order.*".
        sessions: names of sessions; without it, all.
    """

    group: Name
    methods: tuple[Name, ...]
    sessions: tuple[Name, ...] | None = None


@frozen
class Rpc:
    """`[rpc]`: the local socket and its bounds.

    Attributes:
        socket: path of the socket; under systemd, the one of ordernpay.socket.
        mode: permissions of the socket, as text in octal.
        group: group of the socket; without it, the daemon's own.
        admin_group: group whose members may call admin methods, as root and the daemon's user may.
        access: who may call what, see [[rpc.access]].
        max_message_bytes: longest line that is taken.
        max_clients: connections at a time.
        max_in_flight: requests under way of one connection.
        max_event_backlog: events that may wait for a slow subscriber before it is cut off.
        stall_seconds: how long a client may take no answers before it is cut off.
    """

    socket: str = str(DEFAULT_SOCKET)
    mode: Annotated[str, Text(3, 5, r"0?[0-7]{3}")] = "0660"
    group: Name | None = None
    admin_group: Name | None = None
    access: tuple[Access, ...] = ()
    max_message_bytes: Bytes = 1_048_576
    max_clients: Count = 256
    max_in_flight: Count = 128
    max_event_backlog: Count = 10_000
    stall_seconds: Interval = 10.0


@frozen
class Inbound:
    """`[inbound]`: HTTP for vendors that call us, for metrics and health. Opened where this table stands, or a session listens.

    Attributes:
        host: address to listen at; 0.0.0.0 for all.
        port: port to listen at.
        tls_certificate: file of our certificate and its chain, PEM; without it, plain HTTP.
        tls_key: file of its key, PEM, without a password.
        token_parameter: query parameter in which a POS that dials us hands over its token.
        max_message_bytes: longest websocket message that is taken.
        ping_interval: seconds between two pings of a POS that dialled us.
        ping_timeout: seconds without an answer to one after which it is gone.
        trusted_proxies: addresses and networks of reverse proxies, whose X-Forwarded-For or Forwarded is believed.
    """

    host: str = "127.0.0.1"
    port: Port = 8710
    tls_certificate: str | None = None
    tls_key: str | None = None
    token_parameter: Name = "token"  # noqa: S105 - a query parameter's name
    max_message_bytes: Bytes = 4 * 1_048_576
    ping_interval: Interval = 20.0
    ping_timeout: Interval = 10.0
    trusted_proxies: tuple[Annotated[str, Network()], ...] = ()


@frozen
class SessionConfig:
    """What every session has; each vendor's own class adds to it.

    Attributes:
        vendor: whose interface it speaks; one of those below.
        ca_file: certificates of authorities, PEM, that count beside the system's own.
        client_certificate: file of the certificate that we show to a vendor who asks for one, PEM, with its chain.
        client_key: the key of client_certificate, PEM, without a password.
        allow_insecure: take plain ws:// and http:// for another host than this one.
        max_in_flight: commands under way at a time.
    """

    vendor: str
    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: Secret | None = None
    allow_insecure: bool = False
    max_in_flight: Count = 256


@frozen
class Config:
    """The whole file."""

    daemon: Daemon = field(factory=Daemon)
    journal: Journal = field(factory=Journal)
    rpc: Rpc = field(factory=Rpc)
    inbound: Inbound | None = None
    sessions: Mapping[str, SessionConfig] = field(factory=dict)
    file: Path = DEFAULT_PATH


def config_path(given: str | None) -> Path:
    """Where the configuration is: as given, else ``$ORDERNPAY_CONFIG``, else the default."""
    return Path(given or os.environ.get(CONFIG_VARIABLE) or DEFAULT_PATH)


def load(path: Path, vendors: Mapping[str, type[Any]]) -> Config:
    """Read and check a configuration file.

    Args:
        path: the TOML file.
        vendors: the configuration class of each vendor's sessions, by the vendor's name.

    Raises:
        ConfigError: with every fault found.
    """
    return read(parse(path), path, vendors)


def parse(path: Path) -> JsonObject:
    """The tables of a configuration file as they stand there, unchecked; raises `ConfigError`."""
    try:
        text = text_of(path.read_bytes() if _from_a_shell(path) else octets_of(path))
    except OSError as error:
        raise ConfigError(path, [Fault("", f"cannot be read: {error.strerror}")]) from None
    except Wrong as error:
        raise ConfigError(path, [Fault("", str(error))]) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(path, [Fault("", "expected TOML: nested too deeply")]) from None
    except ValueError as error:  # not only tomllib's own: a number may be too long for Python
        raise ConfigError(path, [Fault("", f"expected TOML: {error}")]) from None


def _from_a_shell(path: Path) -> bool:
    """Whether a shell put it there, as in ``--config <(...)``: no file, and to wait for its end is what is wanted."""
    return path.parts[:3] in {("/", "dev", "fd"), ("/", "dev", "stdin")} or (
        path.parts[:2] == ("/", "proc") and "fd" in path.parts
    )


def _with_lines(faults: list[Fault], path: Path) -> list[Fault]:
    """The same faults, each with the line of its key, or of the table that lacks it."""
    try:
        lines = lines_of(text_of(octets_of(path)))
    except (OSError, Wrong):
        return faults
    return [Fault(fault.path, f"{fault.message}{in_line(fault.path, lines)}") for fault in faults]


def read(tables: JsonObject, path: Path, vendors: Mapping[str, type[Any]]) -> Config:
    """Check an already parsed configuration; see `load`."""
    faults: list[Fault] = []
    parts: dict[str, Any] = {}
    known = {"daemon": Daemon, "journal": Journal, "rpc": Rpc, "inbound": Inbound}
    for name, table in tables.items():
        if name == "sessions":
            continue
        if name not in known:
            faults.append(Fault(name, unknown(name, [*known, "sessions"], "unknown table")))
            continue
        try:
            parts[name] = structure(table, known[name], name)
        except Faults as error:
            faults += error.faults
    sessions: dict[str, SessionConfig] = {}
    tables_of_sessions = tables.get("sessions", {})
    if not isinstance(tables_of_sessions, dict):
        faults.append(Fault("sessions", f"expected tables [sessions.NAME], got {shown(tables_of_sessions)}"))
        tables_of_sessions = {}
    for name, table in tables_of_sessions.items():
        try:
            sessions[name] = _read_session(name, table, vendors)
        except Faults as error:
            faults += error.faults
    inbound = parts.get("inbound")
    if inbound is not None and (inbound.tls_certificate is None) != (inbound.tls_key is None):
        faults.append(Fault("inbound", "expected both or neither of tls_certificate and tls_key"))
    faults += _double(sessions)
    if faults:
        raise ConfigError(path, _with_lines(faults, path))
    return Config(**parts, sessions=sessions, file=path)


def _double(sessions: Mapping[str, SessionConfig]) -> list[Fault]:
    """Sessions that wait for a POS with the same identity: only one of them would ever be reached."""
    found, seen = [], dict[tuple[object, ...], str]()
    for name, session in sessions.items():
        if getattr(session, "role", None) != "listen":
            continue
        identity = tuple(getattr(session, key, None) for key in ("provider_outlet_id", "pos_remote_id"))
        other = seen.setdefault(identity, name)
        if other != name:
            what = f"expected an identity of its own (provider_outlet_id, pos_remote_id); sessions.{other} has this one"
            found.append(Fault(f"sessions.{name}.pos_remote_id", what))
    return found


def _read_session(name: str, table: object, vendors: Mapping[str, type[Any]]) -> SessionConfig:
    path = f"sessions.{name}"
    structure_name = Text(1, 64, _SESSION_NAME)
    try:
        structure_name.read(name)
    except Wrong as error:
        raise Faults([Fault(path, f"session name: {error}")]) from None
    if not isinstance(table, dict):
        raise Faults([Fault(path, f"expected a table, got {shown(table)}")])
    vendor = table.get("vendor")
    if not isinstance(vendor, str) or vendor not in vendors:
        near = nearest(vendor, vendors) if isinstance(vendor, str) else None
        meant = f"; did you mean {near}?" if near else ""
        expected = f"expected one of {', '.join(sorted(vendors))}, got {shown(vendor)}{meant}"
        raise Faults([Fault(f"{path}.vendor", expected)])
    config: SessionConfig = structure(table, vendors[vendor], path)
    faults = [Fault(f"{path}.{fault.path}", fault.message) for fault in config_faults(config)]
    if faults:
        raise Faults(faults)
    return config


def config_faults(config: SessionConfig) -> list[Fault]:
    """What a session's configuration says wrong across its keys: insecure addresses, and the vendor's own rules."""
    faults = client_key_faults(config)
    for attribute in attrs.fields(type(config)):
        value = getattr(config, attribute.name)
        schemes = attribute.metadata.get("schemes")
        if schemes is None or value is None:
            continue
        complaint = address_fault(value, schemes, allow_insecure=config.allow_insecure)
        if complaint:
            faults.append(Fault(attribute.name, complaint))
    own = getattr(config, "faults", None)
    return faults + (own() if own is not None else [])


def client_key_faults(config: SessionConfig) -> list[Fault]:
    """What is wrong with the two that go together."""
    certificate, key = config.client_certificate, config.client_key
    if (certificate is None) != (key is None):
        name = "client_key" if key is None else "client_certificate"
        return [Fault(name, "expected both or neither of client_certificate and client_key")]
    if key is not None and "PRIVATE KEY-----" not in key.reveal():
        return [Fault("client_key", 'expected a key in PEM form, as { credential = "name" } or { file = "path" }')]
    return []


def addresses(config: SessionConfig) -> dict[str, str]:
    """Where the daemon connects to for a session, by the key that says so; none where the vendor comes to us."""
    found = {}
    for attribute in attrs.fields(type(config)):
        value = getattr(config, attribute.name)
        if "schemes" in attribute.metadata and value is not None:
            found[attribute.name] = value
    return found


Role = Literal["dial", "listen"]
