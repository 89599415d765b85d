"""`systemctl reload`: sessions come, change and go without touching the others; a broken file is refused loudly."""

import copy
import json
from typing import Any

import pytest

from tests.support import rest
from tests.systemd.kiosks import done_at, heard_at, line_of, plan_fault
from tests.systemd.machine import SERVICE, cursor, is_active, main_pid, run, show, start_as, systemctl, until
from tests.systemd.venue import CONFIG, Venue, call, order

pytestmark = pytest.mark.box

ALL_UP = "5 of 5 sessions up"
CAFE = {"type": "pickup", "lines": [rest.line("doshii")]}


def tables(venue: Venue) -> dict[str, Any]:
    return copy.deepcopy(venue.tills.tables)


def sessions() -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in call("kiosk", "session.list").json()["sessions"]}


def status_text() -> str:
    return show(SERVICE, "StatusText")


def wait_for_refusal(named: str) -> None:
    """Until the status says that the reload was refused, and why."""
    until(lambda: status_text().startswith("RELOAD REFUSED") and named in status_text())


def test_sessions_are_removed_changed_and_added_while_an_order_is_under_way_on_another(venue: Venue) -> None:
    systemctl("restart", SERVICE).done()
    venue.wait_for_sessions()
    pid, before, heard = main_pid(), sessions(), heard_at("bar")
    plan_fault("bar", "reorder", message_type=11)  # answered after the next one
    under_way = start_as("kiosk", "ordernpay", "call", "order.create", "--json", json.dumps(order("reload-under-way")))
    until(lambda: heard_at("bar") > heard)

    wanted = tables(venue)
    cafe = wanted["sessions"].pop("cafe")
    wanted["sessions"]["hotel"]["origin"] = "kiosk"
    venue.configure(wanted)
    systemctl("reload", SERVICE).done()
    until(lambda: set(sessions()) == {"bar", "terrace", "courier", "hotel"})
    gone = call("kiosk", "order.list", session="cafe")
    assert gone.error["code"] == -32007
    until(lambda: sessions()["hotel"]["state"] == "up")
    assert sessions()["hotel"]["since"] > before["hotel"]["since"]

    wanted["sessions"]["cafe"] = cafe
    venue.configure(wanted)
    systemctl("reload", SERVICE).done()
    until(lambda: "cafe" in sessions())
    cafe = {"session": "cafe", "idempotency_key": "reload-cafe", "order": CAFE | {"reference": "reload-cafe"}}
    made = call("kiosk", "order.create", **cafe, timeout=20).json()
    assert made["state"] == "succeeded"

    assert under_way.poll() is None
    assert call("kiosk", "order.create", **order("reload-next")).json()["state"] == "succeeded"
    out, err = under_way.communicate(timeout=30)
    assert (under_way.returncode, err) == (0, "")
    assert json.loads(out)["state"] == "succeeded"
    assert [act["provider_order_id"] for act in done_at("bar")].count("reload-under-way") == 1
    assert heard_at("bar") == heard + 2
    after = sessions()
    for name in ("bar", "terrace", "courier"):
        assert after[name]["since"] == before[name]["since"], name
    for name in ("bar", "terrace"):
        assert after[name]["counters"]["connections"] == before[name]["counters"]["connections"] == 1, name
    assert main_pid() == pid


def broken_files(venue: Venue) -> list[tuple[str, str]]:
    """Files that cannot be used, each with what has to be named."""
    good = CONFIG.read_text()
    missing = good.replace('credential = "hotel-guid"', 'credential = "not-there"')
    assert missing != good
    return [
        (good.replace('device_id = "KIOSK-1"', 'device_id = "KIOSK-1"\ncolour = "red"', 1), "sessions.bar.colour"),
        (missing, "sessions.hotel.guid"),
        (good + "\n[sessions.", "TOML"),
        (good.replace("port = 8710", 'port = "a door"'), "inbound.port"),
    ]


def test_a_broken_file_is_refused_visibly_and_the_old_configuration_stays(venue: Venue) -> None:
    pid, before, good = main_pid(), sessions(), CONFIG.read_text()
    for number, (broken, named) in enumerate(broken_files(venue)):
        since = cursor()
        CONFIG.write_text(broken)
        reloaded = systemctl("reload", SERVICE)
        assert reloaded.status != 0, named
        line = line_of(since, "reload_refused")
        wait_for_refusal(named)
        assert ALL_UP in status_text()
        assert line["PRIORITY"] == "3"
        assert named in line["ORDERNPAY_REASON"]
        checked = run("ordernpay", "check")
        assert checked.status == 78, checked
        assert named in checked.out
        assert call("kiosk", "order.create", **order(f"reload-{number}")).json()["state"] == "succeeded"
        assert (main_pid(), is_active()) == (pid, True)
    CONFIG.write_text(good)
    systemctl("reload", SERVICE).done()
    until(lambda: status_text().startswith(ALL_UP))
    assert run("ordernpay", "check").status == 0
    assert {name: one["since"] for name, one in sessions().items()} == {
        name: one["since"] for name, one in before.items()
    }


def test_what_only_a_restart_can_bring_is_told(venue: Venue) -> None:
    since = cursor()
    wanted = tables(venue)
    wanted["inbound"]["port"] = 8711
    wanted["rpc"]["socket"] = "/run/ordernpay/another.sock"
    venue.configure(wanted)
    systemctl("reload", SERVICE).done()
    until(lambda: "restart needed for" in status_text())
    assert {"rpc.socket", "inbound.port"} <= set(
        status_text().partition("restart needed for ")[2].partition(";")[0].split(", ")
    )
    line = line_of(since, "reload_needs_restart")
    assert line["PRIORITY"] == "4"
    assert set(json.loads(line["ORDERNPAY_KEYS"])) == {"rpc.socket", "inbound.port"}
    venue.configure()
    systemctl("reload", SERVICE).done()
    until(lambda: status_text().startswith(ALL_UP))
