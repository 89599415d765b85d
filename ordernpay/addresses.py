"""Addresses: which may be used, and which are of this machine or its network."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_PRIVATE_ZONES: Final = frozenset(
    {"localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "arpa", "corp"}
)


def address_fault(url: str, schemes: tuple[str, str], *, allow_insecure: bool) -> str | None:
    """Why an address cannot be used, if so.

    Args:
        url: the address.
        schemes: the safe scheme and its plain twin, e.g. ``("wss", "ws")``.
        allow_insecure: the session says that plain is wanted.
    """
    safe, plain = schemes
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if (
        parts.scheme not in schemes
        or not host
        or any(not letter.isprintable() or letter == " " for letter in url)
        or "\\" in url
    ):
        return f"expected an address such as {safe}://pos.example.net/"
    if parts.username or parts.password:
        return "expected an address without user name and password"
    if parts.scheme == plain and not allow_insecure and not is_loopback(host):
        return f"expected {safe}://; plain {plain}:// is for loopback only, unless allow_insecure = true"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_public(host: str) -> bool:
    """Whether a host is named as one of the internet is: no address of this machine or network, in any spelling."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        labels = host.lower().rstrip(".").split(".")
        return len(labels) > 1 and not labels[-1][:1].isdigit() and labels[-1] not in _PRIVATE_ZONES
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_global) and not mapped.is_multicast


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address that `address_fault` lets pass."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
