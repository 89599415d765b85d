"""What a session of Doshii can be told, by file and by call."""

from typing import Any

import pytest

from ordernpay.config import config_faults
from ordernpay.conversion import Faults, structure
from ordernpay.vendors.doshii.settings import DoshiiConfig, Options
from tests.vendors.given import doshii


def test_what_has_to_be_there() -> None:
    with pytest.raises(Faults) as caught:
        structure({"vendor": "doshii"}, DoshiiConfig)
    assert {fault.path for fault in caught.value.faults} == {"base_url", "location_id", "client_id", "client_secret"}


def test_the_defaults_are_those_of_the_page() -> None:
    config = doshii()
    assert (config.ping_interval, config.items_body, config.consumer_name, config.socket_url) == (
        30,
        "array",
        "Guest",
        None,
    )


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("location_id", "a" * 1_000, "a" * 1_001),
        ("client_id", "a", ""),
        ("members", ["m"], [""]),
        ("manually_processed", True, "yes"),
        ("items_body", "versioned", "bare"),
        ("consumer_name", "a", ""),
        ("ping_interval", 0.05, 0.01),
        ("reconnect_max", 3_600, 3_601),
    ],
)
def test_both_sides_of_each_limit(name: str, good: Any, bad: Any) -> None:
    doshii(**{name: good})
    with pytest.raises(Faults) as caught:
        doshii(**{name: bad})
    assert caught.value.faults[0].path.startswith(name)


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, []),
        ({"webhook_token": "t"}, []),
        ({"webhook_key": "k", "webhook_token": "t"}, []),
        ({"webhook_key": "k"}, ["webhook_token"]),
        ({"base_url": "http://doshii.example/"}, ["base_url"]),
        ({"socket_url": "ws://doshii.example/"}, ["socket_url"]),
        ({"socket_url": "https://doshii.example/"}, ["socket_url"]),
        ({"socket_url": "ws://127.0.0.1:9/"}, []),
        ({"base_url": "http://doshii.example/", "allow_insecure": True}, []),
    ],
)
def test_what_is_wrong_across_keys(changes: dict[str, Any], paths: list[str]) -> None:
    assert [fault.path for fault in config_faults(doshii(**changes))] == paths


def test_a_secret_does_not_show_itself() -> None:
    assert "PLANTED" not in repr(doshii(client_secret="PLANTED-1", webhook_key="PLANTED-2", webhook_token="PLANTED-3"))


def test_a_calls_options_go_over_the_sessions_own() -> None:
    config = doshii(checkin_id="c-1", meal_phase="ordered", manually_processed=True, members=["m"])
    merged = config.merged(Options(checkin_id="c-2", manually_processed=False, members=()))
    assert (merged.checkin_id, merged.meal_phase, merged.manually_processed, merged.members) == (
        "c-2",
        "ordered",
        False,
        (),
    )
    assert config.merged(Options()) == Options("c-1", "ordered", None, ("m",), manually_processed=True)


def test_a_location_of_dots_is_none() -> None:
    assert [fault.path for fault in doshii(location_id="..").faults()] == ["location_id"]
    assert doshii().faults() == []
