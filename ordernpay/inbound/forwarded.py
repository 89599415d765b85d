"""The caller's address behind reverse proxies, from X-Forwarded-For or Forwarded (RFC 7239).

Each proxy appends the address that it was called from, so the list is read from its end, for as long as the address that
wrote an entry is a trusted proxy's. What comes from anybody else could be made up.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED: Final = b"forwarded"
ENTRIES: Final = 16
"""No chain of proxies is longer; of a longer list, what is nearest to us counts."""
ENTRY_CHARACTERS: Final = 128

_WITH_PORT: Final = re.compile(r"\[(?P<bracketed>[^\]]+)\](?::\d+)?|(?P<v4>[0-9.]+):\d+", re.ASCII)
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<token>[^\s;"]+))\s*(?=;|$)', re.IGNORECASE)

Headers = Iterable[tuple[bytes, bytes]]


class TrustedProxies:
    """The proxies whose word on an address is taken.

    Args:
        networks: addresses and networks (CIDR).
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(one, strict=False) for one in networks]

    def caller(self, peer: str, headers: Headers) -> str:
        """Return the address of who called.

        Args:
            peer: the address that the connection comes from.
            headers: of the request, names in lower case.
        """
        address = _parsed(peer)
        if address is None or not self._trusts(address):
            return peer if address is None else str(address)
        lists = {
            name: [value.decode("latin-1") for key, value in headers if key == name]
            for name in (FORWARDED_FOR, FORWARDED)
        }
        callers = {
            str(self._walk(address, entries))
            for entries in (_entries(lists[FORWARDED_FOR]), [_for(one) for one in _entries(lists[FORWARDED])])
            if entries
        }
        # A proxy writes one of the two and may pass the other on as it came: where they differ, neither is known to be its own.
        return callers.pop() if len(callers) == 1 else str(address)

    def _walk(self, address: IPv4Address | IPv6Address, entries: Sequence[str]) -> IPv4Address | IPv6Address:
        for entry in reversed(entries):
            before = _parsed(entry)
            if before is None:
                break
            address = before
            if not self._trusts(address):
                break
        return address

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _entries(values: list[str]) -> list[str]:
    """The newest entries of a list that may be spread over several headers."""
    found: list[str] = []
    for value in reversed(values):
        found[:0] = value.rsplit(",", ENTRIES)[-ENTRIES:]
        if len(found) >= ENTRIES:
            break
    return [entry.strip() for entry in found[-ENTRIES:]]


def _for(element: str) -> str:
    found = _FOR.search(element[: 4 * ENTRY_CHARACTERS])
    return "" if found is None else found["quoted"] or found["token"] or ""


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without a port; None for anything else."""
    if len(text) > ENTRY_CHARACTERS:
        return None
    found = _WITH_PORT.fullmatch(text)
    bare = text if found is None else found["bracketed"] or found["v4"]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
