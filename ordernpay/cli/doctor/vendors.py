"""Each session's way to its vendor: is the name known, does anybody answer, is it who it should be, what time is it there."""

import errno
import ipaddress
import os
import shlex
import time
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import anyio
from attrs import frozen

from ordernpay.certificates import Certificate
from ordernpay.cli.doctor.findings import Finding, doubtful, ok, wrong
from ordernpay.cli.doctor.probing import NoWay, Shown, reach, resolve, visit
from ordernpay.cli.doctor.situation import Situation, waits
from ordernpay.config import addresses
from ordernpay.vendors.tls import ClientTls

DAY: Final = 86_400
SOON_DAYS: Final = 21
"""Days before its end from which on a certificate is doubtful."""

CLOCK_DOUBTFUL: Final = 5.0
CLOCK_WRONG: Final = 30.0
PORTS: Final = {"https": 443, "wss": 443, "http": 80, "ws": 80}
SECURE: Final = frozenset({"https", "wss"})

EXPIRED: Final = 10
NOT_YET: Final = 9
OTHER_NAME: Final = frozenset({62, 64})
STRANGER: Final = frozenset({2, 18, 19, 20, 21})
"""What OpenSSL's X509_V_ERR_… numbers come to."""

SET_CLOCK: Final = (
    "`timedatectl set-ntp true`, and look at `timedatectl`: tokens and signatures fail when clocks differ"
)


@frozen
class Endpoint:
    """One address of one session."""

    session: str
    host: str
    port: int
    secure: bool
    tls: ClientTls

    @property
    def subject(self) -> str:
        """As findings name it."""
        return f"{self.session}, {self.host}:{self.port}"


def endpoints_of(situation: Situation) -> list[Endpoint]:
    """Where the daemon connects to, each host of a session once."""
    found = []
    for name, session in {} if situation.config is None else situation.config.sessions.items():
        for url in addresses(session).values():
            parts = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
            found.append(Endpoint(name, parts.hostname or "", port, parts.scheme in SECURE, ClientTls.of(session)))
    return list(dict.fromkeys(found))


async def look_at_vendors(situation: Situation) -> list[Finding]:
    """Every address, side by side."""
    endpoints = endpoints_of(situation)
    found: list[list[Finding]] = [[] for _ in endpoints]

    async def look(number: int) -> None:
        found[number] = await look_at_endpoint(endpoints[number])

    async with anyio.create_task_group() as tasks:
        for number in range(len(endpoints)):
            tasks.start_soon(look, number)
    return [*_waiting(situation), *(finding for findings in found for finding in findings)]


def _waiting(situation: Situation) -> list[Finding]:
    if situation.config is None or situation.inbound is None:
        return []
    door = situation.inbound
    return [
        ok("reach", name, f"waits for the POS to dial [inbound], {door.host}:{door.port}")
        for name, session in situation.config.sessions.items()
        if waits(session)
    ]


async def look_at_endpoint(endpoint: Endpoint) -> list[Finding]:
    """One address, step by step, for as long as each step succeeds."""
    subject = endpoint.subject
    findings: list[Finding] = []
    try:
        if _is_address(endpoint.host):
            resolved = [endpoint.host]
        else:
            resolved = await resolve(endpoint.host, endpoint.port)
            findings.append(ok("dns", subject, ", ".join(resolved)))
    except NoWay as error:
        remedy = f"check the name in the configuration; `resolvectl query {shlex.quote(endpoint.host)}`; the venue's internet and DNS"
        return [wrong("dns", subject, str(error), remedy)]
    try:
        address = await reach(resolved, endpoint.port)
        findings.append(ok("reach", subject, "takes connections"))
    except NoWay as error:
        return [*findings, wrong("reach", subject, str(error), _reach_remedy(str(error)))]
    try:
        trusted = endpoint.tls.context() if endpoint.secure else None
    except OSError as error:
        remedy = "it has to be there, readable for the daemon, in PEM form"
        return [*findings, wrong("tls", subject, str(error), remedy)]
    try:
        shown = await visit(address, endpoint.port, endpoint.host, trusted)
    except NoWay as error:
        check = "tls" if endpoint.secure else "reach"
        return [*findings, wrong(check, subject, str(error), "check the port, and the scheme: with TLS or without")]
    return [*findings, *_certificate(endpoint, shown), _clock(subject, shown)]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reach_remedy(why: str) -> str:
    if why == os.strerror(errno.ECONNREFUSED):
        return "that machine is there: start what should listen at the port, or mend the port in the configuration"
    return "check cable, router, address, and whether a firewall on the way lets this port through"


def _certificate(endpoint: Endpoint, shown: Shown) -> list[Finding]:
    certificate, refusal = shown.certificate, shown.refusal
    if refusal is not None:
        found, remedy = _refused(endpoint, refusal.verify_code, refusal.verify_message, certificate)
        return [wrong("tls", endpoint.subject, found, remedy)]
    if certificate is None:
        return []
    return [lasting("tls", endpoint.subject, certificate, "ask the vendor to renew it in time")]


def _refused(endpoint: Endpoint, code: int, message: str, shown: Certificate | None) -> tuple[str, str]:
    until = "" if shown is None else f" (on {day(shown.expires)})"
    whose = "" if shown is None else f"; it is for {shown.subject}, by {shown.issuer}"
    if code == EXPIRED:
        return f"the certificate has expired{until}", "ask the vendor to renew it; first see that this clock is right"
    if code == NOT_YET:
        begins = "" if shown is None else f" (it begins on {day(shown.begins)})"
        return f"the certificate is not valid yet{begins}", f"this machine's clock is most likely behind: {SET_CLOCK}"
    if code in OTHER_NAME:
        remedy = "check the address in the configuration, and what the venue's network puts in the vendor's place"
        return f"the certificate is not for {endpoint.host}{whose}", remedy
    if code in STRANGER:
        remedy = (
            "if it is the POS' own, name its authority's certificate as ca_file; "
            "if not, something in the venue's network answers in the vendor's place"
        )
        if endpoint.tls.ca_file is None:
            remedy += "; if every vendor fails so, `apt install --reinstall ca-certificates`"
        return f"the certificate is from an authority that this machine does not know{whose}", remedy
    return f"the certificate was not accepted: {message}{whose}", "ask the vendor, with these words"


def lasting(check: str, subject: str, certificate: Certificate, remedy: str) -> Finding:
    """How long a certificate is still good."""
    days = int((certificate.expires - time.time()) // DAY)
    found = f"the certificate is good for {days} more days, until {day(certificate.expires)}"
    if days < 0:
        return wrong(check, subject, f"the certificate has expired (on {day(certificate.expires)})", remedy)
    return doubtful(check, subject, found, remedy) if days < SOON_DAYS else ok(check, subject, found)


def day(moment: float) -> str:
    """A day, in UTC."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _clock(subject: str, shown: Shown) -> Finding:
    if shown.ahead is None:
        return ok("clock", subject, "it tells no time, so this machine's clock was not compared with it")
    off = abs(shown.ahead)
    if off <= CLOCK_DOUBTFUL:
        return ok("clock", subject, f"within {CLOCK_DOUBTFUL:g} s of this machine's")
    found = f"this machine's clock is {off:.0f} s {'ahead' if shown.ahead > 0 else 'behind'}"
    return (wrong if off > CLOCK_WRONG else doubtful)("clock", subject, found, SET_CLOCK)
