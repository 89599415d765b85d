"""`journalctl -u ordernpay`: one line a command with fields to search by, and floods are held back with their count."""

import urllib.error
import urllib.request
from collections import Counter

import pytest

from tests.systemd.kiosks import lines_of, start_ordering
from tests.systemd.machine import SERVICE, cursor, journal, systemctl, until
from tests.systemd.venue import CONFIG, INBOUND, Venue

pytestmark = [pytest.mark.box, pytest.mark.figures]

FLOOD = 60
BURST = 5
"""So many are written of one kind within five minutes."""


def test_each_command_has_one_line_with_its_fields(venue: Venue) -> None:
    since = cursor()
    told = start_ordering(40).told()
    ids = {str(order["command_id"]): str(order["session"]) for order in told.orders}
    # The answer is on its way to the kiosk before the line is written.
    until(lambda: ids.keys() <= {str(line["ORDERNPAY_COMMAND_ID"]) for line in lines_of(since, "command_ended")})
    lines = lines_of(since, "command_ended")
    counted = Counter(str(line["ORDERNPAY_COMMAND_ID"]) for line in lines)
    assert {name: counted[name] for name in ids} == dict.fromkeys(ids, 1)
    for line in lines:
        name = str(line["ORDERNPAY_COMMAND_ID"])
        if name in ids:
            assert (line["ORDERNPAY_SESSION"], line["ORDERNPAY_STATE"]) == (ids[name], "succeeded")
        assert (line["PRIORITY"], line["SYSLOG_IDENTIFIER"], line["_SYSTEMD_UNIT"]) == ("6", "ordernpay", SERVICE)
        assert "\n" not in line["MESSAGE"]
        assert str(line["MESSAGE"]).startswith("command_ended ")

    bar = journal(SERVICE, since, "ORDERNPAY_SESSION=bar", "ORDERNPAY_EVENT=command_ended")
    assert {str(line["ORDERNPAY_COMMAND_ID"]) for line in bar} >= {one for one, name in ids.items() if name == "bar"}
    assert {line["ORDERNPAY_SESSION"] for line in bar} == {"bar"}
    [one] = journal(SERVICE, since, f"ORDERNPAY_COMMAND_ID={next(iter(ids))}")
    assert one["ORDERNPAY_EVENT"] == "command_ended"


def knock(path: str, body: bytes) -> int:
    request = urllib.request.Request(INBOUND + path, body, {"Content-Type": "application/json", "Signature": "x"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status


def test_a_flood_of_bad_calls_is_held_back_and_counted(venue: Venue) -> None:
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    since = cursor()
    auth = b'{"ProviderOutletID": "x", "POSRemoteID": "y", "AuthSecret": "z"}'
    tried = Counter[str]()
    for _ in range(FLOOD):
        for path, body in (("/webhooks/ros/courier", b"{}"), ("/api/powerepos/v1/auth", auth)):
            status = knock(path, body)
            assert status in {400, 401, 403, 429}
            tried[path] += status != 429
    systemctl("restart", SERVICE).done()  # a stop tells what was held back at once
    lines = [line for line in journal(since=since) if "ORDERNPAY_PATH" in line]
    written, held = Counter[str](), Counter[str]()
    for line in lines:
        if line["ORDERNPAY_EVENT"] == "repeats_held_back":
            held[str(line["ORDERNPAY_PATH"])] += int(line["ORDERNPAY_COUNT"])
        else:
            written[str(line["ORDERNPAY_PATH"])] += 1
    print(f"tried {dict(tried)}, written {dict(written)}, held back {dict(held)}")
    for path, times in tried.items():
        assert times > BURST
        assert (written[path], held[path]) == (BURST, times - BURST), path


def test_why_it_does_not_start_stands_among_the_errors(venue: Venue) -> None:
    since, good = cursor(), CONFIG.read_text()
    try:
        CONFIG.write_text(good.replace('device_id = "KIOSK-1"', 'device_id = "KIOSK-1"\ncolour = "red"', 1))
        assert systemctl("restart", SERVICE).status != 0
        until(
            lambda: any("sessions.bar.colour" in str(line["MESSAGE"]) for line in journal(SERVICE, since, "PRIORITY=3"))
        )
    finally:
        CONFIG.write_text(good)
        systemctl("restart", SERVICE).done()
