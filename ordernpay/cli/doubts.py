"""What a configuration allows and an operator should think about, and what this machine cannot do of it."""

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

import attrs

from ordernpay.addresses import is_loopback
from ordernpay.cli.accounts import known_group, known_user
from ordernpay.config import DEFAULT_PATH, Config, Inbound, Secret
from ordernpay.conversion import Fault
from ordernpay.rules import is_guid

LONGEST_SOCKET: Final = 107
"""Bytes of a path that a local socket can have (unix(7))."""

SERVICE_USER: Final = "ordernpay"
CURRENCIES: Final = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "ANG",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BGN",
        "BHD",
        "BIF",
        "BMD",
        "BND",
        "BOB",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHF",
        "CLP",
        "CNY",
        "COP",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DJF",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GNF",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KMF",
        "KPW",
        "KRW",
        "KWD",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "UYU",
        "UZS",
        "VES",
        "VND",
        "VUV",
        "WST",
        "XAF",
        "XCD",
        "XCG",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWG",
    ]
)
"""The codes of ISO 4217 for money that is in use."""


def doubts(config: Config) -> list[Fault]:
    """What is allowed but should make an operator think."""
    found = []
    if int(config.rpc.mode, 8) & 0o006:
        found.append(Fault("rpc.mode", f"{config.rpc.mode} lets every local user in; 0660 and a group keep others out"))
    for name, session in config.sessions.items():
        for attribute in attrs.fields(type(session)):
            value = getattr(session, attribute.name)
            if isinstance(value, Secret) and value.plain:
                found.append(
                    Fault(f"sessions.{name}.{attribute.name}", "a secret in plain text; better a systemd credential")
                )
        user = getattr(session, "user", None)
        if isinstance(user, str) and not is_guid(user):
            found.append(
                Fault(f"sessions.{name}.user", "no GUID, so a staff PIN in plain text; better the user's GUID")
            )
        currency = getattr(session, "currency", None)
        if currency is not None and currency not in CURRENCIES:
            found.append(
                Fault(f"sessions.{name}.currency", f"{currency} is no currency's code (ISO 4217), such as EUR")
            )
        if session.allow_insecure:
            found.append(Fault(f"sessions.{name}.allow_insecure", "orders and secrets travel unencrypted"))
    door = config.inbound
    if door is not None and door.tls_certificate is None and not is_loopback(door.host):
        found.append(Fault("inbound.host", f"{door.host} without tls_certificate: secrets and orders come unencrypted"))
    return found + _twins(config)


def _twins(config: Config) -> list[Fault]:
    """Sessions of one outlet: what the vendor says of it reaches both, and is told twice."""
    found, seen = [], dict[tuple[object, ...], str]()
    for name, session in config.sessions.items():
        keys = ("organisation", "outlet_id", "company_id", "site_id", "location_id")
        outlet = tuple(getattr(session, key, None) for key in keys)
        if any(outlet):
            other = seen.setdefault((session.vendor, *outlet), name)
            if other != name:
                found.append(Fault(f"sessions.{name}", f"is the same outlet as sessions.{other}"))
    return found


def machine_faults(config: Config) -> list[Fault]:
    """What will certainly fail at a start on this machine."""
    faults, rpc = [], config.rpc
    size = len(os.fsencode(Path(rpc.socket).absolute()))
    if size > LONGEST_SOCKET:
        faults.append(Fault("rpc.socket", f"expected a path of at most {LONGEST_SOCKET} bytes, got {size}"))
    if rpc.group is not None and not known_group(rpc.group) and config.file != DEFAULT_PATH:  # there systemd makes it
        faults.append(Fault("rpc.group", f"expected a group of this machine, and there is none called {rpc.group}"))
    place = _nearest_place(Path(config.daemon.state_dir).absolute())
    if not stat.S_ISDIR(place.stat().st_mode):
        faults.append(Fault("daemon.state_dir", f"expected a directory, and {place} is none"))
    return faults


def machine_doubts(config: Config) -> list[Fault]:
    """What may fail at a start on this machine, or later."""
    found = []
    directory = Path(config.daemon.state_dir).absolute()
    place = _nearest_place(directory)
    service = known_user(SERVICE_USER) if config.file == DEFAULT_PATH else None
    if service is not None and place == directory and service not in {place.stat().st_uid, os.geteuid()}:
        found.append(
            Fault("daemon.state_dir", f"{directory} does not belong to {SERVICE_USER}, as whom the service runs")
        )
    elif service is None and not os.access(place, os.W_OK | os.X_OK):
        found.append(Fault("daemon.state_dir", f"this user cannot write in {place}, and so cannot run the daemon"))
    if config.inbound is not None and not _is_served(config.rpc.socket):
        why = _port_doubt(config.inbound)
        if why is not None:
            found.append(Fault("inbound.port", why))
    return found


def _nearest_place(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _is_served(path: str) -> bool:
    """Whether a daemon runs already, whose port is then its own."""
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(1)
            asking.connect(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _port_doubt(door: Inbound) -> str | None:
    """Why the daemon will not get its port, as far as can be seen from here."""
    if 0 < door.port < _first_free_port():
        return f"{door.port} is for root alone: take another one, or give the service AmbientCapabilities=CAP_NET_BIND_SERVICE"
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind, protocol) as trying:
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trying.bind(address)
    except socket.gaierror:
        return f"the host {door.host} is not known here"
    except OSError as error:
        taken = f"another program has port {door.port}: `ss -ltnp 'sport = :{door.port}'` tells which"
        other = f"{door.host} is no address of this machine"
        return {errno.EADDRINUSE: taken, errno.EADDRNOTAVAIL: other}.get(
            error.errno or 0, os.strerror(error.errno or 0)
        )
    return None


def _first_free_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1_024
