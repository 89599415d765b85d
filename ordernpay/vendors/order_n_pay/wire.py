"""The wire of Order N Pay, as tables to read beside the vendor's pages.

Method pages: docs.powerepos.cloud/Document/OrderNPay/Method… ; model pages:
docs.powerepos.cloud/Model/POSCorePublic.Models.OrderNPay.… (the name stands with each table below).
Out goes PascalCase in the order of the pages; in comes any casing, and what is unknown is left alone.

Assumed, since no page that could be read says it; what is cheap to set can be set (README, "Check with PowerEPOS"):

| assumption                                                                  | setting                        |
|-----------------------------------------------------------------------------|--------------------------------|
| CreateOrder is MessageType 11 (inferred from an example)                    | `message_types.create_order`   |
| SimulateOrder, CreatePayment and get-one-order: numbers not published       | `message_types.…`, no default  |
| CreatePayment takes `{"SalesTransactionID", "Payment": OrderNPayPayment}`   | –                              |
| get-one-order takes `{"SalesTransactionID"}` and answers `{"Order"}`        | –                              |
| an ordinary product is ProductType 0                                        | `product_type`                 |
| a free-text message is a child product; its ProductType is not published    | `message_product_type`         |
| OrderNPayNote has one text field; its name is not published                 | `note_field`                   |
| ResultCodes other than 0, 4 and 6 are refusals of unknown meaning, but to   | `result_codes`                 |
| what went out more than once: there one may say "I have that already"       |                                |
| the token endpoint takes POST; answer `{"AccessToken", "ErrorMessage"}`     | –                              |
| the token travels as query parameter `token`                                | `token_parameter`              |
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject
from ordernpay.vendors.reading import Reader, tolerant
from ordernpay.vendors.tables import Field, Manner
from ordernpay.vendors.tables import write as write_table

AUTH_PATH: Final = "/api/powerepos/v1/auth"
RESULT_SUCCESS: Final = 0
RESULT_NOT_FOUND: Final = 4
RESULT_INSUFFICIENT_STOCK: Final = 6
PUBLISHED_RESULTS: Final = frozenset({RESULT_SUCCESS, RESULT_NOT_FOUND, RESULT_INSUFFICIENT_STOCK})
RESULT_NAMES: Final[Mapping[str, int]] = {"success": RESULT_SUCCESS, "insufficientstock": RESULT_INSUFFICIENT_STOCK}
"""Names of ResultCode that the model pages have; some serialisers write an enum by its name."""


MANNER: Final = Manner("order-n-pay", 13)

ENVELOPE: Final = (  # OrderNPayWebsocketRequest
    Field("RequestID", "text", "idempotency_key", 256, required=True),
    Field("ProviderID", "int", "provider_id", required=True),
    Field("ProviderName", "text", "provider_name", 64, required=True),
    Field("DeviceID", "text", "options.device_id", 64, required=True),
    Field("UserIdentifier", "text", "options.user", 36),
    Field("MessageType", "int", "method", required=True),
    Field("Payload", "object", "params", required=True),
)
GET_USER: Final = (Field("PIN", "text", "pin", 36, required=True),)  # OrderNPayGetUserFromPINRequest, length not seen
GET_OPEN_ORDERS: Final = (  # OrderNPayGetOpenOrdersRequest
    Field("ServiceModeEntityID", "text", "table", 8),
    Field("UserOrdersOnly", "bool", "mine"),
)
CREATE_ORDER: Final = (  # OrderNPayCreateOrderRequest
    Field("ProviderOrderID", "text", "reference", 64, required=True),
    Field("ServiceModeID", "guid", "@options.service_mode_id", required=True),
    Field("ServiceModeEntityID", "text", "table", 8, required=True),
    Field("IsTraining", "bool", "training"),
    Field("UseProviderPrices", "bool", "prices"),
    Field("Products", "list", "lines"),
    Field("Payments", "list", "payments"),
    Field("Adjustments", "list", "adjustments"),
    Field("Notes", "list", "notes"),
    Field("ServiceChargeAmount", "decimal", "service_charge"),
    Field("Covers", "int", "covers"),
)
UPDATE_ORDER: Final = (  # OrderNPayUpdateOrderRequest
    Field("ProviderOrderID", "text", "reference", 64),
    Field("SalesTransactionID", "guid", "order_id", required=True),
    Field("UseProviderPrices", "bool", "prices"),
    Field("Products", "list", "lines"),
    Field("Adjustments", "list", "adjustments"),
    Field("Notes", "list", "notes"),
    Field("ServiceChargeAmount", "decimal", "service_charge"),
    Field("Covers", "int", "covers", absent=True),
)
SIMULATE_ORDER: Final = (  # OrderNPaySimulateOrderRequest: no Covers, no IsTraining
    Field("ProviderOrderID", "text", "reference", 64),
    Field("ServiceModeID", "guid", "@options.service_mode_id", required=True),
    Field("ServiceModeEntityID", "text", "table", 8, required=True),
    Field("ApplyAutomaticAdjustments", "bool", "@options.apply_automatic_adjustments"),
    Field("UseProviderPrices", "bool", "prices"),
    Field("Products", "list", "lines", required=True),
    Field("Payments", "list", "payments"),
    Field("Adjustments", "list", "adjustments"),
    Field("Notes", "list", "notes"),
    Field("ServiceChargeAmount", "decimal", "service_charge"),
)
GET_ORDER: Final = (Field("SalesTransactionID", "guid", "order_id", required=True),)  # assumed
CREATE_PAYMENT: Final = (  # assumed; OrderNPayCreatePaymentResponse is the only page
    Field("SalesTransactionID", "guid", "order_id", required=True),
    Field("Payment", "object", "payment", required=True),
)
CHILD_PRODUCT: Final = (  # OrderNPayChildProduct: one level deep, no adjustment, a longer modifier name
    Field("ProviderProductID", "text", "id", 64),
    Field("ProductType", "int", "@options.product_type", required=True),
    Field("PLUIdentifier", "text", "product", 36),
    Field("SalesModifierIdentifier", "text", "modifier", 36),
    Field("Name", "text", "name", 50, required=True),
    Field("SalesModifierName", "text", "modifier_name", 32),
    Field("Quantity", "int", "quantity", required=True),
    Field("Price", "decimal", "unit_price", required=True),
    Field("TotalAmount", "decimal", "total", required=True),
)
PRODUCT: Final = (  # OrderNPayProduct
    Field("ProviderProductID", "text", "id", 64),
    Field("ProductType", "int", "@options.product_type", required=True),
    Field("PLUIdentifier", "text", "product", 36),
    Field("SalesModifierIdentifier", "text", "modifier", 36),
    Field("Name", "text", "name", 50, required=True),
    Field("SalesModifierName", "text", "modifier_name", 8),
    Field("Quantity", "int", "quantity", required=True),
    Field("Price", "decimal", "unit_price", required=True),
    Field("TotalAmount", "decimal", "total", required=True),
    Field("ChildProducts", "list", "children"),
    Field("Adjustment", "object", "adjustment"),
)
PAYMENT: Final = (  # OrderNPayPayment
    Field("ProviderPaymentID", "text", "reference", 64),
    Field("Name", "text", "method", 32, required=True),
    Field("AmountSale", "decimal", "amount", required=True),
    Field("AmountTip", "decimal", "tip"),
    Field("AmountSurcharge", "decimal", "surcharge"),
    Field("ExplicitServiceChargeAmount", "decimal", "service_charge"),
    Field("MerchantID", "text", "merchant_id", 40),
    Field("TerminalID", "text", "terminal_id", 40),
)
ADJUSTMENT: Final = (  # OrderNPayAdjustment
    Field("ProviderAdjustmentID", "text", "id", 64),
    Field("AdjustmentID", "guid", "pos_id"),
    Field("Name", "text", "name", 50, required=True),
    Field("Amount", "decimal", "amount", required=True),
)


def write(model: Iterable[Field], values: Mapping[str, Any], path: str, faults: list[Fault]) -> JsonObject:
    """One model as JSON; see `tables.write`."""
    return write_table(model, values, path, faults, MANNER)


@frozen
class Response:
    """OrderNPayWebsocketResponse, read with any casing. `raw` is the whole message, untouched, `size` its length."""

    request_id: str
    result_code: int
    error_message: str | None
    message_type: int | None
    payload: "Reader | None"
    raw: JsonObject
    size: int = 0


def read_response(message: str | bytes) -> Response | str:
    """A message of the POS as a response, or why it is none. Never raises, whatever came."""
    try:
        raw = tolerant(message if isinstance(message, str) else _text(message))
    except (ValueError, RecursionError) as error:
        return f"no JSON ({type(error).__name__})"
    if not isinstance(raw, dict):
        return "no JSON object"
    reader = Reader(raw)
    request_id, result_code = reader.text("RequestID"), _result_code(reader)
    if not request_id:
        return "no RequestID"
    if result_code is None:
        return "no ResultCode"
    return Response(
        request_id=request_id,
        result_code=result_code,
        error_message=reader.text("ErrorMessage"),
        message_type=reader.whole("MessageType"),
        payload=reader.object("Payload"),
        raw=raw,
        size=len(message),
    )


def _result_code(response: Reader) -> int | None:
    name = response.get("ResultCode")
    known = RESULT_NAMES.get(name.strip().lower()) if isinstance(name, str) else None
    return response.whole("ResultCode") if known is None else known


def _text(message: bytes) -> str | bytes:
    """A message as text where it is UTF-8: a letter that was cut costs that letter, not the answer."""
    return message if json.detect_encoding(message) != "utf-8" else message.decode(errors="replace")
