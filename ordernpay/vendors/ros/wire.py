"""The wire of ROS, as tables to read beside the vendor's pages.

Pages: docs.powerepos.cloud/Document/ROS/… ; models: docs.powerepos.cloud/Model/POSCorePublic.Models.RemoteOrdering.…
REST bodies are camelCase with `ID` in capitals, webhooks PascalCase; both are read in any casing.

Assumed, since no page that could be read says it; what is cheap to set can be set (README, "Check with PowerEPOS"):

| assumption                                                                      | setting                    |
|---------------------------------------------------------------------------------|----------------------------|
| arrays of the add body: `products`, `payments`; of a product: `attributes` | `field_names`                   |
| `remoteOrderType`, `providerPickupCode`, `providerDisplayName`, comments        | `field_names`              |
| numbers of RemoteOrderType: none assumed; without `order_type` it is left out   | `order_type`               |
| a product has `quantity`                                                        | –                          |
| AddResponse has `remoteOrderID`, CancelResponse `remoteOrderCancellationID`     | `field_names`              |
| errors are JSON objects: a page of HTML, a text or nothing is not ROS' word     | –                          |
| after its own 503 and 500 ROS has done nothing, since its page says to retry    | –                          |
| MenuResponse has its menus below a name with `menu` in it                       | –                          |
| a webhook's kind is told by what is in it, not by the number or name in `type`  | –                          |
| RemoteOrderStockLevel by number: told as it came                                | –                          |
| an attribute's quantity is told in full, the parent's included (stated)         | –                          |
| discounts are negative `totalAdjustmentAmount`s: sent as the kiosk gives them   | –                          |
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from ordernpay.clock import utc
from ordernpay.commands import CancelOrder
from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import Adjustment, Line, Order, Payment
from ordernpay.vendors.reading import Reader, guid
from ordernpay.vendors.ros.settings import FieldNames, Options, RosConfig
from ordernpay.vendors.tables import Field, Manner
from ordernpay.vendors.tables import write as write_table

MANNER: Final = Manner("ros", 18)
ZERO: Final = Decimal("0.00")

UNDONE: Final = frozenset({500, 503})
"""Of ROS' own errors those after which its page says to retry; 502, 504 and 52x are a gateway's."""

ADD: Final = "remoteorders/add"
CANCEL: Final = "remoteorders/cancel"
MENU: Final = "remoteorders/menu/"
SCOPE: Final = "ros offline_access"

ORDER: Final = (  # RemoteOrder; known names only, arrays and assumed names are added by `add_body`
    Field("providerID", "int", "@provider_id", required=True),
    Field("providerName", "text", "@provider_name", 64, required=True),
    Field("providerOrderID", "text", "order.reference", 64, required=True),
    Field("outletID", "guid", "@outlet_id", required=True),
    Field("currencyCode", "text", "@currency", 8, absent=True),
    Field("totalAmount", "decimal", "order.lines", required=True),
    Field("testOrder", "bool", "@options.test_order"),
    Field("serviceModeID", "guid", "@options.service_mode_id", absent=True),
    Field("serviceModeEntityID", "text", "order.table", absent=True),
    Field("dateTimePrepareForUTC", "text", "order.ready_at", absent=True),
)
PRODUCT: Final = (  # RemoteOrderProduct
    Field("productID", "text", "product", 64),
    Field("productModifierID", "text", "modifier", 64),
    Field("name", "text", "name", 50, required=True),
    Field("quantity", "int", "quantity", required=True),
    Field("price", "decimal", "unit_price", required=True),
    Field("totalAmount", "decimal", "total", required=True),
)
ATTRIBUTE: Final = (  # RemoteOrderProductAttribute
    Field("productAttributeID", "text", "product", 64),
    Field("productAttributeModifierID", "text", "modifier", 64),
    Field("quantity", "int", "quantity", required=True),
    Field("price", "decimal", "unit_price", required=True),
    Field("totalAmount", "decimal", "total", required=True),
)
PAYMENT: Final = (  # RemoteOrderPayment
    Field("amountPaid", "decimal", "amount", required=True),
    Field("providerPaymentID", "text", "reference", 64),
    Field("providerPaymentType", "text", "method", 32),
    Field("amountOutletTip", "decimal", "tip"),
    Field("amountOutletServiceCharge", "decimal", "service_charge"),
)
ADJUSTMENT: Final = (  # RemoteOrderAdjustment
    Field("totalAdjustmentAmount", "decimal", "amount", required=True),
    Field("adjustmentID", "text", "id", 64),
    Field("name", "text", "name", 50),
)
CANCELLATION: Final = (  # RemoteOrderCancellation
    Field("remoteOrderID", "guid", "order_id", required=True),
    Field("outletID", "guid", "@outlet_id", required=True),
    Field("providerID", "int", "@provider_id", required=True),
    Field("providerName", "text", "@provider_name", 64, required=True),
    Field("cancelReason", "text", "reason", 32),
    Field("paymentStrategy", "text", "@options.payment_strategy", 32),
)


def write(model: Iterable[Field], values: Mapping[str, Any], path: str, faults: list[Fault]) -> JsonObject:
    """One model as JSON; see `tables.write`."""
    return write_table(model, values, path, faults, MANNER)


def cancel_body(params: CancelOrder, config: RosConfig, options: Options, faults: list[Fault]) -> JsonObject:
    """A RemoteOrderCancellation. The order is the id that *add* returned, whatever the page's body section says."""
    values = {
        "remoteOrderID": params.order_id,
        "outletID": config.outlet_id,
        "providerID": config.provider_id,
        "providerName": config.provider_name,
        "cancelReason": params.reason,
        "paymentStrategy": options.payment_strategy,
    }
    return write(CANCELLATION, values, "", faults)


def add_body(order: Order, config: RosConfig, options: Options, faults: list[Fault]) -> JsonObject:
    """A RemoteOrder. Prices are the kiosk's: ROS has no others."""
    names = config.field_names
    faults += [
        Fault(f"order.{name}", "ros has no place for it that a page names: use options.extra")
        for name in ("service_charge", "customer", "covers")
        if getattr(order, name) is not None
    ]
    if not order.lines:
        faults.append(Fault("order.lines", "expected at least one line"))
    products: list[JsonValue] = [
        _product(line, f"order.lines[{i}]", names, faults) for i, line in enumerate(order.lines)
    ]
    adjustments: list[JsonValue] = [
        _adjustment(entry, f"order.adjustments[{i}]", faults) for i, entry in enumerate(order.adjustments)
    ]
    total = sum((line_total(line) for line in order.lines), ZERO)
    total += sum((entry.amount for entry in order.adjustments), ZERO)
    values = {
        "providerID": config.provider_id,
        "providerName": config.provider_name,
        "providerOrderID": order.reference,
        "outletID": config.outlet_id,
        "currencyCode": config.currency,
        "totalAmount": total,
        "testOrder": bool(options.test_order or order.training),
        "serviceModeID": options.service_mode_id,
        "serviceModeEntityID": options.service_mode_entity_id or order.table,
        "dateTimePrepareForUTC": utc(order.ready_at),
    }
    model = tuple(entry if not entry.source.startswith("order.") else _unprefixed(entry) for entry in ORDER)
    body = write(model, values, "order", faults)
    body["orderAdjustments"] = adjustments
    body[names.products] = products
    body[names.payments] = [
        _payment(payment, f"order.payments[{i}]", faults) for i, payment in enumerate(order.payments)
    ]
    more = {
        names.order_type: options.order_type,
        names.pickup_code: options.pickup_code,
        names.display_name: options.display_name,
        names.kitchen_comment: "\n".join(order.notes) or None,
    }
    body |= {name: value for name, value in more.items() if value is not None}
    return body | (options.extra or {})


def shows(work_path: str, answer: JsonValue, names: FieldNames) -> bool:
    """Whether an answer of 2xx holds what ROS answers to this request."""
    if work_path == ADD:
        return identity(answer, names.order_id) is not None
    if work_path == CANCEL:
        return identity(answer, names.cancellation_id) is not None
    if work_path.startswith(MENU):
        return isinstance(answer, dict) and any("menu" in name.lower() and answer[name] for name in answer)
    return answer not in (None, {}, [])


def identity(answer: JsonValue, name: str) -> str | None:
    """The id that ROS gave to what it made, by its name or as a bare GUID; None where there is none, or one never set."""
    return Reader(answer).guid(name) if isinstance(answer, dict) else guid(answer)


def line_total(line: Line) -> Decimal:
    """What a line comes to: its own total or quantity x price, its children, and its adjustment."""
    price = line.unit_price or ZERO
    own = line.total if line.total is not None else price * line.quantity
    if line.total is None and line.adjustment is not None:
        own += line.adjustment.amount
    return own + sum((_child_total(child, line.quantity) for child in line.children), ZERO)


def _child_total(child: Line, times: int) -> Decimal:
    if child.total is not None:
        return child.total
    return (child.unit_price or ZERO) * child.quantity * times


def _unprefixed(entry: Field) -> Field:
    return Field(entry.name, entry.type, entry.source.removeprefix("order."), entry.limit, entry.required, entry.absent)


def _product(line: Line, path: str, names: FieldNames, faults: list[Fault]) -> JsonObject:
    own = line_total(line) - sum((_child_total(child, line.quantity) for child in line.children), ZERO)
    values = {
        "productID": line.product,
        "productModifierID": line.modifier,
        "name": line.name,
        "quantity": line.quantity,
        "price": line.unit_price,
        "totalAmount": own if line.unit_price is not None else None,
    }
    body = write(PRODUCT, values, path, faults)
    if line.adjustment is not None:
        body["productAdjustment"] = _adjustment(line.adjustment, f"{path}.adjustment", faults)
    if line.note is not None:
        body[names.instructions] = line.note
    if line.children:
        body[names.attributes] = [
            _attribute(child, line.quantity, f"{path}.children[{i}]", faults) for i, child in enumerate(line.children)
        ]
    return body


def _attribute(child: Line, times: int, path: str, faults: list[Fault]) -> JsonObject:
    faults += [
        Fault(f"{path}.{name}", "ros' attributes are one level deep and carry no adjustment or note")
        for name in ("children", "adjustment", "note")
        if getattr(child, name)
    ]
    values = {
        "productAttributeID": child.product,
        "productAttributeModifierID": child.modifier,
        "quantity": child.quantity * times,
        "price": child.unit_price,
        "totalAmount": _child_total(child, times) if child.unit_price is not None else None,
    }
    return write(ATTRIBUTE, values, path, faults)


def _adjustment(adjustment: Adjustment, path: str, faults: list[Fault]) -> JsonObject:
    values = {
        "totalAdjustmentAmount": adjustment.amount,
        "adjustmentID": adjustment.id or adjustment.pos_id,
        "name": adjustment.name,
    }
    return write(ADJUSTMENT, values, path, faults)


def _payment(payment: Payment, path: str, faults: list[Fault]) -> JsonObject:
    faults += [
        Fault(f"{path}.{name}", "ros has no place for it")
        for name in ("surcharge", "merchant_id", "terminal_id")
        if getattr(payment, name) is not None
    ]
    values = {
        "amountPaid": payment.amount,
        "providerPaymentID": payment.reference,
        "providerPaymentType": payment.method,
        "amountOutletTip": payment.tip,
        "amountOutletServiceCharge": payment.service_charge,
    }
    return write(PAYMENT, values, path, faults)
