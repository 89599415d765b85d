"""What ROS tells the provider by webhook, without I/O: the bodies, and their signature.

Sources: https://docs.powerepos.cloud/Document/ROS/NotificationsWebhook, and below
https://docs.powerepos.cloud/Model/POSCorePublic.Models.RemoteOrdering.: ``ArchivedRemoteOrder`` and, after ``Webhooks.``,
``ProcessedOrdersWebhookBody``, ``OrderPreparedWebhookBody``, ``ProductStockLevelWebhookBody``,
``LiveProductStockLevelsWebhookBody``.

Assumed, because no page that was seen says it; all of it can be set in ``Style``: the wrapper has ``Type`` and ``Body``,
types are the numbers below, stock levels are numbers in the order of their page.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Any, Final

from attrs import field, frozen

from ordernpay.simulator.pages import Record, write_json
from ordernpay.simulator.ros.book import RemoteOrder
from ordernpay.simulator.ros.venue import Organisation, Outlet, Provider


class Kind(StrEnum):
    """What a notification is about."""

    PROCESSED = "ProcessedOrders"
    PREPARED = "OrderPrepared"
    STOCK = "ProductStockLevel"
    LIVE_STOCK = "LiveProductStockLevels"
    UNKNOWN = "SomethingNew"


class Casing(StrEnum):
    """How names are spelled."""

    PASCAL = "pascal"
    CAMEL = "camel"
    AS_PRINTED = "as_printed"
    """Bodies in PascalCase, and the orders in them in camelCase: as the two pages print them."""


class Stock(IntEnum):
    """RemoteOrderStockLevel."""

    OUT = 0
    LOW = 1
    SUFFICIENT = 2


NUMBERS: Final[Mapping[Kind, int | str]] = {kind: number for number, kind in enumerate(Kind)}
NAMES: Final[Mapping[Kind, int | str]] = {kind: kind.value for kind in Kind}


@frozen
class Style:
    """How a notification is written.

    Attributes:
        type_name: The name of the wrapper's type.
        body_name: The name of what is wrapped; empty if its fields stand beside the type.
        types: What the types are called.
        upper: Whether the signature is written in upper case.
    """

    type_name: str = "Type"
    body_name: str = "Body"
    types: Mapping[Kind, int | str] = field(default=NUMBERS)
    casing: Casing = Casing.PASCAL
    upper: bool = False


@frozen
class Notice:
    """A notification of an organisation. ``content`` is the inner body, in PascalCase."""

    kind: Kind
    organisation: Organisation
    content: Record

    def text(self, style: Style) -> bytes:
        """As it is sent."""
        body: Record = {
            "OrganisationCode": self.organisation.code,
            "Kapow": self.organisation.kapow,
            **self.content,
        }
        if style.casing is Casing.AS_PRINTED and "ProcessedOrders" in body:
            body["ProcessedOrders"] = _camel(body["ProcessedOrders"])
        kind = {style.type_name: style.types[self.kind]}
        whole = kind | ({style.body_name: body} if style.body_name else body)
        return write_json(_camel(whole) if style.casing is Casing.CAMEL else whole).encode()


@frozen
class Verdict:
    """What the POS decided about an order."""

    order: RemoteOrder
    confirmed: bool = True
    rejection_reason: str | None = None
    rejection_type: int | None = None
    out_of_stock: tuple[str, ...] = ()


@frozen
class StockCount:
    """How many are left of a product."""

    product_id: str
    left: int
    status: Stock = Stock.SUFFICIENT
    warning_level: int = 5
    disabled: bool = False
    deleted: bool = False


def processed(organisation: Organisation, verdicts: Iterable[Verdict], now: str) -> Notice:
    """A batch of decided orders."""
    return Notice(Kind.PROCESSED, organisation, {"ProcessedOrders": [_archived(one, now) for one in verdicts]})


def _archived(verdict: Verdict, now: str) -> Record:
    order, body = verdict.order, verdict.order.body
    missing = [{"ProductID": one, "ProductModifierID": None, "Name": None} for one in verdict.out_of_stock]
    return {
        "ProviderID": body["providerID"],
        "ProviderOrderID": body["providerOrderID"],
        "CurrencyCode": body["currencyCode"],
        "OutletID": body["outletID"],
        "RemoteOrderID": order.remote_order_id,
        "ProviderProcessedNotified": False,
        "DateTimeProviderProcessNotifiedUTC": None,
        "DateTimeReceivedUTC": order.received,
        "DateTimeCreatedUTC": body["dateTimeCreatedUTC"],
        "DateTimePrepareForUTC": body["dateTimePrepareForUTC"],
        "DateTimeProcessed": now,
        "IsConfirmed": verdict.confirmed,
        "TestOrder": body["testOrder"],
        "RejectionReason": verdict.rejection_reason,
        "RejectionType": verdict.rejection_type,
        "OutOfStockProducts": missing or None,
    }


def prepared(
    order: RemoteOrder, provider: Provider, *, location: str | None = None, collection_point: str | None = None
) -> Notice:
    """An order is ready; ``location`` is where the consumer finds it."""
    content = {
        "OutletID": order.body["outletID"],
        "RemoteOrderID": order.remote_order_id,
        "ProviderID": provider.provider_id,
        "ProviderOrderID": order.provider_order_id,
        "CollectionPointID": collection_point,
        "ConsumerCollectionLocation": location,
    }
    return Notice(Kind.PREPARED, order.organisation, content)


def stock_level(organisation: Organisation, outlet: Outlet, product_id: str, level: int) -> Notice:
    """A product's stock has crossed a line."""
    content = {"OutletID": outlet.outlet_id, "StockLevel": int(level), "ProductID": product_id}
    return Notice(Kind.STOCK, organisation, content)


def live_stock(organisation: Organisation, outlet: Outlet, counts: Iterable[StockCount], *, full: bool) -> Notice:
    """Counts, of all products that have one or of those that changed."""
    levels = [
        {
            "ProductID": count.product_id,
            "Status": int(count.status),
            "StockLevel": count.left,
            "WarningLevel": count.warning_level,
            "IsDisabled": count.disabled,
            "IsDeleted": count.deleted,
        }
        for count in counts
    ]
    content = {"OutletID": outlet.outlet_id, "IsFullRefresh": full, "StockLevels": levels}
    return Notice(Kind.LIVE_STOCK, organisation, content)


def signature(body: bytes, secret: str) -> str:
    """``X-ROS-Signature``, in lower case."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _camel(value: Any) -> Any:
    match value:
        case dict():
            return {name[:1].lower() + name[1:]: _camel(held) for name, held in value.items()}
        case list():
            return [_camel(held) for held in value]
        case _:
            return value
