"""The pages of ROS as tables of fields; what they forbid is refused by name.

Sources, all below https://docs.powerepos.cloud/Model/POSCorePublic.Models.RemoteOrdering.: ``RemoteOrder``,
``RemoteOrderProduct``, ``RemoteOrderProductAttribute``, ``RemoteOrderPayment``, ``RemoteOrderAdjustment``,
``RemoteOrderCancellation``, ``ArchivedRemoteOrder``, ``Query.OutOfStockProduct``; and the POS's copy of an order,
``../POSCorePublic.Models.POS.InterfaceItems.InterfaceItem_ROHeader``, ``…ROExtended``, ``…ROProduct``.

Assumed, because no page that was seen says it; what has a name in ``Readings`` can be set there:

=====================================  =====================================================================
``products``, ``payments``,            the names of three arrays
``attributes``
``remoteOrderType``                    the name of the flow, and that it is any number of at least 0
what an order must have                its two numbers of the provider, outlet, currency, total (``required``)
other fields of an order               those of the POS's copy, in camelCase, all nullable
names on the pages' unread parts       refused, but for those listed in ``more``
``serviceModeEntityID``                a string of at most 64 characters
``quantity`` of a product              a whole number of at least 1, required, like ``price`` and ``totalAmount``
``name`` of an attribute               like that of a product
*MaxLength* with *Truncates*           any length is taken, and cut
*MaxLength* without it                 longer is refused
IDs that ROS makes                     left out or all zero; on an order ``remoteOrderID`` is any GUID
times                                  ISO 8601 with a ``Z``
tax                                    included in prices; exclusive tax is not simulated
=====================================  =====================================================================
"""

import datetime as dt
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import field, frozen

from ordernpay.simulator.pages import (
    CENT,
    OPTIONAL_TEXT_64,
    Check,
    Field,
    FieldError,
    anything,
    guid,
    nullable,
    record,
    required,
    rows,
    text,
    unmarked_flag,
    whole,
)

ZERO_GUID: Final = "00000000-0000-0000-0000-000000000000"
MONEY_DIGITS: Final = 18
MAX_ALLERGENS: Final = 16
ANY_LENGTH: Final = 2**20


@frozen
class Readings:
    """How the simulator reads what the pages leave open.

    Attributes:
        products, payments, attributes: The names of three arrays: an order's two, a product's one.
        order_type: The name of an order's flow.
        required: What an order must have; most of it is optional, and no page that was seen says what is not.
        more: Further names that are taken with any value, by model: ``order``, ``product``, ``attribute``, ``payment``.
        attributes_in_product_total: Whether a product's total contains those of its attributes.
        paid_in_full: Whether payments, if there are any, must come to the whole total and not merely to no more.
        checked_sums: Whether amounts must agree at all.
        wrong_provider: The status for an order of another provider, which is rejected in a manner that no page tells.
    """

    products: str = "products"
    payments: str = "payments"
    attributes: str = "attributes"
    order_type: str = "remoteOrderType"
    required: Collection[str] = ("providerID", "providerOrderID", "outletID", "currencyCode", "totalAmount")
    more: Mapping[str, Collection[str]] = field(factory=dict)
    attributes_in_product_total: bool = False
    paid_in_full: bool = False
    checked_sums: bool = True
    wrong_provider: int = 400


def money(value: Any, path: str) -> Decimal:
    """``decimal(18, 2)`` as a JSON number. Units of the order's currency."""
    if type(value) not in {int, Decimal}:
        raise FieldError(path, "must be a JSON number")
    amount = Decimal(value)
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -2:
        raise FieldError(path, "must have at most 2 decimals")
    if abs(amount) >= Decimal(10) ** (MONEY_DIGITS - 2):
        raise FieldError(path, f"must have at most {MONEY_DIGITS} digits")
    return amount.quantize(CENT)


def cut(limit: int) -> Check:
    """A string of any length, cut to ``limit``: *Truncates*."""
    read = text(ANY_LENGTH, least=0)

    def check(value: Any, path: str) -> str:
        return str(read(value, path))[:limit]

    return check


def moment(value: Any, path: str) -> str:
    """A time in UTC."""
    said = text(64)(value, path)
    try:
        dt.datetime.fromisoformat(said)
    except ValueError:
        said = ""
    if "T" not in said or not said.endswith("Z"):
        raise FieldError(path, "must be a time like 2026-05-02T18:07:31.250Z")
    return str(said)


def unset_guid(value: Any, path: str) -> str:
    """A GUID that ROS will make."""
    if guid(value, path) != ZERO_GUID:
        raise FieldError(path, "is made by ROS: leave it out, or send the all-zero GUID")
    return ZERO_GUID


def allergens(value: Any, path: str) -> list[int]:
    """Unique numbers, not too many."""
    numbers = list(rows(whole(least=0))(value, path))
    if len(set(numbers)) != len(numbers) or len(numbers) > MAX_ALLERGENS:
        raise FieldError(path, f"must have at most {MAX_ALLERGENS} entries, all of them different")
    return numbers


def _whatever(value: Any, _path: str) -> Any:
    return value


MADE_BY_ROS: Final = Field(unset_guid, required=False)
OPTIONAL_TEXT: Final = nullable(text(ANY_LENGTH, least=0))
OPTIONAL_TEXT_32: Final = nullable(text(32, least=0))

CANCELLATION: Final = record(
    {
        "remoteOrderCancellationID": MADE_BY_ROS,
        "remoteOrderID": required(guid),
        "outletID": required(guid),
        "providerID": required(whole()),
        "providerName": required(text(64)),
        "dateTimeReceivedUTC": nullable(moment),
        "cancelReason": OPTIONAL_TEXT_32,
        "paymentStrategy": OPTIONAL_TEXT_32,
    }
)

_ADJUSTMENT: Final = record(
    {
        "remoteOrderAdjustmentID": MADE_BY_ROS,
        "totalAdjustmentAmount": required(money),
        "adjustmentID": OPTIONAL_TEXT_64,
        "name": nullable(cut(50)),
    }
)
_ATTRIBUTE: Final = {
    "remoteOrderProductAttributeID": MADE_BY_ROS,
    "quantity": required(whole(least=1)),
    "price": required(money),
    "totalAmount": required(money),
    "productAttributeID": OPTIONAL_TEXT_64,
    "productAttributeModifierID": OPTIONAL_TEXT_64,
    "name": nullable(cut(50)),
}
_PAYMENT: Final = {
    "remoteOrderPaymentID": MADE_BY_ROS,
    "amountPaid": required(money),
    "providerPaymentID": OPTIONAL_TEXT_64,
    "providerPaymentType": OPTIONAL_TEXT_32,
    "amountOutletTip": nullable(money),
    "amountOutletServiceCharge": nullable(money),
}
_PRODUCT: Final = {
    "remoteOrderProductID": MADE_BY_ROS,
    "productID": OPTIONAL_TEXT_64,
    "productModifierID": OPTIONAL_TEXT_64,
    "name": nullable(cut(50)),
    "quantity": required(whole(least=1)),
    "price": required(money),
    "totalAmount": required(money),
    "productAdjustment": nullable(_ADJUSTMENT),
    "excludedRemoteOrderAllergenTypes": nullable(allergens),
    "specialInstructions": OPTIONAL_TEXT,
    "allergenFreeFormText": OPTIONAL_TEXT,
}
_ORDER: Final = {
    "remoteOrderID": Field(guid, required=False),
    "outletID": nullable(guid),
    "providerID": nullable(whole()),
    "providerName": nullable(text(64)),
    "providerOrderID": nullable(text(64)),
    "currencyCode": nullable(text(8)),
    "totalAmount": nullable(money),
    "orderAdjustments": nullable(rows(_ADJUSTMENT)),
    "serviceModeID": nullable(guid),
    "serviceModeEntityID": OPTIONAL_TEXT_64,
    "testOrder": unmarked_flag(),
    "dateTimeReceivedUTC": nullable(moment),
    "dateTimeCreatedUTC": nullable(moment),
    "dateTimePrepareForUTC": nullable(moment),
    "dateTimeEstimatedDeliveryUTC": nullable(moment),
    "prepareHoldOffsetMins": nullable(whole()),
    "providerDisplayName": OPTIONAL_TEXT,
    "providerPickupCode": OPTIONAL_TEXT,
    "consumerProviderContactID": OPTIONAL_TEXT,
    "courierProviderContactID": OPTIONAL_TEXT,
    "providerDeliveryID": OPTIONAL_TEXT,
    "consumerKitchenComment": OPTIONAL_TEXT,
    "consumerRequestsCutlery": unmarked_flag(),
    "consumer": nullable(anything),
    "courier": nullable(anything),
    "pickupLocation": nullable(anything),
    "deliveryLocation": nullable(anything),
    "deliveryCompanyName": OPTIONAL_TEXT,
    "deliveryLinearDistanceMetres": nullable(whole(least=0)),
}


def order_of(readings: Readings) -> Check:
    """A RemoteOrder, read in this way."""

    def more(model: str) -> dict[str, Field]:
        return dict.fromkeys(readings.more.get(model, ()), nullable(_whatever))

    attribute = record(_ATTRIBUTE | more("attribute"))
    product = record(_PRODUCT | more("product") | {readings.attributes: nullable(rows(attribute))})
    payment = record(_PAYMENT | more("payment"))
    fields = {
        **_ORDER,
        **more("order"),
        readings.order_type: nullable(whole(least=0)),
        readings.products: nullable(rows(product)),
        readings.payments: nullable(rows(payment)),
    }
    return record(fields | {name: required(fields[name].check) for name in readings.required})
