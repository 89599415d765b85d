"""What the pages forbid is refused, with the field's name, and nothing is done."""

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ordernpay.simulator.doshii import App, Venue, serve
from tests.simulator.doshii_app import (
    EGGS,
    PAYMENT,
    Caller,
    Message,
    calling,
    create,
    done,
    item,
    order,
    prepaid,
    token,
)

APP = App("app-client-7731", "shh")
ITEM = "order.items[0]"
SURCOUNT: Message = {"name": "Off", "type": "absolute", "amount": "-100", "value": "-100"}
VARIANT: Message = {"name": "Chilli oil", "price": 150}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller_of_all() -> AsyncIterator[Caller]:
    async with (
        serve(app=APP, venues=[Venue("2xYdsw233"), Venue("elsewhere", subscribed=False)]) as simulator,
        calling(simulator) as caller,
    ):
        yield caller


@pytest.fixture
def caller(caller_of_all: Caller) -> Caller:
    caller_of_all.simulator.acts.clear()
    caller_of_all.simulator.refusals.clear()
    return caller_of_all


def without(holder: Message, name: str) -> Message:
    return {key: held for key, held in holder.items() if key != name}


def with_item(**fields: Any) -> Message:
    return create(items=[item(**fields)])


def with_payment(**fields: Any) -> Message:
    return {**create(), "transactions": [{**PAYMENT, **fields}]}


FORBIDDEN: list[tuple[Any, str]] = [
    ([], "The message"),
    (order(), "type"),
    ({**create(), "version": "1"}, "version"),
    *((without(create(), name), name) for name in ("order", "consumer")),
    *(
        ({**create(), "order": without(order(), name)}, f"order.{name}")
        for name in ("type", "status", "externalOrderRef", "items", "surcounts")
    ),
    *(
        (create(items=[without(item(), name)]), f"{ITEM}.{name}")
        for name in (
            *("name", "quantity", "unitPrice", "totalBeforeSurcounts", "totalAfterSurcounts"),
            *("options", "surcounts"),
        )
    ),
    (create(type="eatin"), "order.type"),
    (create(type=None), "order.type"),
    (create(status="accepted"), "order.status"),
    (create(externalOrderRef=""), "order.externalOrderRef"),
    (create(externalOrderRef=417), "order.externalOrderRef"),
    (create(items=[]), "order.items"),
    (create(items={}), "order.items"),
    (create(notes=None), "order.notes"),
    (create(note="no onions"), "order.note"),
    (create(mealPhase="Ordered"), "order.mealPhase"),
    (create(manuallyProcessed="false"), "order.manuallyProcessed"),
    (create(requiredAt="2026-03-02 01:45"), "order.requiredAt"),
    (create(requiredAt="2026-03-02T01:45:00+11:00"), "order.requiredAt"),
    (create(requiredAt=1767225600), "order.requiredAt"),
    (create(log={"employee": "Asha"}), "order.log.employee"),
    (with_item(quantity=0), f"{ITEM}.quantity"),
    (with_item(quantity="3.0"), f"{ITEM}.quantity"),
    (with_item(quantity=1.5), f"{ITEM}.quantity"),
    (with_item(quantity=True), f"{ITEM}.quantity"),
    (with_item(unitPrice="9.00"), f"{ITEM}.unitPrice"),
    (with_item(unitPrice=900.0), f"{ITEM}.unitPrice"),
    (with_item(unitPrice="0900"), f"{ITEM}.unitPrice"),
    (with_item(unitPrice=" 900"), f"{ITEM}.unitPrice"),
    (with_item(unitPrice=-900), f"{ITEM}.unitPrice"),
    (with_item(unitPrice="9" * 5000), f"{ITEM}.unitPrice"),
    (with_item(totalBeforeSurcounts="2700"), f"{ITEM}.totalBeforeSurcounts"),
    (with_item(totalBeforeSurcounts="2850"), f"{ITEM}.totalBeforeSurcounts"),
    (with_item(totalAfterSurcounts="3150"), f"{ITEM}.totalAfterSurcounts"),
    (with_item(totalAfterSurcounts="3390"), f"{ITEM}.totalAfterSurcounts"),
    (with_item(type="Single"), f"{ITEM}.type"),
    (with_item(tags="hot"), f"{ITEM}.tags"),
    (with_item(uuid="u"), f"{ITEM}.uuid"),
    (with_item(options=[{"name": "Dips"}]), f"{ITEM}.options[0].variants"),
    (
        with_item(options=[{"name": "Dips", "variants": [{**VARIANT, "price": "150"}]}]),
        f"{ITEM}.options[0].variants[0].price",
    ),
    (with_item(surcounts=[without(SURCOUNT, "value")]), f"{ITEM}.surcounts[0].value"),
    (with_item(surcounts=[{**SURCOUNT, "type": "percent"}]), f"{ITEM}.surcounts[0].type"),
    (with_item(surcounts=[{**SURCOUNT, "value": "-300"}]), f"{ITEM}.surcounts[0].value"),
    (with_item(surcounts=[{**SURCOUNT, "type": "percentage"}]), f"{ITEM}.surcounts[0].value"),
    (create(surcounts=[{**SURCOUNT, "amount": 1}]), "order.surcounts[0].value"),
    ({**create(), "consumer": {}}, "consumer.name"),
    ({**create(), "consumer": {"name": "M", "address": {"country": "AUS"}}}, "consumer.address.country"),
    ({**create(), "members": [7]}, "members[0]"),
    (with_payment(amount="3230"), "transactions[0].amount"),
    (with_payment(amount=32.3), "transactions[0].amount"),
    (with_payment(amount=0), "transactions[0].amount"),
    (with_payment(method="Visa"), "transactions[0].method"),
    (with_payment(tip="0"), "transactions[0].tip"),
    (with_payment(prepaid=1), "transactions[0].prepaid"),
    (with_payment(currency="AUD"), "transactions[0].currency"),
]


@pytest.mark.parametrize(("body", "name"), FORBIDDEN)
async def test_an_order_that_the_page_forbids(caller: Caller, body: Any, name: str) -> None:
    answer = await caller.ask("POST", "/orders", body)
    assert answer.status_code == 400
    assert answer.json()["message"].split(" must")[0].split(" is")[0] == name
    assert caller.simulator.acts == []
    assert [no.status for no in caller.simulator.refusals] == [400]


PERMITTED: list[Message] = [
    create(),
    prepaid(),
    {**prepaid(), "members": ["m-1"], "posTerminalId": "t-1"},
    with_item(quantity="3", unitPrice=900, totalBeforeSurcounts=3150, totalAfterSurcounts=3230),
    create(items=[without(item(), "posId")]),
    create(
        items=[
            {
                **EGGS,
                "unitPrice": "2000",
                "totalBeforeSurcounts": "2000",
                "totalAfterSurcounts": "2300",
                "surcounts": [{"name": "Holiday", "type": "percentage", "amount": "15", "value": "300"}],
            }
        ]
    ),
    create(surcounts=[SURCOUNT]),
    create(
        items=[
            {
                **EGGS,
                "type": "bundle",
                "includedItems": [{"posId": "eggs", "name": "Eggs", "quantity": 2, "unitPrice": "0", "options": []}],
            }
        ]
    ),
]


@pytest.mark.parametrize("body", PERMITTED)
async def test_an_order_as_the_page_has_it(caller: Caller, body: Message) -> None:
    assert (await caller.ask("POST", "/orders", body)).status_code == 200
    assert [act.kind for act in caller.simulator.acts] == ["create_order"]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"order": 1, "order": 2}', b'{"order": NaN}'])
async def test_what_is_no_json(caller: Caller, raw: bytes) -> None:
    assert (await caller.ask("POST", "/orders", raw=raw)).status_code == 400
    assert caller.simulator.acts == []


async def test_a_body_is_declared_as_json(caller: Caller) -> None:
    assert (await caller.ask("POST", "/orders", create(), content_type="text/plain")).status_code == 400
    assert (await caller.ask("POST", "/orders", create(), content_type=None)).status_code == 400
    declared = "application/json; charset=utf-8"
    assert (await caller.ask("POST", "/orders", create(), content_type=declared)).status_code == 200


NOW = int(time.time())
UNSIGNED = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic YTpi",
        f"bearer {token(APP)}",
        f"Bearer  {token(APP)}",
        f"Bearer {token(APP)}=",
        "Bearer a.b",
        "Bearer a.b.c",
        f"Bearer {token(APP, secret='other')}",
        f"Bearer {token(APP, algorithm='none')}",
        f"Bearer {token(APP, algorithm='HS512')}",
        f"Bearer {UNSIGNED}.{token(APP).split('.')[1]}.x",
        f"Bearer {token(APP, clientId='someone')}",
        f"Bearer {token(APP, clientId=None)}",
        f"Bearer {token(APP, timestamp=NOW * 1000)}",
        f"Bearer {token(APP, timestamp=NOW - 7200)}",
        f"Bearer {token(APP, timestamp=NOW + 7200)}",
        f"Bearer {token(APP, timestamp=str(NOW))}",
        f"Bearer {token(APP, timestamp=NOW + 0.5)}",
        f"Bearer {token(APP, timestamp=None)}",
        f"Bearer {token(APP, timestamp=True)}",
    ],
)
async def test_who_is_not_known_gets_401(caller: Caller, authorization: str | None) -> None:
    assert (await caller.ask("POST", "/orders", create(), authorization=authorization)).status_code == 401
    assert caller.simulator.acts == []


@pytest.mark.parametrize(("name", "ago"), [("timestamp", 0), ("iat", 0), ("timestamp", 300)])
async def test_who_is_known(caller: Caller, name: str, ago: int) -> None:
    claims: dict[str, Any] = {name: int(time.time()) - ago}
    answer = await caller.ask("GET", "/orders", authorization=f"Bearer {token(APP, **claims)}")
    assert answer.status_code == 200


@pytest.mark.parametrize(("location", "status"), [(None, 400), ("elsewhere", 403), ("nowhere", 403)])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/orders", create()),
        ("GET", "/orders", None),
        ("GET", "/orders/1", None),
        ("POST", "/orders/preprocess", order()),
        ("GET", "/locations/2xYdsw233/menu", None),
    ],
)
async def test_a_location_of_the_app_is_named(
    caller: Caller, method: str, path: str, body: Any, location: str | None, status: int
) -> None:
    assert (await caller.ask(method, path, body, doshii_location_id=location)).status_code == status
    assert caller.simulator.acts == []


@pytest.mark.parametrize(
    "query",
    [
        {"state": "pending"},
        {"status": "open"},
        {"status": "pending, accepted"},
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"offset": "-1"},
        {"sort": "newest"},
        {"from": str(NOW * 1000)},
        {"to": "today"},
        {"externalOrderRef": ""},
    ],
)
async def test_a_query_that_the_page_forbids(caller: Caller, query: Message) -> None:
    assert (await caller.ask("GET", "/orders", query=query)).status_code == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "cancelled"},
        {"version": "$"},
        {"version": "$", "status": "venue_cancelled"},
        {"version": "$", "status": "complete"},
        {"version": "$", "status": "pending"},
        {"version": 7, "status": "cancelled"},
        {"version": "$", "mealPhase": "APPETISER_SERVED"},
        {"version": "$", "status": "cancelled", "reason": "late"},
    ],
)
async def test_a_change_that_the_page_forbids(caller: Caller, fields: Message) -> None:
    made = await caller.create()
    body = {name: made["version"] if value == "$" else value for name, value in fields.items()}
    assert (await caller.ask("PUT", f"/orders/{made['id']}", body)).status_code == 400
    assert [act.kind for act in caller.simulator.acts] == ["create_order"]


async def test_a_preprocess_is_not_wrapped(caller: Caller) -> None:
    assert (await caller.ask("POST", "/orders/preprocess", create())).status_code == 400
    done(await caller.ask("POST", "/orders/preprocess", order()))
    assert [act.kind for act in caller.simulator.acts] == ["preprocess"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/orders/77", 404), ("GET", "/nothing", 404), ("DELETE", "/orders", 405), ("GET", "/transactions/7", 404)],
)
async def test_what_is_not_there(caller: Caller, method: str, path: str, status: int) -> None:
    assert (await caller.ask(method, path)).status_code == status


@pytest.mark.parametrize(
    ("amount", "value", "status"), [("12.5", "138", 200), (12.5, 137, 200), ("1e1", "110", 400), ("15", "15", 400)]
)
async def test_a_percentage_is_of_the_line(caller: Caller, amount: Any, value: Any, status: int) -> None:
    surcount = {"name": "Holiday", "type": "percentage", "amount": amount, "value": value}
    line = {**EGGS, "unitPrice": 1100, "totalBeforeSurcounts": 1100, "totalAfterSurcounts": 1100 + int(value)}
    answer = await caller.ask("POST", "/orders", create(items=[{**line, "surcounts": [surcount]}]))
    assert answer.status_code == status
