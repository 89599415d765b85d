"""The HTTP door: its certificate and key, and who answers at its port."""

import ssl
import stat
from pathlib import Path
from typing import Final

import anyio
import httpx

from ordernpay.certificates import Certificate, of_peer, read_file
from ordernpay.cli.doctor.findings import Finding, command, doubtful, ok, wrong
from ordernpay.cli.doctor.situation import Situation
from ordernpay.cli.doctor.vendors import lasting
from ordernpay.config import Inbound

SECONDS: Final = 5.0
ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to knock when it listens everywhere
ALIVE: Final = "alive\n"
RENEW: Final = "renew it, then `systemctl reload ordernpay`"

CHECK: Final = "inbound"


async def look_at_inbound(situation: Situation) -> list[Finding]:
    """The door's certificate, and the door itself."""
    door = situation.inbound
    if door is None:
        return []
    findings = look_at_certificate(door)
    if door.port == 0:
        return [*findings, ok(CHECK, door.host, "any free port; nobody is expected to find it")]
    return [*findings, *await _knock(door)]


def look_at_certificate(door: Inbound) -> list[Finding]:
    """How long the certificate is good, whether the key is its own, and who may read the key."""
    if door.tls_certificate is None or door.tls_key is None:
        return []
    findings = []
    try:
        findings.append(lasting(CHECK, door.tls_certificate, read_file(Path(door.tls_certificate)), RENEW))
    except (OSError, ValueError) as error:
        why = str(error) if isinstance(error, ValueError) else error.strerror
        remedy = "mend inbound.tls_certificate: a file that the daemon may read, in PEM form"
        return [wrong(CHECK, door.tls_certificate, f"cannot be used: {why}", remedy)]
    return [*findings, _key(door.tls_certificate, door.tls_key)]


def _key(certificate: str, key: str) -> Finding:
    try:
        mode = stat.S_IMODE(Path(key).stat().st_mode)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except PermissionError:
        return doubtful(CHECK, key, "this user may not read it", "run `ordernpay doctor` as root")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return wrong(CHECK, key, f"is not the key of {certificate}", "put the two that belong together in place")
        return wrong(
            CHECK, key, "cannot be used: not a private key in PEM form without a password", "mend inbound.tls_key"
        )
    except OSError as error:
        return wrong(CHECK, key, f"cannot be read: {error.strerror}", "mend inbound.tls_key")
    if mode & 0o007:
        return wrong(
            CHECK, key, f"every local user may read this key (mode {mode:04o})", command("chmod 640", Path(key))
        )
    return ok(CHECK, key, "belongs to the certificate")


async def _knock(door: Inbound) -> list[Finding]:
    """Whether it is our daemon that answers, and with the certificate that the file has."""
    host = ANYWHERE.get(door.host, door.host)
    where = f"{door.host}:{door.port}"
    context = ssl.create_default_context()
    context.check_hostname = False  # it is ours: which certificate it shows is told, not trusted
    context.verify_mode = ssl.CERT_NONE
    scheme = "http" if door.tls_certificate is None else "https"
    address = f"{scheme}://[{host}]:{door.port}/healthz" if ":" in host else f"{scheme}://{host}:{door.port}/healthz"
    find = f"find out what it is: `ss -ltnp 'sport = :{door.port}'`; then stop it, or give inbound.port another number"
    try:
        with anyio.fail_after(SECONDS):
            async with httpx.AsyncClient(verify=context, trust_env=False) as client:
                response = await client.get(address)
    except httpx.ConnectError as error:
        if isinstance(_first_cause(error), ssl.SSLError):
            return [wrong(CHECK, where, "taken by something that speaks no TLS, unlike our daemon", find)]
        remedy = "`systemctl restart ordernpay`: the door is opened at a start, not by a reload"
        return [wrong(CHECK, where, "nothing answers there", remedy)]
    except (httpx.HTTPError, TimeoutError):
        return [wrong(CHECK, where, "taken by something that does not answer as our daemon does", find)]
    if response.status_code != httpx.codes.OK or response.text != ALIVE:
        return [wrong(CHECK, where, f"taken by something else: it answers HTTP {response.status_code}", find)]
    shown = of_peer(response.extensions["network_stream"].get_extra_info("ssl_object"))
    return [ok(CHECK, where, "our daemon answers"), *_renewed(door, shown)]


def _renewed(door: Inbound, shown: Certificate | None) -> list[Finding]:
    try:
        file = None if door.tls_certificate is None else read_file(Path(door.tls_certificate))
    except (OSError, ValueError):
        file = None
    if shown is None or file is None or shown == file:
        return []
    found = "the daemon still shows another certificate than the one in the file"
    where = f"{door.host}:{door.port}"
    return [
        lasting(CHECK, where, shown, RENEW),
        doubtful(CHECK, where, found, "`systemctl reload ordernpay` brings it into force"),
    ]


def _first_cause(error: BaseException) -> BaseException:
    cause = error
    while (below := cause.__cause__ or cause.__context__) is not None:
        cause = below
    return cause
