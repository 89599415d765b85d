"""What a TLS certificate says of itself: for whom, by whom, from when until when (RFC 5280, section 4.1).

The standard library tells this of a certificate that it has verified, and of no other: not of one that has expired,
nor of a file. So the few fields are read here.
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from ordernpay.conversion import Fault, Faults

_VERSION: Final = 0xA0
_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
_BMP_STRING: Final = 0x1E
_COMMON_NAME: Final = bytes.fromhex("550403")
_ORGANISATION: Final = bytes.fromhex("55040a")
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@frozen
class Certificate:
    """A certificate's own words. Times are seconds since 1970; names are the common name, else the organisation."""

    subject: str
    issuer: str
    begins: float
    expires: float


def parse(der: bytes) -> Certificate:
    """Read a certificate; raises `ValueError` where it is none."""
    try:
        [(_, whole)] = _elements(der)
        signed = next(_elements(whole))[1]
        fields = [content for tag, content in _elements(signed) if tag != _VERSION]
        _, _, issuer, validity, subject = fields[:5]
        begins, expires = (_time(tag, content) for tag, content in _elements(validity))
        return Certificate(_name(subject), _name(issuer), begins, expires)
    except (IndexError, KeyError, StopIteration, ValueError):
        raise ValueError("not an X.509 certificate") from None


def read_file(path: Path) -> Certificate:
    """The first certificate of a PEM file, which is the server's own; raises `OSError` and `ValueError`."""
    found = _PEM.search(path.read_text(encoding="ascii", errors="replace"))
    if found is None:
        raise ValueError("no certificate in PEM form")
    return parse(ssl.PEM_cert_to_DER_cert(found[0]))


@frozen
class Identity:
    """What a TLS server shows to its callers, and the context that has the key to it."""

    certificate: Certificate
    context: ssl.SSLContext


def load_identity(certificate: str, key: str) -> Identity:
    """Load what the HTTP server shows; raises `Faults`, by the key of `[inbound]` that is wrong.

    Args:
        certificate: file of the certificate and its chain.
        key: file of its key.
    """
    try:
        shown = read_file(Path(certificate))
    except (OSError, ValueError) as error:
        wanted = "expected a certificate and its chain in PEM form"
        fault = Fault("inbound.tls_certificate", f"{wanted}, got {_got(certificate, error)}")
        raise Faults([fault]) from None
    wanted = "expected the key of tls_certificate, in PEM form and without a password"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError:
        raise Faults([Fault("inbound.tls_key", f"{wanted}, got {key}")]) from None
    except OSError as error:
        raise Faults([Fault("inbound.tls_key", f"{wanted}, got {_got(key, error)}")]) from None
    return Identity(shown, context)


def door_faults(certificate: str | None, key: str | None) -> list[Fault]:
    """Why the HTTP door cannot show its certificate, by the key of `[inbound]` that says so; none where it can.

    Args:
        certificate: file of the certificate and its chain; None where the door speaks no TLS.
        key: file of its key.
    """
    if certificate is None or key is None:
        return []
    try:
        load_identity(certificate, key)
    except Faults as error:
        return error.faults
    return []


def authorities_fault(ca_file: str) -> str | None:
    """Why no authority can be taken from a file; None where one can."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except ssl.SSLError:
        return f"expected certificates of authorities in PEM form, got {ca_file}"
    except OSError as error:
        return f"expected certificates of authorities in PEM form, got {_got(ca_file, error)}"
    return None


def _got(file: str, error: Exception) -> str:
    return f"{file} ({error.strerror if isinstance(error, OSError) else error})"


def of_peer(connection: object) -> Certificate | None:
    """What the other end of a connection has shown; None without TLS, and where it cannot be read."""
    if not isinstance(connection, ssl.SSLObject | ssl.SSLSocket):
        return None
    try:
        return parse(connection.getpeercert(binary_form=True) or b"")
    except ValueError:
        return None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents that stand one after the other (DER)."""
    position = 0
    while position < len(data):
        tag, length, start = data[position], data[position + 1], position + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[start : start + size], "big")
            start += size
        position = start + length
        if position > len(data):
            raise ValueError("cut off")
        yield tag, data[start:position]


def _time(tag: int, content: bytes) -> float:
    return datetime.strptime(content.decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC).timestamp()


def _name(sequence: bytes) -> str:
    parts: dict[bytes, str] = {}
    for _, alternatives in _elements(sequence):
        for _, pair in _elements(alternatives):
            (_, kind), (tag, text) = _elements(pair)
            parts[kind] = text.decode("utf-16-be" if tag == _BMP_STRING else "utf-8", "replace")
    return parts.get(_COMMON_NAME) or parts.get(_ORGANISATION) or "nobody"
