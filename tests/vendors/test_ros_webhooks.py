"""ROS' webhooks: signed, read in any casing and in any wrapper, told in the contract's words, never a fault."""

import hashlib
import hmac
import inspect
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.clock import SystemClock
from ordernpay.config import Inbound
from ordernpay.jsontext import dumps
from ordernpay.outcomes import Outcome
from ordernpay.vendors.protocol import Door, HttpAnswer, HttpRequest, Report
from ordernpay.vendors.reading import tolerant
from ordernpay.vendors.ros import webhooks
from ordernpay.vendors.ros.session import UNSIGNED, RosSession
from tests.vendors.given import ORDER_ID, OUTLET, Journal, anything, command, objects, ros, webhook

SECRET = "webhook-secret"
OURS = webhooks.Ours("DEMOORG", OUTLET)
NEVER_SET = "00000000-0000-0000-0000-000000000000"
OTHER_OUTLET = "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d03"
PROCESSED: dict[str, Any] = {
    "providerID": 4711,
    "providerOrderID": "DE-2024-000913",
    "currencyCode": "GBP",
    "remoteOrderID": ORDER_ID,
    "isConfirmed": True,
}
NAMES = (
    *("ProcessedOrders", "StockLevels", "RemoteOrderID", "ProviderOrderID", "ProductID", "StockLevel", "type"),
    *("isConfirmed", "rejectionReason", "outOfStockProducts", "IsDisabled", "IsDeleted", "IsFullRefresh", "Status"),
)


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def told(body: Any, name: str | None = "n-1") -> list[Report]:
    notification = webhooks.read(dumps(body).encode(), name, OURS)
    assert notification is not None
    return notification.reports


def one(body: Any) -> Report:
    [report] = told(body)
    return report


def processed(**changes: Any) -> dict[str, Any]:
    return {"OrganisationCode": "DEMOORG", "Kapow": OUTLET, "ProcessedOrders": [PROCESSED | changes]}


def settled(**changes: Any) -> Outcome:
    settlement = one(processed(**changes)).settlement
    assert settlement is not None
    assert (settlement.name, settlement.value) == ("provider_order_id", "DE-2024-000913")
    return settlement.outcome(command("menu.get", {}))


# Signatures


def test_the_signature_is_the_hex_hmac_of_the_body_as_it_came() -> None:
    body = b'{"a" : 1}'
    assert webhooks.signed(body, signature(body), SECRET)
    assert not webhooks.signed(b'{"a":1}', signature(body), SECRET)


def test_a_signature_made_by_hand() -> None:
    by_hand = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert webhooks.signed(b"The quick brown fox jumps over the lazy dog", by_hand, "key")


@given(st.binary(max_size=40), st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.randoms())
def test_either_case_of_the_letters_will_do(body: bytes, secret: str, random: Any) -> None:
    mixed = "".join(random.choice((letter.lower(), letter.upper())) for letter in signature(body, secret))
    assert webhooks.signed(body, mixed, secret)
    assert webhooks.signed(body, f" {mixed}\t", secret)


@pytest.mark.parametrize("wrong", ["", "0" * 64, "é", signature(b"{}")[:-1], signature(b"{}", "other"), "a" * 10_000])
def test_a_wrong_signature_is_none(wrong: str) -> None:
    assert not webhooks.signed(b"{}", wrong, SECRET)


def test_the_comparison_takes_the_same_time_for_any_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert not webhooks.signed(b"{}", "00", SECRET)
    assert webhooks.signed(b"{}", signature(b"{}"), SECRET)
    assert compared[1] == (signature(b"{}").encode(),) * 2
    assert "==" not in inspect.getsource(webhooks.signed)


# Names of deliveries


def names(body: bytes, name: str | None) -> set[str]:
    notification = webhooks.read(body, name, OURS)
    assert notification is not None
    return {*notification.names}


def test_a_delivery_is_known_by_its_notification_id() -> None:
    assert names(b"{}", "n-7") & names(b'{"a":1}', "n-7") == {"ros:n-7"}


def test_a_body_that_was_signed_once_is_known_under_any_notification_id() -> None:
    assert len(names(b"{}", "n-7") & names(b"{}", "n-8")) == 1
    assert not names(b"{}", "n-7") & names(b"{ }", "n-8")


@pytest.mark.parametrize("name", [None, "", NEVER_SET, f"{{{NEVER_SET}}}", "0" * 32])
def test_without_one_it_is_known_by_what_it_says(name: str | None) -> None:
    assert names(b"{}", name) == names(b"{}", name) != names(b"{ }", name)
    assert not names(b"{}", name) & names(b"{ }", name)


@pytest.mark.parametrize("body", [b"", b"junk", b"[]", b"null", b'"x"', b"\xff", b'{"a":' * 100 + b"1" + b"}" * 100])
def test_what_is_no_json_object_is_none(body: bytes) -> None:
    assert webhooks.read(body, "n-1", OURS) is None


@pytest.mark.parametrize(
    ("before", "odd"),
    [
        (b"", b'"half an emoji \\ud83d"'),
        (b"", b"NaN"),
        (b"", b"1e400"),
        (b"", b"9" * 500),
        (b"", b'1,"odd":2'),
        (b"\xef\xbb\xbf", b"1"),
    ],
)
def test_an_oddity_costs_no_news(before: bytes, odd: bytes) -> None:
    body = dumps(processed()).encode()
    notification = webhooks.read(before + body[:-1] + b',"odd":' + odd + b"}", "n-1", OURS)
    assert notification is not None
    [report] = notification.reports
    assert (report.kind, report.data["status"]) == ("order.updated", "accepted")


# Processed orders


def test_a_confirmed_order() -> None:
    report = one(processed())
    assert report.kind == "order.updated"
    assert report.data == {
        "order_id": ORDER_ID,
        "reference": "DE-2024-000913",
        "status": "accepted",
        "reason": None,
        "products": [],
    }
    assert report.vendor == PROCESSED
    outcome = settled()
    assert (outcome.state, outcome.vendor_ids) == ("succeeded", {"remote_order_id": ORDER_ID})
    assert outcome.result is not None
    order = outcome.result["order"]
    assert isinstance(order, dict)
    assert (order["id"], order["reference"], order["status"], order["lines"]) == (
        ORDER_ID,
        "DE-2024-000913",
        "accepted",
        None,
    )


def test_a_rejected_order() -> None:
    changes = {"isConfirmed": False, "rejectionReason": "Kitchen closed", "rejectionType": 0, "outOfStockProducts": []}
    report = one(processed(**changes))
    assert report.data["status"] == "rejected"
    assert report.data["reason"] == "Kitchen closed"
    assert report.data["products"] == []
    outcome = settled(**changes)
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind, outcome.failure.vendor_message) == (
        "rejected",
        "rejected",
        "Kitchen closed",
    )
    assert outcome.failure.message == "the outlet rejected the order: Kitchen closed"
    assert (outcome.failure.vendor_code, outcome.failure.details) == (0, None)


def test_an_order_that_was_rejected_since_something_ran_out() -> None:
    missing = [{"productID": "1203", "productModifierID": None, "name": "Soup"}, "junk"]
    changes = {"isConfirmed": False, "rejectionType": "OutOfStock", "outOfStockProducts": missing}
    products = [{"product": "1203", "modifier": None, "name": "Soup"}]
    assert one(processed(**changes)).data["products"] == products
    outcome = settled(**changes)
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind) == ("rejected", "out_of_stock")
    assert (outcome.failure.vendor_code, outcome.failure.details) == ("OutOfStock", {"products": products})


def test_a_rejected_order_without_a_reason() -> None:
    outcome = settled(isConfirmed=False)
    assert outcome.failure is not None
    assert outcome.failure.message == "the outlet rejected the order"


def test_the_id_of_an_order_is_the_same_in_either_case_of_its_letters() -> None:
    shouted = settled(remoteOrderID=ORDER_ID.upper())
    assert shouted.vendor_ids == settled().vendor_ids
    assert shouted.result is not None
    order = shouted.result["order"]
    assert isinstance(order, dict)
    assert order["id"] == ORDER_ID.upper()
    assert settled(remoteOrderID=f"{{{ORDER_ID}}}").vendor_ids == settled().vendor_ids


def test_a_confirmed_order_without_its_id() -> None:
    for never_set in (None, NEVER_SET, "OK", ""):
        assert settled(remoteOrderID=never_set).vendor_ids == {}


ABROAD = [
    (OUTLET, True),
    (OUTLET.upper(), True),
    (f"{{{OUTLET}}}", True),
    (None, True),
    ("", True),
    (NEVER_SET, True),
    (OTHER_OUTLET, False),
    (OTHER_OUTLET.replace("-", ""), False),
    ("7", False),
    (7, False),
]


@pytest.mark.parametrize(("outlet", "ours"), ABROAD)
def test_an_order_of_another_outlet_is_none_of_ours(outlet: Any, ours: bool) -> None:  # noqa: FBT001
    assert len(told(processed(outletID=outlet))) == ours


@pytest.mark.parametrize("body", ["prepared", "stock", "live", "other"])
@pytest.mark.parametrize(("outlet", "ours"), ABROAD)
def test_news_of_another_outlet_are_none_of_ours(body: str, outlet: Any, ours: bool) -> None:  # noqa: FBT001
    whole = BODIES.get(body, {"type": 9}) | {"OutletID": outlet}
    assert len(told(whole)) == len(told({"type": 1, "body": dumps(whole)})) == ours


@pytest.mark.parametrize("body", ["processed", "prepared", "stock", "live", "other"])
@pytest.mark.parametrize(
    ("organisation", "ours"), [("DEMOORG", True), ("demoorg ", True), ("", True), (None, True), ("OTHERORG", False)]
)
def test_news_of_another_organisation_are_none_of_ours(body: str, organisation: Any, ours: bool) -> None:  # noqa: FBT001
    whole = BODIES.get(body, {"type": 9}) | {"OrganisationCode": organisation}
    assert len(told(whole)) == len(told({"type": 1, "body": whole})) == ours


def test_each_order_of_a_batch_is_told() -> None:
    batch = {"ProcessedOrders": [PROCESSED | {"providerOrderID": str(n)} for n in range(3)] + ["junk"]}
    assert [report.data["reference"] for report in told(batch)] == ["0", "1", "2"]
    assert told({"ProcessedOrders": []}) == []


@pytest.mark.parametrize("changes", [{"isConfirmed": None}, {"isConfirmed": "true"}, {"providerOrderID": None}])
def test_an_order_that_says_too_little_settles_nothing(changes: dict[str, Any]) -> None:
    report = one(processed(**changes))
    assert (report.kind, report.settlement) == ("vendor.event", None)
    assert report.vendor == processed(**changes)


# Other kinds

PREPARED: dict[str, Any] = {
    "OrganisationCode": "DEMOORG",
    "OutletID": OUTLET,
    "RemoteOrderID": ORDER_ID,
    "ProviderOrderID": "DE-1",
    "CollectionPointID": None,
    "ConsumerCollectionLocation": "Hatch 3",
}


def test_a_prepared_order() -> None:
    report = one(PREPARED)
    assert (report.kind, report.settlement, report.vendor) == ("order.updated", None, PREPARED)
    assert report.data == {
        "order_id": ORDER_ID,
        "reference": "DE-1",
        "status": "ready",
        "collection_point": None,
        "collection_location": "Hatch 3",
    }


@pytest.mark.parametrize("level", ["OutOfStock", 0, 2])
def test_a_stock_level(level: Any) -> None:
    report = one({"OutletID": OUTLET, "ProductID": "1203", "StockLevel": level})
    assert report.kind == "stock.updated"
    assert report.data == {"full": False, "products": [{"product": "1203", "level": level, "count": None}]}


@pytest.mark.parametrize(
    ("changes", "count"),
    [({}, 7), ({"IsDisabled": True}, None), ({"IsDeleted": True}, None), ({"StockLevel": "x"}, None)],
)
@pytest.mark.parametrize("full", [True, False])
def test_live_stock(changes: dict[str, Any], count: int | None, full: bool) -> None:  # noqa: FBT001 - a case
    entry = {
        "ProductID": "1203",
        "Status": 1,
        "StockLevel": 7,
        "WarningLevel": 2,
        "IsDisabled": False,
        "IsDeleted": False,
    }
    report = one({"IsFullRefresh": full, "StockLevels": [entry | changes, 4]})
    assert report.kind == "stock.updated"
    assert report.data == {"full": full, "products": [{"product": "1203", "level": 1, "count": count}]}


@pytest.mark.parametrize(
    "body", [{}, {"type": 99}, {"type": "MenuChanged", "x": {"y": 1}}, {"ProductID": "1"}, {"RemoteOrderID": "1"}]
)
def test_an_unknown_kind_is_an_event_of_the_vendor(body: dict[str, Any]) -> None:
    assert told(body) == [Report("vendor.event", {"type": body.get("type")}, body)]


# Wrappers and casing

BODIES: dict[str, Any] = {
    "processed": processed(),
    "prepared": PREPARED,
    "stock": {"ProductID": "1203", "StockLevel": 0},
    "live": {"StockLevels": [{"ProductID": "1203", "StockLevel": 4}]},
}


def cased(value: Any, way: Any) -> Any:
    if isinstance(value, dict):
        return {way(name): cased(entry, way) for name, entry in value.items()}
    return [cased(entry, way) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    "way",
    [str.lower, str.upper, str.swapcase, lambda name: name[0].lower() + name[1:]],
    ids=["lower", "upper", "swap", "camel"],
)
def test_names_in_any_casing(body: Any, way: Any) -> None:
    plain, other = one(body), one(cased(body, way))
    assert (plain.kind, plain.data) == (other.kind, other.data)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: {"type": 3, "body": body},
        lambda body: {"Type": "x", "Body": dumps(body)},
        lambda body: {"notification": {"webhook": {"body": body}}},
        lambda body: {"a": {"b": f"  {dumps({'c': body})}"}},
        lambda body: {"first": "{no json", "second": body},
    ],
    ids=["object", "text", "deep", "text below", "beside junk"],
)
def test_any_wrapper(body: Any, wrap: Any) -> None:
    plain, wrapped = one(body), one(wrap(body))
    assert (plain.kind, plain.data) == (wrapped.kind, wrapped.data)


def test_a_wrapper_deeper_than_any_is_an_event_of_the_vendor() -> None:
    assert one({"a": {"b": {"c": {"d": PREPARED}}}}).kind == "vendor.event"


# Anything at all


@given(objects(*NAMES), st.sampled_from([None, "n-1"]))
def test_any_object_is_told_without_a_fault(body: dict[str, Any], name: str | None) -> None:
    notification = webhooks.read(dumps(body).encode(), name, OURS)
    assert notification is not None
    for report in notification.reports:
        assert dumps({"data": report.data, "vendor": report.vendor})
        assert report.kind in {"order.updated", "stock.updated", "vendor.event"}
        if report.settlement is not None:
            outcome = report.settlement.outcome(command("menu.get", {}))
            assert outcome.state in {"succeeded", "rejected"}
            assert dumps(outcome.result)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_a_fault(body: bytes) -> None:
    notification = webhooks.read(body, None, OURS)
    assert notification is None or isinstance(tolerant(body), dict)


# The door


def opened(journal: Journal, **config: Any) -> Door:
    session = RosSession("courier", ros(webhook_secret=SECRET, **config), Inbound(), journal, SystemClock())
    [door] = session.doors()
    assert isinstance(door, Door)
    return door


def signed(body: bytes, **headers: str) -> HttpRequest:
    return webhook(body, x_ros_signature=signature(body), x_ros_notificationid="n-1", **headers)


async def test_a_signed_webhook_is_answered_once_it_is_durable_and_a_repeat_too() -> None:
    journal = Journal()
    door = opened(journal)
    assert door.path == "/webhooks/ros/courier"
    body = dumps(processed()).encode()
    for _ in range(2):
        answer = await door.handle(signed(body))
        assert answer is not None
        assert answer.status == 200
    assert len(journal.reports) == 1


@pytest.mark.parametrize("headers", [{}, {"x_ros_signature": ""}, {"x_ros_signature": "0" * 64}])
async def test_a_forged_webhook_is_nobodys(headers: dict[str, str]) -> None:
    journal = Journal()
    door = opened(journal)
    assert await door.handle(webhook(b"{}", **headers)) is None
    assert (door.refusal, door.refusal.status, journal.reports) == (UNSIGNED, 401, [])


async def test_without_a_secret_nobody_is_believed() -> None:
    [door] = RosSession("courier", ros(), Inbound(), Journal(), SystemClock()).doors()
    assert isinstance(door, Door)
    assert await door.handle(webhook(b"{}", x_ros_signature=signature(b"{}", ""))) is None


async def test_signed_junk_is_refused() -> None:
    answer = await opened(Journal()).handle(signed(b"[]"))
    assert answer == HttpAnswer(400, {"error": "expected a JSON object"})


async def test_a_full_disk_asks_for_a_repeat() -> None:
    journal = Journal(full=True)
    door = opened(journal)
    body = dumps(processed()).encode()
    answer = await door.handle(signed(body))
    assert answer == HttpAnswer(503, {"error": "not now"}, {"Retry-After": "30"})
    journal.full = False
    answer = await door.handle(signed(body))
    assert answer is not None
    assert (answer.status, len(journal.reports)) == (200, 1)


@given(anything | objects(*NAMES))
async def test_any_signed_body_has_an_answer(body: Any) -> None:
    answer = await opened(Journal()).handle(signed(dumps(body).encode()))
    assert answer is not None
    assert answer.status == (200 if isinstance(body, dict) else 400)


def test_an_order_of_which_ros_tells_nothing_is_null_but_for_what_is_known() -> None:
    told_order = webhooks.order_told("a", "b", "submitted", "1.00")
    assert [name for name, value in told_order.items() if value is not None] == ["id", "reference", "status", "total"]
    assert Decimal(str(told_order["total"])) == 1
