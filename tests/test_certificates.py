"""What a certificate says of itself is read as it stands there, also where TLS would not accept it."""

import contextlib
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.certificates import Certificate, door_faults, of_peer, parse, read_file

LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
FAR = datetime(2055, 6, 7, 8, 9, 10, tzinfo=UTC)
DER = ssl.PEM_cert_to_DER_cert(trustme.CA().issue_cert("pos.test").cert_chain_pems[0].bytes().decode())


def named(oid: x509.ObjectIdentifier, text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text)])


def made(subject: x509.Name, issuer: x509.Name, begins: datetime, ends: datetime) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), 7, begins, ends)
    return builder.sign(key, hashes.SHA256())


def test_names_and_times_are_read_before_and_after_2050() -> None:
    """The standard writes the two kinds of year differently."""
    certificate = made(named(NameOID.COMMON_NAME, "pos.test"), named(NameOID.COMMON_NAME, "Café"), LONG_AGO, FAR)
    told = parse(certificate.public_bytes(Encoding.DER))
    assert told == Certificate("pos.test", "Café", LONG_AGO.timestamp(), FAR.timestamp())


def test_where_there_is_no_common_name_it_is_the_organisation() -> None:
    certificate = made(named(NameOID.ORGANIZATION_NAME, "A till"), x509.Name([]), LONG_AGO, FAR)
    told = parse(certificate.public_bytes(Encoding.DER))
    assert (told.subject, told.issuer) == ("A till", "nobody")


def test_of_a_file_the_first_certificate_counts(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("pos.test", not_after=FAR)
    path = tmp_path / "chain.pem"
    path.write_bytes(b"The till's own\n" + leaf.cert_chain_pems[0].bytes() + trustme.CA().cert_pem.bytes())
    assert read_file(path).expires == FAR.timestamp()


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\xff"])
def test_a_file_that_is_none_is_told_as_such(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.pem").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match="certificate"):
        read_file(tmp_path / "x.pem")


def test_plain_connections_show_none() -> None:
    assert of_peer(None) is None
    assert of_peer(ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="x")) is None


@given(st.integers(0, len(DER) - 1), st.binary(max_size=4))
def test_whatever_came_it_is_a_certificate_or_a_value_error(cut: int, rest: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse(DER[:cut] + rest)


def test_a_certificate_and_its_key_are_no_fault_and_anything_else_names_the_file_that_is(tmp_path: Path) -> None:
    ours, other = trustme.CA().issue_cert("pos.test"), trustme.CA().issue_cert("pos.test")
    chain, key, foreign, locked, junk = (str(tmp_path / name) for name in ("chain", "key", "foreign", "locked", "junk"))
    Path(chain).write_bytes(b"".join(pem.bytes() for pem in ours.cert_chain_pems))
    Path(key).write_bytes(ours.private_key_pem.bytes())
    Path(foreign).write_bytes(other.private_key_pem.bytes())
    private = load_pem_private_key(ours.private_key_pem.bytes(), None)
    Path(locked).write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"not to be asked for"))
    )
    Path(junk).write_text("junk")
    assert door_faults(None, None) == door_faults(chain, key) == []
    for certificate, why in (
        (str(tmp_path / "none"), "No such file"),
        (str(tmp_path), "directory"),
        (junk, "in PEM form"),
    ):
        [fault] = door_faults(certificate, key)
        assert fault.path == "inbound.tls_certificate"
        assert certificate in fault.message
        assert why in fault.message
    for wrong in (str(tmp_path / "none"), foreign, locked, junk):
        [fault] = door_faults(chain, wrong)
        assert fault.path == "inbound.tls_key"
        assert wrong in fault.message
