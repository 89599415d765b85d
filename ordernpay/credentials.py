"""A credential of systemd's by its name: as the service has it, and as root sees it in a shell (systemd-creds(1))."""

import codecs
import os
import stat
import subprocess
from pathlib import Path
from typing import Final

from ordernpay.rules import Wrong

VARIABLE: Final = "CREDENTIALS_DIRECTORY"
PREFIXES: Final = ("", "ordernpay_", "ordernpay-encrypted_")
"""What may stand before a credential's name: systemd puts the unit's `LoadCredential=` ID and a `_` before the names of
the files that it takes from a directory."""

GIVEN: Final = Path("/etc/ordernpay/credentials")
ENCRYPTED: Final = Path("/etc/ordernpay/credentials.encrypted")
RUNNING: Final = Path("/run/credentials/ordernpay.service")
DECRYPT: Final = "systemd-creds"
MOST_BYTES: Final = 4 * 1024 * 1024
SECONDS: Final = 30.0
"""A TPM takes its time."""


def credential(name: str) -> str:
    """The text of a credential.

    Without `$CREDENTIALS_DIRECTORY`, root finds it in a shell: as the next start of the service will have it, plain or
    encrypted, then as the running one has it.

    Raises:
        Wrong: it is not there, is no text, or was not encrypted for this machine.
        OSError: its file cannot be read.
    """
    directory = os.environ.get(VARIABLE)
    if directory is not None:
        return _read(_found(Path(directory), name) or Path(directory) / name, name)
    for place in (GIVEN, ENCRYPTED, RUNNING):
        found = _found(place, name)
        if found is not None:
            return _decrypted(found, name) if place == ENCRYPTED else _read(found, name)
    raise Wrong(
        f'credential "{name}": ${VARIABLE} is not set; expected a run under systemd, or as root with a file {GIVEN / name}'
    )


def _found(directory: Path, name: str) -> Path | None:
    """The file of a credential; None where there is none, or where this user may not look."""
    try:
        return next((file for prefix in PREFIXES if (file := directory / f"{prefix}{name}").exists()), None)
    except PermissionError:
        return None


def _decrypted(file: Path, name: str) -> str:
    words = (DECRYPT, "decrypt", f"--name={PREFIXES[-1]}{name}", str(file), "-")
    try:
        ended = subprocess.run(  # noqa: S603 - systemd's own, with a file of root's
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        raise Wrong(
            f'credential "{name}": {file} cannot be decrypted by this user here; expected one made on this machine, by '
            f"`systemd-creds encrypt --name=`"
        ) from None
    return text_of(ended.stdout)


def _read(file: Path, name: str) -> str:
    try:
        return text_of(octets_of(file))
    except Wrong as error:
        raise Wrong(f'credential "{name}": {error}') from None


def octets_of(file: Path) -> bytes:
    """The bytes of a file, read without waiting for whoever may write to a pipe.

    Raises:
        Wrong: it is no regular file, or larger than anything that a person wrote.
        OSError: it cannot be read.
    """
    opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(opened, "rb") as reading:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise Wrong("expected a regular file, got a pipe, a device or a directory")
        octets = reading.read(MOST_BYTES + 1)
    if len(octets) > MOST_BYTES:
        raise Wrong(f"expected at most {MOST_BYTES} bytes")
    return octets


def text_of(octets: bytes) -> str:
    """The text of a file that a person wrote, on whatever machine; raises `Wrong`."""
    if octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in octets[:2]:
        raise Wrong("expected UTF-8 text, got UTF-16, which some editors call Unicode: save it as UTF-8")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise Wrong(f"expected UTF-8 text, got another encoding in line {line}: save it as UTF-8") from None


def secret_in(text: str) -> str:
    """The secret that a text holds, without the end of its line; raises `Wrong` where nobody would see what it holds."""
    text = text.strip("\ufeff \t\r\n")
    lines = "\r\n" if text.startswith("-----BEGIN ") else ""
    for place, character in enumerate(text, start=1):
        if not character.isprintable() and character not in lines:
            what = "more than one line" if character in "\r\n" else f"an invisible character (U+{ord(character):04X})"
            raise Wrong(f"expected one line of text, got {what} at position {place}: copy the secret anew")
    return text
