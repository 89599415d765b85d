"""The service is hard to break out of: the unit as shipped, as it is in force, and by systemd's own measure."""

import pwd
import re
from pathlib import Path

import pytest

from tests.systemd.machine import SERVICE, SOCKET, as_user, main_pid, run, show, systemctl
from tests.systemd.venue import CONFIG, JOURNAL, ROOT, Venue, call, order

pytestmark = [pytest.mark.box, pytest.mark.figures]

UNITS = Path("/usr/local/lib/systemd/system")
EXPOSURE = 1.5
NOBODY = 65_534


def test_systemds_own_measure_of_exposure_stays_low(venue: Venue) -> None:
    told = run("systemd-analyze", "--no-pager", "security", SERVICE).done().out
    found = re.search(r"Overall exposure level for ordernpay\.service: ([0-9.]+)", told)
    assert found is not None, told
    print(f"exposure: {found[1]}")
    assert float(found[1]) <= EXPOSURE, told


@pytest.mark.parametrize("unit", [SERVICE, SOCKET])
def test_the_units_are_those_of_the_source_and_systemd_finds_nothing_to_say_of_them(venue: Venue, unit: str) -> None:
    assert (UNITS / unit).read_bytes() == (ROOT / "systemd" / unit).read_bytes()
    verified = run("systemd-analyze", "verify", "--man=no", str(UNITS / unit))
    ours = [line for line in (verified.out + verified.err).splitlines() if "ordernpay" in line]
    assert (verified.status, ours) == (0, [])
    pages = re.findall(r"man:([\w.]+)\((\d)\)", (UNITS / unit).read_text())
    assert len(pages) == 2
    for name, section in pages:
        assert (ROOT / "systemd" / "man" / f"{name}.{section}").is_file()


def test_the_running_process_has_no_rights_and_leaves_no_core(venue: Venue) -> None:
    process = Path("/proc") / str(main_pid())
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    user = pwd.getpwnam("ordernpay")
    assert status["Uid"].split() == [str(user.pw_uid)] * 4
    assert status["Gid"].split() == [str(user.pw_gid)] * 4
    assert {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {
        "CapEff": 0,
        "CapPrm": 0,
        "CapBnd": 0,
        "CapAmb": 0,
    }
    assert (status["NoNewPrivs"], status["Seccomp"], status["Umask"]) == ("1", "2", "0077")
    assert re.search(r"^Max core file size\s+0\s+0\s", (process / "limits").read_text(), re.MULTILINE)
    assert (process / "exe").resolve().parent == Path("/usr/bin")


def test_the_journal_and_the_configuration_are_not_for_local_users(venue: Venue) -> None:
    for user in ("kiosk", "boss", "guest"):
        for path in (JOURNAL, JOURNAL.parent, CONFIG):
            assert "Permission denied" in as_user(user, "head", "-c1", str(path)).err, (user, path)
    assert "Permission denied" in as_user("ordernpay", "touch", str(CONFIG)).err


def test_nobody_logs_in_as_the_daemons_user(venue: Venue) -> None:
    assert pwd.getpwnam("ordernpay").pw_shell == "/usr/sbin/nologin"


def test_a_user_namespace_would_turn_every_caller_into_nobody(venue: Venue) -> None:
    """Why the unit does without `PrivateUsers=`, which systemd's measure would like."""
    assert show(SERVICE, "PrivateUsers") == "no"
    venue.drop_in("namespace", "[Service]\nPrivateUsers=yes\n")
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    made = call("kiosk", "order.create", **order("namespace")).json()
    assert call("kiosk", "command.get", command_id=made["command_id"]).json()["peer_uid"] == NOBODY
