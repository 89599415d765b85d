"""Staff PINs: kept out of what is written down, and out of what the POS says back."""

from decimal import Decimal
from typing import Any

import pytest

from ordernpay.conversion import structure
from ordernpay.outcomes import Failure, ended, succeeded
from ordernpay.vendors.order_n_pay.preparation import Work, prepare
from ordernpay.vendors.order_n_pay.secrecy import concealed, pins_of, scrubbed
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from tests.support.daemons import session
from tests.support.fakes import command

GUID = "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4"
PIN = "PIN-9071"


def native(**request: Any) -> Any:
    return command("vendor.request", request={"MessageType": 0, **request})


def test_a_user_that_is_a_guid_is_kept_and_any_other_is_taken_for_a_pin() -> None:
    kept, secrets = concealed(command(options={"user": GUID, "device_id": "d"}))
    assert (kept["options"], secrets) == ({"user": GUID, "device_id": "d"}, [])
    kept, secrets = concealed(command(options={"user": PIN, "device_id": "d"}))
    assert (kept["options"], secrets) == ({"device_id": "d"}, [PIN])


def test_the_pin_of_a_look_up_is_a_secret() -> None:
    assert concealed(command("user.lookup", pin=PIN))[1] == [PIN]


@pytest.mark.parametrize("name", ["PIN", "pin", "Pin", "UserIdentifier", "userIdentifier"])
def test_a_native_request_is_searched_at_any_depth_in_any_casing(name: str) -> None:
    request = {"Payload": {"a": [{name: PIN, "b": 1}], name: PIN}, name: PIN}
    kept, secrets = concealed(native(**request))
    assert PIN not in str(kept)
    assert secrets == [PIN, PIN, PIN]
    assert kept["params"] == {"request": {"MessageType": 0, "Payload": {"a": [{"b": 1}]}}}


@pytest.mark.parametrize("pin", [9071, Decimal("90.71"), {"Value": 9071}, ["9071", None]])
def test_a_pin_that_is_no_text_is_a_pin(pin: Any) -> None:
    kept, secrets = concealed(native(Payload={"PIN": pin, "a": [{"userIdentifier": pin}]}))
    assert kept["params"] == {"request": {"MessageType": 0, "Payload": {"a": [{}]}}}
    assert secrets == [str(pin) if isinstance(pin, int | Decimal) else "9071"] * 2


def test_a_native_request_without_a_pin_is_kept_as_it_is() -> None:
    request = {"Payload": {"Pinned": "x", "Pin": None, "pin": ""}, "UserIdentifier": GUID}
    kept, secrets = concealed(native(**request))
    assert kept["params"] == {"request": {"MessageType": 0, **request}}
    assert secrets == []


def test_what_the_pos_says_back_is_cleaned() -> None:
    failure = Failure("rejected", f"the POS refused: {PIN}?", 4, f"{PIN}? {PIN}!")
    cleaned = scrubbed(ended(failure, {"ErrorMessage": PIN}), (PIN,))
    assert cleaned.failure is not None
    assert cleaned.failure.message == "the POS refused: [redacted]?"
    assert cleaned.failure.vendor_message == "[redacted]? [redacted]!"
    assert cleaned.vendor is None
    assert cleaned.state == "rejected"


def test_nothing_is_changed_without_a_secret_or_without_a_failure() -> None:
    failed, done = (
        ended(Failure("rejected", "no"), {"ErrorMessage": "no"}),
        succeeded({"user_id": GUID}, {"UserID": GUID}),
    )
    assert scrubbed(failed, ()) is failed
    assert scrubbed(done, (PIN,)) is done
    silent = scrubbed(ended(Failure("rejected", "no")), (PIN,))
    assert silent.failure is not None
    assert silent.failure.vendor_message is None


def test_a_pin_as_the_sessions_own_user_is_cleaned_from_answers_too() -> None:
    assert pins_of(None) == pins_of(GUID) == ()
    config = structure(session(url="wss://x.net/", user=PIN), OrderNPayConfig)
    prepared = prepare("bar", config, command())
    work: Work = prepared.work
    assert work.secrets == (PIN,)
    assert prepared.whole  # the configuration still has it after a restart
    assert PIN not in str(prepared.kept)
    assert PIN not in repr(prepared)


def test_a_command_with_a_pin_is_not_whole_in_the_journal() -> None:
    config = structure(session(url="wss://x.net/"), OrderNPayConfig)
    prepared = prepare("bar", config, command(options={"user": PIN}))
    assert not prepared.whole
    assert PIN not in str(prepared.kept)
    assert PIN not in repr(prepared)
    assert PIN in prepared.work.frame
