"""A credential of systemd's by its name: as the service has it, and as root sees it in a shell (systemd-creds(1))."""

import os
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
SECONDS: Final = 30.0
"""A TPM takes its time."""


def credential(name: str) -> str:
    """The text of a credential.

    Without `$CREDENTIALS_DIRECTORY`, root finds it in a shell: as the next start of the service will have it, plain or
    encrypted, then as the running one has it.

    Raises:
        Wrong: it is not there, or was not encrypted for this machine.
        OSError: its file cannot be read; `UnicodeDecodeError` where it is no text.
    """
    directory = os.environ.get(VARIABLE)
    if directory is not None:
        return (_found(Path(directory), name) or Path(directory) / name).read_text(encoding="utf-8")
    for place in (GIVEN, ENCRYPTED, RUNNING):
        found = _found(place, name)
        if found is not None:
            return _decrypted(found, name) if place == ENCRYPTED else found.read_text(encoding="utf-8")
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
    return ended.stdout.decode()
