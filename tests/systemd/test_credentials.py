"""A session's secrets reach the daemon and nobody else: no local user, no environment, no unit, no `ps`, no log."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.machine import SERVICE, SOCKET, as_user, cursor, journal, main_pid, run, systemctl, until
from tests.systemd.venue import CONFIG, CREDENTIALS, ETC, STATE, TILLS, Venue, call, order, release

pytestmark = pytest.mark.box

SIMULATORS = {TILLS, "trial-tills.service"}
"""They print the configuration that reaches them, secrets and all."""
RUNTIME = Path("/run/credentials") / SERVICE
ENCRYPTED = ETC / "credentials.encrypted"


@pytest.fixture
def secrets(venue: Venue) -> dict[str, str]:
    """Every secret of the sessions, all in use: an order went through, and the file was read again."""
    call("kiosk", "order.create", **order("with-secrets")).done()
    systemctl("reload", SERVICE).done()
    return venue.tills.secrets


def spilt(secrets: dict[str, str], text: str) -> list[str]:
    return [name for name, secret in secrets.items() if secret in text]


def test_the_daemon_has_them_under_the_names_of_their_files(venue: Venue, secrets: dict[str, str]) -> None:
    """Also that the searches below would find what they search for."""
    assert venue.down() == set()
    assert {path.name.removeprefix("ordernpay_"): path.read_text() for path in RUNTIME.iterdir()} == secrets
    assert spilt(secrets, "".join(path.read_text() for path in CREDENTIALS.iterdir())) == [*secrets]


@pytest.mark.parametrize("user", ["kiosk", "boss", "guest"])
def test_no_local_user_can_read_one(venue: Venue, secrets: dict[str, str], user: str) -> None:
    process = Path("/proc") / str(main_pid())
    for path in (
        *(RUNTIME / f"ordernpay_{name}" for name in secrets),
        *(CREDENTIALS / name for name in secrets),
        *(RUNTIME, CREDENTIALS, ENCRYPTED, CONFIG),
        *(process / name for name in ("environ", "mem", "maps", "fd", "root", "cwd")),
        process / "root" / RUNTIME.relative_to("/"),
    ):
        read = as_user(user, "sh", "-c", 'cat "$0" || ls "$0/"', str(path))
        assert (read.status != 0, read.out) == (True, ""), path
        assert "Permission denied" in read.err, path


def test_none_is_in_the_environment_the_command_line_the_unit_or_the_process_list(
    venue: Venue, secrets: dict[str, str]
) -> None:
    process = Path("/proc") / str(main_pid())
    for text in (
        (process / "environ").read_text(),
        (process / "cmdline").read_text(),
        run("ps", "axeww").done().out,
        systemctl("show", SERVICE).done().out,
        systemctl("cat", SERVICE).done().out,
        systemctl("status", "--full", SERVICE).done().out,
        systemctl("show-environment").done().out,
    ):
        assert len(text) > 20
        assert spilt(secrets, text) == []


def test_none_is_in_a_log_the_journal_or_an_answer(venue: Venue, secrets: dict[str, str]) -> None:
    lines = run("journalctl", "--output", "json", "--all").done().out.splitlines()
    log = [line for line in lines if json.loads(line).get("_SYSTEMD_UNIT") not in SIMULATORS]
    assert any(SERVICE in line for line in log)
    assert spilt(secrets, "\n".join(log)) == []
    for path in STATE.iterdir():
        assert spilt(secrets, path.read_bytes().decode("latin-1")) == [], path
    for words in (["status"], ["events", "--json"], ["call", "session.list"], ["check", "--json"]):
        assert spilt(secrets, run("ordernpay", *words).done().out) == [], words


def test_root_can_check_the_configuration_in_a_shell_and_others_learn_nothing(venue: Venue) -> None:
    assert run("ordernpay", "check").done().out == f"{CONFIG}: ok\n"
    assert as_user("kiosk", "ordernpay", "check").status == 78
    copy = Path("/var/tmp") / CONFIG.name
    shutil.copy(CONFIG, copy)
    copy.chmod(0o644)
    told = as_user("kiosk", "ordernpay", "check", "--config", str(copy))
    copy.unlink()
    assert told.status == 78
    assert (
        'credential "terrace-auth-secret": $CREDENTIALS_DIRECTORY is not set; expected a run under systemd' in told.out
    )


@pytest.fixture
def encrypted(venue: Venue) -> Iterator[str]:
    """The name of a secret whose plain file has given way to an encrypted one."""
    name = "terrace-auth-secret"
    plain, hidden = CREDENTIALS / name, ENCRYPTED / name
    run("systemd-creds", "encrypt", "--name=", "--with-key=host", str(plain), str(hidden)).done()
    plain.unlink()
    yield name
    hidden.unlink()
    plain.write_text(venue.tills.secrets[name])
    plain.chmod(0o600)
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()


def test_a_secret_can_lie_encrypted_on_the_disk(venue: Venue, encrypted: str) -> None:
    secret = venue.tills.secrets[encrypted]
    assert secret not in (ENCRYPTED / encrypted).read_bytes().decode("latin-1")
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    assert (RUNTIME / f"ordernpay-encrypted_{encrypted}").read_text() == secret
    assert run("ordernpay", "check").done().out == f"{CONFIG}: ok\n"
    # Also while nothing runs: an upgrade, or a new install over what an uninstall kept, goes by this check.
    systemctl("stop", SOCKET, SERVICE).done()
    assert not RUNTIME.exists()
    assert run("ordernpay", "check").done().out == f"{CONFIG}: ok\n"


def test_a_reload_in_need_of_a_new_secret_fails_and_changes_nothing(venue: Venue) -> None:
    name, before, since = "terrace-auth-secret", (main_pid(), release()), cursor()
    CONFIG.write_text(CONFIG.read_text().replace(name, "new-secret"))
    refused = systemctl("reload", SERVICE)
    assert refused.status == 1
    assert "ordernpay.service failed" in refused.err
    until(
        lambda: any('credential "new-secret" cannot be read' in str(line["MESSAGE"]) for line in journal(since=since))
    )
    assert ((main_pid(), release()), venue.down()) == (before, set())
