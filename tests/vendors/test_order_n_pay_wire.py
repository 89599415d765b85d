"""The tables of `wire.py`: every limit of the vendor's pages from both sides, and any message at all without a crash."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ordernpay.conversion import Fault
from ordernpay.jsontext import dumps, loads
from ordernpay.vendors.order_n_pay import wire
from ordernpay.vendors.order_n_pay.wire import Response, read_response, write
from ordernpay.vendors.reading import Reader, whole
from ordernpay.vendors.tables import Field

GUID = "2ad7fb00-5b69-424c-8810-05c0bec7b640"

MODELS = {
    "envelope": wire.ENVELOPE,
    "get_user": wire.GET_USER,
    "get_open_orders": wire.GET_OPEN_ORDERS,
    "create_order": wire.CREATE_ORDER,
    "update_order": wire.UPDATE_ORDER,
    "simulate_order": wire.SIMULATE_ORDER,
    "get_order": wire.GET_ORDER,
    "create_payment": wire.CREATE_PAYMENT,
    "product": wire.PRODUCT,
    "child_product": wire.CHILD_PRODUCT,
    "payment": wire.PAYMENT,
    "adjustment": wire.ADJUSTMENT,
}

# The limits, once more, as protocols/order-n-pay.md has them: the tables of wire.py must say the same.
LIMITS = {
    "envelope": {"RequestID": 256, "ProviderName": 64, "DeviceID": 64, "UserIdentifier": 36},
    "create_order": {"ProviderOrderID": 64, "ServiceModeEntityID": 8},
    "update_order": {"ProviderOrderID": 64},
    "simulate_order": {"ProviderOrderID": 64, "ServiceModeEntityID": 8},
    "product": {
        "Name": 50,
        "ProviderProductID": 64,
        "PLUIdentifier": 36,
        "SalesModifierIdentifier": 36,
        "SalesModifierName": 8,
    },
    "child_product": {
        "Name": 50,
        "ProviderProductID": 64,
        "PLUIdentifier": 36,
        "SalesModifierIdentifier": 36,
        "SalesModifierName": 32,
    },
    "payment": {"Name": 32, "ProviderPaymentID": 64, "MerchantID": 40, "TerminalID": 40},
    "adjustment": {"Name": 50, "ProviderAdjustmentID": 64},
}
REQUIRED = {
    "envelope": {"RequestID", "ProviderID", "ProviderName", "DeviceID", "MessageType", "Payload"},
    "create_order": {"ProviderOrderID", "ServiceModeID", "ServiceModeEntityID"},
    "update_order": {"SalesTransactionID"},
    "simulate_order": {"ServiceModeID", "ServiceModeEntityID", "Products"},
    "product": {"ProductType", "Name", "Quantity", "Price", "TotalAmount"},
    "child_product": {"ProductType", "Name", "Quantity", "Price", "TotalAmount"},
    "payment": {"AmountSale", "Name"},
    "adjustment": {"Amount", "Name"},
}
NAMES = {
    "create_order": {
        "ProviderOrderID", "ServiceModeID", "ServiceModeEntityID", "IsTraining", "Products", "Payments", "Adjustments",
        "Notes", "ServiceChargeAmount", "UseProviderPrices", "Covers",
    },
    "update_order": {
        "SalesTransactionID", "ProviderOrderID", "UseProviderPrices", "Products", "Adjustments", "Notes",
        "ServiceChargeAmount", "Covers",
    },
    "simulate_order": {
        "ServiceModeID", "ServiceModeEntityID", "Products", "ProviderOrderID", "ApplyAutomaticAdjustments",
        "UseProviderPrices", "Payments", "Adjustments", "Notes", "ServiceChargeAmount",
    },
}  # fmt: skip
GUIDS = {"ServiceModeID", "SalesTransactionID", "AdjustmentID"}

FIELDS = [(name, field) for name, model in MODELS.items() for field in model]
IDS = [f"{name}.{field.name}" for name, field in FIELDS]

FILLED: dict[str, Any] = {
    "text": "x",
    "guid": GUID,
    "decimal": Decimal("1.00"),
    "int": 1,
    "bool": True,
    "object": {},
    "list": [],
}


def filled(model: tuple[Field, ...], **values: Any) -> dict[str, Any]:
    return {field.name: FILLED[field.type] for field in model} | values


def faults_of(name: str, **values: Any) -> list[Fault]:
    faults: list[Fault] = []
    write(MODELS[name], filled(MODELS[name], **values), "order.lines[0]", faults)
    return faults


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_are_those_of_the_page(name: str) -> None:
    assert {field.name: field.limit for field in MODELS[name] if field.limit is not None} == LIMITS[name]


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_required_is_what_the_page_requires(name: str) -> None:
    assert {field.name for field in MODELS[name] if field.required} == REQUIRED[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_are_those_of_the_page(name: str) -> None:
    assert {field.name for field in MODELS[name]} == NAMES[name]


def test_guids_are_guids_in_every_table() -> None:
    for name, field in FIELDS:
        assert (field.type == "guid") == (field.name in GUIDS), name


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=IDS)
def test_a_value_at_its_limit_is_taken_and_one_beyond_is_refused_with_its_path(name: str, field: Field) -> None:
    assert faults_of(name) == []
    good, bad = within_and_beyond(field)
    for value in good:
        assert faults_of(name, **{field.name: value}) == []
    for value in bad:
        [fault] = faults_of(name, **{field.name: value})
        place = field.source[1:] if field.source.startswith("@") else f"order.lines[0].{field.source}"
        assert fault.path == place
        assert "by order-n-pay" in fault.message
        assert field.name in fault.message


def within_and_beyond(field: Field) -> tuple[list[Any], list[Any]]:
    """Values that the page takes, and values that it forbids."""
    good: list[Any] = [] if field.required else [None]
    bad: list[Any] = [None] if field.required else []
    if field.limit is not None:
        good += ["x" * field.limit, "é" * field.limit]
        bad += ["x" * (field.limit + 1), "é" * (field.limit + 1)]
    match field.type:
        case "text":
            (bad if field.required else good).append("")
        case "decimal":
            good += [Decimal("99999999999.99"), Decimal("-99999999999.99"), Decimal(0)]
            bad += [Decimal("100000000000.00"), Decimal("-100000000000.00")]
        case "guid":
            good += [GUID.upper()]
            bad += ["", "14", GUID.replace("-", ""), f"{{{GUID}}}"]
    return good, bad


def test_out_goes_pascal_case_in_the_order_of_the_page_and_null_for_nothing() -> None:
    faults: list[Fault] = []
    written = write(
        wire.UPDATE_ORDER, {"SalesTransactionID": GUID, "UseProviderPrices": False, "Products": []}, "", faults
    )
    assert dumps(written) == (
        f'{{"ProviderOrderID":null,"SalesTransactionID":"{GUID}","UseProviderPrices":false,"Products":[],'
        '"Adjustments":null,"Notes":null,"ServiceChargeAmount":null}'
    )
    assert faults == []
    assert all(field.name[0].isupper() for _, field in FIELDS)


def test_covers_is_left_out_of_an_update_that_does_not_change_it() -> None:
    faults: list[Fault] = []
    assert write(wire.UPDATE_ORDER, {"SalesTransactionID": GUID, "Covers": 0}, "", faults)["Covers"] == 0
    assert "Covers" not in write(wire.UPDATE_ORDER, {"SalesTransactionID": GUID}, "", faults)


def test_a_missing_field_is_told_with_its_limit_and_without_a_path_where_there_is_none() -> None:
    faults: list[Fault] = []
    write(wire.GET_USER, {}, "", faults)
    assert faults == [Fault("pin", "required by order-n-pay (PIN, text, at most 36 characters)")]
    faults.clear()
    write(wire.GET_ORDER, {}, "", faults)
    assert faults == [Fault("order_id", "required by order-n-pay (SalesTransactionID, guid)")]


# What comes in


@pytest.mark.parametrize(
    "text",
    [
        '{"RequestID":"a","ResultCode":4,"ErrorMessage":"no","MessageType":2,"Payload":{"Order":null}}',
        '{"requestID":"a","resultCode":4,"errorMessage":"no","messageType":2,"payload":{"order":null}}',
        '{"REQUESTID":"a","RESULTCODE":4.0,"ERRORMESSAGE":"no","MESSAGETYPE":"2","PAYLOAD":{},"New":[{"a":1}]}',
        '{"requestid":"a","resultcode":"4","errormessage":"no","messagetype":2e0,"payload":{}}',
    ],
)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_any_casing_is_read(text: str, as_bytes: bool) -> None:  # noqa: FBT001
    response = read_response(text.encode() if as_bytes else text)
    assert isinstance(response, Response)
    assert (response.request_id, response.result_code, response.error_message, response.message_type) == (
        "a",
        4,
        "no",
        2,
    )
    assert response.payload is not None


def test_what_is_missing_but_needless_reads_as_nothing_and_raw_is_untouched() -> None:
    response = read_response('{"RequestID": 77, "ResultCode": 0, "Payload": [], "ErrorMessage": {}, "x": 6.00}')
    assert isinstance(response, Response)
    assert (response.request_id, response.error_message, response.message_type, response.payload) == (
        "77",
        None,
        None,
        None,
    )
    assert dumps(response.raw) == '{"RequestID":77,"ResultCode":0,"Payload":[],"ErrorMessage":{},"x":6.00}'


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("", "no JSON (JSONDecodeError)"),
        (b"\xff\xfe", "no JSON (JSONDecodeError)"),
        ("[" * 100_000, "no JSON (RecursionError)"),
        ("[" * 63 + "]" * 63, "no JSON (TooDeep)"),
        ("[1]", "no JSON object"),
        ('{"ResultCode":0}', "no RequestID"),
        ('{"RequestID":"","ResultCode":0}', "no RequestID"),
        ('{"RequestID":null,"ResultCode":0}', "no RequestID"),
        ('{"RequestID":true,"ResultCode":0}', "no RequestID"),
        ('{"RequestID":"a"}', "no ResultCode"),
        ('{"RequestID":"a","ResultCode":true}', "no ResultCode"),
        ('{"RequestID":"a","ResultCode":1.5}', "no ResultCode"),
        ('{"RequestID":"a","ResultCode":NaN}', "no ResultCode"),
        ('{"RequestID":"a","ResultCode":"zero"}', "no ResultCode"),
        ('{"RequestID":"a","ResultCode":99999999999}', "no ResultCode"),
    ],
)
def test_what_is_no_response_is_told_why(message: str | bytes, why: str) -> None:
    assert read_response(message) == why


@pytest.mark.parametrize(
    ("numeral", "kept"),
    [
        ("6.0", Decimal("6.0")),
        ("-12", -12),
        ("1e2", Decimal("1E+2")),
        ("1e400", "1e400"),
        ("-1e400", "-1e400"),
        ("1e-400", "1e-400"),
        ("0e5000", "0e5000"),
        ("-0.0e-999999999", "-0.0e-999999999"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("9" * 301, "9" * 301),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_a_number_that_nobody_can_write_again_is_kept_as_text(numeral: str, kept: object) -> None:
    response = read_response(f'{{"RequestID":"a","ResultCode":0,"Amount":{numeral}}}')
    assert isinstance(response, Response)
    assert response.raw["Amount"] == kept
    loads(dumps(response.raw))


def test_half_an_emoji_does_not_make_an_answer_unreadable() -> None:
    response = read_response(
        '{"RequestID":"a","ResultCode":0,"ErrorMessage":"cut \\ud83d","\\udc00":["\\ud83d\\ude00"]}'
    )
    assert isinstance(response, Response)
    assert response.error_message == "cut �"
    assert response.raw["�"] == ["😀"]
    loads(dumps(response.raw))


numerals = st.from_regex(r"\A-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,22})?\Z")
texts = st.text(max_size=12).map(json.dumps) | st.sampled_from(['"\\ud83d"', '"PIN"', '"a"'])
json_texts = st.recursive(
    st.sampled_from(["null", "true", "false", "NaN", "-Infinity", "0", "4", "6"]) | numerals | texts,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]")
        | st.lists(st.tuples(texts, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=12,
)
responses = st.fixed_dictionaries(
    {"RequestID": json_texts | st.just('"a"'), "ResultCode": json_texts | st.just("0"), "Payload": json_texts},
    optional={"ErrorMessage": json_texts, "MessageType": json_texts, "x": json_texts},
).map(lambda fields: "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}")


@given(st.text() | st.binary() | json_texts | responses)
@example('{"RequestID":"a","ResultCode":0,"x":1e99999999999999999999}')
def test_any_message_is_read_or_refused_and_never_a_crash(message: str | bytes) -> None:
    response = read_response(message)
    if isinstance(response, str):
        assert response.startswith("no ")


@given(responses)
def test_whatever_is_read_can_be_kept_by_the_journal_and_told_again(message: str) -> None:
    response = read_response(message)
    if isinstance(response, Response):
        assert loads(dumps(response.raw)) == response.raw
        for name in ("RequestID", "Payload", "x"):
            reader = response.payload or Reader(response.raw)
            for look in (reader.text, reader.whole, reader.flag, reader.money, reader.object, reader.objects):
                look(name)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (4, 4),
        (Decimal("4.0"), 4),
        ("4", 4),
        ("-4", -4),
        (True, None),
        ("4.0", None),
        ("", None),
        ("٤", None),
        ("1234567890", None),
        (Decimal("4.5"), None),
        (Decimal("1E+12"), None),
        (Decimal("NaN"), None),
        (2**31, None),
        (None, None),
        ([4], None),
    ],
)
def test_a_whole_number_comes_in_several_ways(value: Any, number: int | None) -> None:
    assert whole(value) == number


def test_a_reader_gives_each_type_or_nothing() -> None:
    reader = Reader(
        {
            "Text": "a",
            "Number": 7,
            "Flag": True,
            "Money": Decimal("6.0"),
            "Fine": Decimal("6.005"),
            "Object": {"In": 1},
            "Objects": [{"a": 1}, 7, None],
            "Huge": Decimal("1E+18"),
            "Odd": Decimal("Infinity"),
        }
    )
    assert [reader.text(name) for name in ("text", "NUMBER", "flag", "money", "object")] == [
        "a",
        "7",
        None,
        "6.0",
        None,
    ]
    assert [reader.flag(name) for name in ("flag", "number")] == [True, None]
    money = [reader.money(name) for name in ("money", "number", "fine", "flag", "text", "huge", "odd", "none")]
    assert [str(amount) for amount in money[:3]] == ["6.00", "7.00", "6.005"]
    assert money[3:] == [None] * 5
    inner = reader.object("object")
    assert inner is not None
    assert inner.whole("in") == 1
    assert reader.object("text") is None
    assert [entry.raw for entry in reader.objects("objects") or []] == [{"a": 1}]
    assert reader.objects("object") is None
    assert reader.whole("number") == 7
