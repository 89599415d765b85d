"""Whose word on a caller's address is taken."""

import pytest

from ordernpay.inbound.forwarded import ENTRIES, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.1", "10.1.0.0/16", "2001:db8:ffff::/48"])


def xff(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"forwarded", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("peer", "headers", "caller"),
    [
        ("192.0.2.9", xff("203.0.113.5"), "192.0.2.9"),  # nobody that we trust
        ("127.0.0.1", xff("203.0.113.5"), "127.0.0.1"),  # nor is this machine one of its own
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", xff("203.0.113.5"), "203.0.113.5"),
        ("::ffff:10.0.0.1", xff("203.0.113.5"), "203.0.113.5"),
        ("10.0.0.1", xff("198.51.100.1, 203.0.113.5"), "203.0.113.5"),  # what the caller itself said comes first
        ("10.0.0.1", xff("198.51.100.1", "203.0.113.5"), "203.0.113.5"),
        ("10.0.0.1", xff("203.0.113.5, 10.1.2.3"), "203.0.113.5"),  # a chain of proxies
        ("10.0.0.1", xff("203.0.113.5, 192.0.2.2, 10.1.2.3"), "192.0.2.2"),
        ("10.0.0.1", xff("10.1.0.2,10.1.0.3"), "10.1.0.2"),
        ("10.0.0.1", xff("203.0.113.5:4711"), "203.0.113.5"),
        ("10.0.0.1", xff("[2001:db8::5]:4711"), "2001:db8::5"),
        ("10.0.0.1", xff("[2001:db8::5]"), "2001:db8::5"),
        ("10.0.0.1", xff("2001:DB8:0::5"), "2001:db8::5"),
        ("10.0.0.1", xff("::ffff:203.0.113.5"), "203.0.113.5"),
        ("2001:db8:ffff::1", xff("2001:db8::5"), "2001:db8::5"),
        ("10.0.0.1", xff("fe80::1%eth0"), "fe80::1"),
        ("10.0.0.1", xff("203.0.113.5, unknown"), "10.0.0.1"),  # the nearest that is known
        ("10.0.0.1", xff("203.0.113.5, junk, 10.1.2.3"), "10.1.2.3"),
        ("10.0.0.1", xff(""), "10.0.0.1"),
        ("10.0.0.1", xff(", ,"), "10.0.0.1"),
        ("10.0.0.1", xff("\xff\x00"), "10.0.0.1"),
        ("10.0.0.1", xff("9" * 60_000), "10.0.0.1"),
        ("10.0.0.1", xff("1.2.3.4:x"), "10.0.0.1"),
        ("10.0.0.1", xff("[::1"), "10.0.0.1"),
        ("10.0.0.1", forwarded("for=203.0.113.5;proto=https;by=10.0.0.1"), "203.0.113.5"),
        ("10.0.0.1", forwarded('For="[2001:db8::5]:4711"'), "2001:db8::5"),
        ("10.0.0.1", forwarded("for=198.51.100.1, for=203.0.113.5"), "203.0.113.5"),
        ("10.0.0.1", forwarded("by=10.0.0.1; FOR = 203.0.113.5 "), "203.0.113.5"),
        ("10.0.0.1", forwarded("for=_hidden"), "10.0.0.1"),
        ("10.0.0.1", forwarded("proto=https"), "10.0.0.1"),
        ("10.0.0.1", forwarded('for="'), "10.0.0.1"),
        ("10.0.0.1", [*xff("203.0.113.5"), *forwarded("for=203.0.113.5")], "203.0.113.5"),
        ("10.0.0.1", [*xff("203.0.113.5"), *forwarded("for=198.51.100.1")], "10.0.0.1"),  # one of the two is made up
        ("", xff("203.0.113.5"), ""),
    ],
)
def test_the_callers_address(peer: str, headers: list[tuple[bytes, bytes]], caller: str) -> None:
    assert PROXIES.caller(peer, headers) == caller


def test_nobody_is_trusted_unless_the_configuration_says_so() -> None:
    assert TrustedProxies([]).caller("127.0.0.1", xff("203.0.113.5")) == "127.0.0.1"


def test_of_a_list_without_end_only_the_newest_entries_count() -> None:
    assert PROXIES.caller("10.0.0.1", xff(", ".join(["203.0.113.5"] + ["10.1.0.1"] * (ENTRIES - 1)))) == "203.0.113.5"
    assert PROXIES.caller("10.0.0.1", xff(", ".join(["203.0.113.5"] + ["10.1.0.1"] * 10_000))) == "10.1.0.1"
