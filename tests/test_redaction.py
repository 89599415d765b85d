"""What a vendor repeats of our secrets is cut out, however it is written; what only looks like one stays."""

import base64
import html
import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from ordernpay.jsontext import dumps
from ordernpay.outcomes import Failure, ended, succeeded
from ordernpay.redaction import REDACTED, Redactor, is_secret_name, wordless
from ordernpay.vendors.redacted import conceal
from tests.support.fakes import command

GUID = "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4"
WORD = 's3cret/"word"+<&>=ok?'
PIN = "4471"


def escaped(text: str) -> str:
    """A text with an escape of JSON for every character."""
    return "".join(f"\\u{ord(character):04X}" for character in text)


def percent(text: str) -> str:
    return "".join(f"%{octet:02x}" for octet in text.encode())


WAYS: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.lower,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(json.dumps(text)),
    lambda text: text.replace("/", "\\/"),
    escaped,
    percent,
    quote,
    quote_plus,
    lambda text: quote(quote(text, safe=""), safe=""),
    html.escape,
    lambda text: "".join(f"&#{ord(character)};" for character in text),
    lambda text: "".join(f"&#x{ord(character):X};" for character in text),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    lambda text: base64.b64encode(b"u:" + text.encode() + b" and more").decode(),
    lambda text: base64.urlsafe_b64encode(b"u" + text.encode()).decode(),
    lambda text: text[:3] + percent(text[3:5]) + escaped(text[5:]),
]


@pytest.mark.parametrize("number", range(len(WAYS)))
@pytest.mark.parametrize("secret", [WORD, "plain-enough-12", "two words of it", "pässwörter"])
def test_a_secret_is_found_in_every_spelling(secret: str, number: int) -> None:
    spelt = WAYS[number](secret)
    told = Redactor([secret]).text(f"refused: {spelt}, sorry")
    assert REDACTED in told
    assert spelt not in told
    assert secret.lower() not in told.lower()
    assert told.startswith("refused: ")
    assert told.endswith("sorry")


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("after", range(4))
def test_base64_leaves_no_part_of_a_secret_at_any_alignment(before: int, after: int) -> None:
    secret = "0b7c0e5e-51a4"
    spelt = base64.b64encode(b"x" * before + secret.encode() + b"y" * after).decode()
    told = Redactor([secret]).text(spelt)
    assert REDACTED in told
    assert len(told.replace(REDACTED, "")) <= before * 2 + after * 2 + 2


def test_what_a_text_was_cut_off_in_is_cut_out_too() -> None:
    redactor = Redactor(["planted-client-secret-77"])
    assert redactor.text("no: planted-client-sec") == f"no: {REDACTED}"
    assert redactor.text("no: planted-client-sec…") == f"no: {REDACTED}"
    assert redactor.text("no: planted flowers") == "no: planted flowers"


def test_a_secret_in_the_names_and_depths_of_a_value_is_found_and_the_rest_is_untouched() -> None:
    redactor = Redactor([WORD])
    value: Any = {"a": [{WORD: 1, "price": Decimal("6.00")}, f"({WORD})"], "b": None, "c": True}
    assert redactor.value(value) == {
        "a": [{REDACTED: 1, "price": Decimal("6.00")}, f"({REDACTED})"],
        "b": None,
        "c": True,
    }
    clean: Any = {"a": [1, "Fish & Chips", {"b": "5%"}]}
    assert redactor.value(clean) is clean


def test_a_large_value_with_one_secret_in_it_is_searched_whole() -> None:
    value: Any = [{"name": f"Product {number}", "size": "x" * 100} for number in range(2_000)]
    value[1_234]["note"] = percent(WORD)
    assert REDACTED in dumps(Redactor([WORD]).value(value))


# PINs


@pytest.mark.parametrize(
    "said",
    [
        "PIN 4471 is wrong",
        "pin=4471",
        "(4471)",
        "no:4471.",
        '{"pin":"4471"}',
        '{\\"pin\\":\\"4471\\"}',
        "pin%3D4471%26x",
        "%34%34%37%31",
        "\\u0034\\u0034\\u0037\\u0031",
        "&#52;&#52;&#55;&#49;",
        "34343731",
        base64.b64encode(b"4471").decode(),
        base64.b64encode(b"user:4471").decode(),
        base64.urlsafe_b64encode(b'{"PIN":"4471"}').decode(),
    ],
)
def test_a_pin_that_stands_alone_is_found_in_every_spelling(said: str) -> None:
    told = Redactor([PIN]).text(said)
    assert REDACTED in told
    assert PIN not in told


@pytest.mark.parametrize(
    "said",
    [
        "order 144712",
        "A4471",
        f"{GUID[:9]}4471{GUID[13:]}",
        "4471-05-01T10:00:00Z",
        "the sum is 4471.00",
        "1,4471",
    ],
)
def test_digits_of_something_else_are_no_pin(said: str) -> None:
    assert Redactor([PIN]).text(said) == said


def test_identities_and_amounts_keep_their_digits_and_names_say_what_is_a_pin() -> None:
    answer: Any = {
        "SalesTransactionID": "4471",
        "OrderNumberOpened": 4471,
        "Amount": Decimal(4471),
        "order": {"id": "4471", "reference": "4471", "total": "44.71", "table": "4471"},
        "PIN": 4471,
        "Pin": "whatever",
        "UserIdentifier": "4471",
        "UserID": "4471",
        "description": "it was 4471",
        "Said": 4471,
        "Numeral": Decimal("4471.0"),
    }
    kept = ("SalesTransactionID", "OrderNumberOpened", "Amount", "order")
    told: Any = Redactor([PIN]).value(answer)
    assert {name: told[name] for name in kept} == {name: answer[name] for name in kept}
    assert {told[name] for name in answer if name not in {*kept, "description"}} == {REDACTED}
    assert told["description"] == f"it was {REDACTED}"


def test_a_pin_of_twelve_digits_is_no_part_of_a_longer_number() -> None:
    redactor = Redactor(["123456789012"])
    assert redactor.text("order 91234567890129") == "order 91234567890129"
    assert redactor.text("PIN 123456789012") == f"PIN {REDACTED}"


def test_a_pin_of_two_digits_is_cut_out_of_what_is_named_so_alone() -> None:
    assert Redactor(["42"]).value({"PIN": 42, "covers": 42, "text": "table 42"}) == {
        "PIN": REDACTED,
        "covers": 42,
        "text": "table 42",
    }


def test_random_ids_are_not_harmed() -> None:
    pick = random.Random(9)
    redactor = Redactor([f"{pick.randrange(10_000):04}"])
    words = [f"{pick.getrandbits(128):032x}" for _ in range(2_000)] + [str(pick.getrandbits(60)) for _ in range(2_000)]
    assert [word for word in words if redactor.text(word) != word] == []


# Outcomes


def test_successes_and_refusals_are_redacted_alike() -> None:
    redactor = Redactor(["planted-token-1"]).also([PIN])
    failure = Failure("rejected", f"the POS refused: {PIN}?", "planted-token-1", f"{PIN}? planted-TOKEN-1!", {"a": PIN})
    told = redactor.outcome(ended(failure, {"ErrorMessage": PIN}))
    assert told.failure == Failure(
        "rejected", f"the POS refused: {REDACTED}?", REDACTED, f"{REDACTED}? {REDACTED}!", {"a": REDACTED}
    )
    assert (told.state, told.vendor) == ("rejected", {"ErrorMessage": REDACTED})
    done = redactor.outcome(
        succeeded({"name": f"Asha {PIN}"}, {"Echo": {"PIN": PIN}}, order_id=PIN, key="planted-token-1")
    )
    assert (done.result, done.vendor) == ({"name": f"Asha {REDACTED}"}, {"Echo": {"PIN": REDACTED}})
    assert done.vendor_ids == {"order_id": PIN, "key": REDACTED}


def test_a_token_that_went_out_is_known_until_many_others_have() -> None:
    redactor = Redactor()
    token = "eyJhbGciOiJIUzI1NiJ9.eyJjbGllbnRJZCI6ImNpZCIsInQiOjF9.c2lnbmF0dXJlLW9mLWl0LWFsbA"
    redactor.learn(f"Bearer {token}")
    told = redactor.text(f"bad token {token}, {token.rpartition('.')[2]}")
    assert token.split(".")[1] not in told
    assert token.split(".")[2] not in told
    for number in range(20):
        redactor.learn(f"Bearer another-token-{number:03}")
    assert redactor.text("another-token-019") == REDACTED


async def test_an_answer_of_any_size_is_redacted() -> None:
    for count in (1, 5_000):
        menu: Any = [{"name": "Soup"}] * count + ["planted-token-1"]
        outcome = succeeded({"menu": menu})
        told = await Redactor(["planted-token-1"]).outcome_of_any_size(outcome)
        assert told.result == {"menu": [{"name": "Soup"}] * count + [REDACTED]}


def test_without_its_secrets_a_command_is_told_without_the_vendors_words() -> None:
    failed = wordless(ended(Failure("rejected", f"the POS refused: {PIN}", 4, PIN), {"ErrorMessage": PIN}))
    assert failed.failure is not None
    assert (failed.failure.vendor_code, failed.failure.vendor_message, failed.vendor) == (4, None, None)
    assert PIN not in failed.failure.message
    order: Any = {"id": "so-1", "total": "6.00", "status": "open", "notes": [f"by {PIN}"], "lines": None}
    done = wordless(succeeded({"order": order}, {"PIN": PIN}, order_id="so-1"))
    assert done.result == {"order": {**order, "notes": [REDACTED]}}
    assert (done.vendor, done.vendor_ids) == (None, {"order_id": "so-1"})


# What a call carries


def native(**request: Any) -> Any:
    return command("vendor.request", request={"MessageType": 0, **request})


def test_a_user_that_is_a_guid_is_kept_and_any_other_is_taken_for_a_pin() -> None:
    kept, secrets = conceal(command(options={"user": GUID, "device_id": "d"}))
    assert (kept["options"], secrets) == ({"user": GUID, "device_id": "d"}, [])
    kept, secrets = conceal(command(options={"user": PIN, "device_id": "d"}))
    assert (kept["options"], secrets) == ({"device_id": "d"}, [PIN])


def test_the_pin_of_a_look_up_is_a_secret() -> None:
    assert conceal(command("user.lookup", pin=PIN))[1] == [PIN]


@pytest.mark.parametrize(
    "name", ["PIN", "pin", "UserIdentifier", "userIdentifier", "staff_pin", "Password", "accessToken"]
)
def test_a_native_request_is_searched_at_any_depth_in_any_casing(name: str) -> None:
    request = {"Payload": {"a": [{name: PIN, "b": 1}], name: PIN}, name: PIN}
    kept, secrets = conceal(native(**request))
    assert PIN not in str(kept)
    assert secrets == [PIN, PIN, PIN]
    assert kept["params"] == {"request": {"MessageType": 0, "Payload": {"a": [{"b": 1}]}}}


@pytest.mark.parametrize("pin", [9071, Decimal("90.71"), {"Value": 9071}, ["9071", None]])
def test_a_pin_that_is_no_text_is_a_pin(pin: Any) -> None:
    kept, secrets = conceal(native(Payload={"PIN": pin, "a": [{"userIdentifier": pin}]}))
    assert kept["params"] == {"request": {"MessageType": 0, "Payload": {"a": [{}]}}}
    assert secrets == [str(pin) if isinstance(pin, int | Decimal) else "9071"] * 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("users?pin=9071&x=1", f"users?pin={REDACTED}&x=1"),
        ("users?pin=%39071", f"users?pin={REDACTED}"),
        ('{"pin": "9071", "a": 1}', f'{{"pin": "{REDACTED}", "a": 1}}'),
        ("spinner=9071", "spinner=9071"),
    ],
)
def test_a_pin_in_a_path_or_a_text_of_a_native_request_is_a_pin(text: str, kept: str) -> None:
    content, secrets = conceal(native(path=text))
    assert content["params"] == {"request": {"MessageType": 0, "path": kept}}
    assert secrets == (["9071"] if REDACTED in kept else [])


def test_a_native_request_without_a_pin_is_kept_as_it_is() -> None:
    request = {"Payload": {"Pinned": "x", "Pin": None, "pin": "", "Shipping": "now"}, "UserIdentifier": GUID}
    kept, secrets = conceal(native(**request))
    assert kept["params"] == {"request": {"MessageType": 0, **request}}
    assert secrets == []
    assert not is_secret_name("shipping")
