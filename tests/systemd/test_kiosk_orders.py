"""A kiosk's user orders through the installed service; who is not let in is told which group is missing."""

import pwd

import pytest

from tests.systemd.machine import as_user, run
from tests.systemd.venue import Venue, acts, call, order

pytestmark = pytest.mark.box


def test_a_kiosk_user_orders_once_however_often_it_asks(venue: Venue) -> None:
    first = call("kiosk", "order.create", **order("A-1")).json()
    assert first["state"] == "succeeded"
    assert call("kiosk", "order.create", **order("A-1")).json() == first
    assert len(acts("A-1")) == 1


def test_who_is_not_in_the_group_is_refused_and_told_the_group(venue: Venue) -> None:
    refused = call("guest", "order.create", **order("A-2"))
    assert refused.status == 69
    assert "/run/ordernpay/ordernpay.sock belongs to group ordernpay (mode 0660), and guest is not in it" in refused.err
    assert "adduser guest ordernpay" in refused.err


def test_once_in_the_group_the_same_user_is_let_in(venue: Venue) -> None:
    run("adduser", "--quiet", "guest", "ordernpay").done()
    try:
        assert call("guest", "daemon.status").json()["sessions"]
    finally:
        run("deluser", "--quiet", "guest", "ordernpay").done()
    assert call("guest", "daemon.status").status == 69


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("session.reconnect", {"session": "bar"}),
        ("vendor.request", {"session": "bar", "request": {"MessageType": 1, "Payload": {}}}),
    ],
)
def test_an_admin_method_is_refused_to_a_kiosk_and_says_which_group_may(
    venue: Venue, method: str, params: dict[str, object]
) -> None:
    refused = call("kiosk", method, **params)
    assert refused.status == 1
    assert (refused.error["code"], refused.error["data"]["kind"]) == (-32003, "forbidden")
    uid = pwd.getpwnam("kiosk").pw_uid
    assert f"kiosk (uid {uid}) may not call {method}" in refused.err
    assert "local group needed: ordernpay-admin" in refused.err


@pytest.mark.parametrize("user", ["boss", "root"])
def test_an_admin_method_is_open_to_the_admin_group_and_to_root(venue: Venue, user: str) -> None:
    call(user, "session.reconnect", session="bar").done()
    venue.wait_for_sessions()


def test_the_daemon_knows_each_caller_by_its_own_uid(venue: Venue) -> None:
    """Under the sandbox as shipped: a user namespace would turn every caller into `nobody`."""
    for user in ("kiosk", "boss"):
        made = call(user, "order.create", **order(f"peer-{user}")).json()
        row = call("root", "command.get", command_id=made["command_id"]).json()
        assert row["peer_uid"] == pwd.getpwnam(user).pw_uid


def test_the_command_is_on_every_users_path(venue: Venue) -> None:
    assert as_user("kiosk", "sh", "-c", "command -v ordernpay").done().out == "/usr/local/bin/ordernpay\n"
