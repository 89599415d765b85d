"""What a session of ROS can be told, by file and by call."""

from typing import Any

import pytest

from ordernpay.config import config_faults
from ordernpay.conversion import Faults, structure
from ordernpay.vendors.ros.settings import Options, RosConfig
from tests.vendors.given import OUTLET, ros

LEAST = {"organisation", "client_id", "client_secret", "outlet_id", "provider_id", "provider_name"}


def refused(**changes: Any) -> list[str]:
    with pytest.raises(Faults) as caught:
        ros(**changes)
    return [fault.path for fault in caught.value.faults]


def test_what_has_to_be_there() -> None:
    with pytest.raises(Faults) as caught:
        structure({"vendor": "ros"}, RosConfig)
    assert {fault.path for fault in caught.value.faults} == LEAST


def test_the_defaults_are_those_of_the_page() -> None:
    config = ros()
    assert (config.unavailable_seconds, config.error_delays) == (30.0, (0.5, 1.0, 2.0))
    least: dict[str, Any] = dict.fromkeys(LEAST, "x") | {"vendor": "ros", "outlet_id": OUTLET, "provider_id": 1}
    default = structure(least, RosConfig)
    assert default.auth_url == "https://auth.powerepos.cloud/authorisation/token"
    assert config.webhook_secret is None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("organisation", "a" * 16, "a" * 17),
        ("organisation", "a", ""),
        ("provider_name", "a" * 64, "a" * 65),
        ("outlet_id", OUTLET, OUTLET[1:]),
        ("provider_id", 2**31 - 1, 2**31),
        ("provider_id", 0, -1),
        ("currency", "a" * 8, "a" * 9),
        ("payment_strategy", "a" * 32, "a" * 33),
        ("service_mode_id", OUTLET, "bar"),
        ("order_type", 0, "0"),
        ("test_order", True, 1),
        ("extra", {}, []),
        ("field_names", {"products": "p"}, {"prodcuts": "p"}),
        ("unavailable_seconds", 0.05, 0),
        ("error_delays", [1, 2], [0]),
    ],
)
def test_both_sides_of_each_limit(name: str, good: Any, bad: Any) -> None:
    ros(**{name: good})
    assert refused(**{name: bad})[0].startswith(name)


def test_an_unknown_key_is_refused() -> None:
    assert refused(outletid=OUTLET) == ["outletid"]


def test_plain_http_is_for_loopback() -> None:
    assert config_faults(ros()) == []
    assert [fault.path for fault in config_faults(ros(auth_url="http://auth.example/"))] == ["auth_url"]
    assert config_faults(ros(auth_url="http://auth.example/", allow_insecure=True)) == []


def test_a_secret_does_not_show_itself() -> None:
    config = ros(webhook_secret="PLANTED-hook", client_secret="PLANTED-client")
    assert "PLANTED" not in repr(config)


def test_a_calls_options_go_over_the_sessions_own() -> None:
    config = ros(order_type=1, pickup_code="A", test_order=True, extra={"a": 1, "b": 1})
    merged = config.merged(Options(order_type=0, test_order=False, extra={"b": 2}))
    assert (merged.order_type, merged.pickup_code, merged.test_order) == (0, "A", False)
    assert merged.extra == {"a": 1, "b": 2}
    assert config.merged(Options()).extra == {"a": 1, "b": 1}
    assert config.extra == {"a": 1, "b": 1}
