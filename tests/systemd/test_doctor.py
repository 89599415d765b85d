"""What an operator is told on a machine where everything is installed: by the doctor, the manual and the Tab key."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.machine import SERVICE, SOCKET, as_user, run, systemctl
from tests.systemd.venue import CONFIG, CREDENTIALS, STATE, Venue

pytestmark = pytest.mark.box

ELSEWHERE = {"clock"}
"""What depends on the machine below the box."""


def findings(told: str, *verdicts: str) -> list[dict[str, Any]]:
    """What the doctor found, but for what is no business of the installation."""
    return [
        finding
        for finding in json.loads(told)["findings"]
        if finding["verdict"] in verdicts and finding["check"] not in ELSEWHERE
    ]


def test_after_an_installation_nothing_is_wrong_or_doubtful(venue: Venue) -> None:
    ended = run("ordernpay", "doctor", "--json")
    assert findings(ended.out, "wrong", "doubtful") == []
    checked = {finding["check"] for finding in findings(ended.out, "ok")}
    assert {"configuration", "permissions", "journal", "disk", "socket", "daemon", "session", "reach"} <= checked
    assert {"inbound", "systemd"} <= checked
    units = {
        finding["subject"]: finding["found"] for finding in findings(ended.out, "ok") if finding["check"] == "systemd"
    }
    assert units == {SOCKET: "active (running)", SERVICE: "active (running)"}


def test_root_is_told_where_the_credentials_were_looked_for(venue: Venue) -> None:
    ended = run("ordernpay", "doctor")
    [line] = [line for line in ended.out.splitlines() if " credentials: " in line]
    assert "/etc/ordernpay/credentials" in line
    assert "$CREDENTIALS_DIRECTORY is not set" in line
    for secret in venue.tills.secrets.values():
        assert secret not in ended.out


def test_a_kiosk_user_is_told_what_concerns_it_and_that_it_cannot_read_the_configuration(venue: Venue) -> None:
    ended = as_user("kiosk", "ordernpay", "doctor", "--json")
    assert ended.status == 78
    [wrong] = findings(ended.out, "wrong")
    assert (wrong["subject"], wrong["found"]) == (str(CONFIG), "cannot be read: Permission denied")
    found = {finding["check"]: finding["found"] for finding in findings(ended.out, "ok")}
    assert found["socket"] == "group ordernpay, mode 0660; kiosk is in it"
    assert found["daemon"].startswith("answers, version ")


def test_a_user_outside_of_the_group_is_told_which_one_and_how_to_join(venue: Venue) -> None:
    ended = as_user("guest", "ordernpay", "doctor", "--json")
    [finding] = [finding for finding in findings(ended.out, "wrong") if finding["check"] == "socket"]
    assert finding["found"] == "group ordernpay, mode 0660; guest is not in it"
    assert finding["remedy"] == "as root: `adduser guest ordernpay`, then log in again"


def test_permissions_that_were_spoilt_are_found(venue: Venue) -> None:
    CREDENTIALS.chmod(0o755)
    CONFIG.chmod(0o600)
    run("chown", "root:", str(STATE)).done()
    try:
        ended = run("ordernpay", "doctor", "--json")
    finally:
        CREDENTIALS.chmod(0o700)
        CONFIG.chmod(0o640)
        run("chown", "ordernpay:ordernpay-daemon", str(STATE)).done()
    assert ended.status == 1
    remedies = {finding["subject"]: finding["remedy"] for finding in findings(ended.out, "wrong")}
    assert remedies[str(CREDENTIALS)] == f"chmod 700 {CREDENTIALS}"
    assert remedies[str(CONFIG)] == f"chgrp ordernpay-daemon {CONFIG}; chmod 640 {CONFIG}"
    assert remedies[str(STATE)] == f"chown -Rh ordernpay: {STATE}"


def test_a_service_that_was_stopped_and_switched_off_is_found(venue: Venue) -> None:
    systemctl("disable", "--now", SOCKET, SERVICE).done()
    try:
        ended = run("ordernpay", "doctor", "--json")
    finally:
        systemctl("enable", "--now", SOCKET, SERVICE).done()
    assert ended.status == 1
    remedies = [finding["remedy"] for finding in findings(ended.out, "wrong", "doubtful")]
    assert f"`systemctl start {SERVICE}`" in remedies
    assert f"`systemctl enable {SERVICE}`" in remedies
    assert any("systemctl start ordernpay.socket" in remedy for remedy in remedies)


@pytest.mark.parametrize(("section", "page"), [("1", "ordernpay"), ("5", "ordernpay.toml"), ("8", SERVICE)])
def test_the_manual_finds_its_pages(venue: Venue, section: str, page: str) -> None:
    path = Path(run("man", "--where", section, page).done().out.strip())
    assert path.name == f"{page}.{section}.gz"
    shown = run("man", "--warnings", section, page, MANWIDTH="100").done()
    assert shown.err == ""
    assert "SEE ALSO" in shown.out


def test_bash_completes_what_is_installed(venue: Venue) -> None:
    script = (
        "source /usr/local/share/bash-completion/completions/ordernpay; COMP_WORDS=(ordernpay call order.q); COMP_CWORD=2;"
        ' _ordernpay_completion ordernpay; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert as_user("kiosk", "bash", "--norc", "-c", script).done().out == "order.quote\n"
