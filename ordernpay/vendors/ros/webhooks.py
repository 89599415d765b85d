"""ROS' webhooks: checked, read in any casing, and told in the contract's words.

Pages: docs.powerepos.cloud/Document/ROS/NotificationsWebhook; headers: …RemoteOrdering.Webhooks.OutgoingRequestHeaders.
The signature is the hex HMAC-SHA256 of the body as it came, in either case of the letters. What kind of notification
it is follows from what is in it, since neither the numbers nor the wrapper's names are published.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Final

from attrs import evolve, frozen

from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, succeeded
from ordernpay.vendors.protocol import Report, Settlement
from ordernpay.vendors.reading import Reader, guid, tolerant

SAME_WITHIN: Final = 2 * 3600.0
"""Seconds within which the same body is the same notification where it may come again: ROS tries for about one hour."""

SIGNATURE: Final = "x-ros-signature"
NOTIFICATION: Final = "x-ros-notificationid"
DEPTH: Final = 4
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)


@frozen
class Ours:
    """What a notification must be of to be of interest here: ROS sends one for each organisation and all its outlets."""

    organisation: str
    outlet_id: str

    def are(self, told: Reader) -> bool:
        """Whether something that names an organisation or an outlet names ours; what names none may be ours."""
        organisation, outlet = (told.text(name) or "" for name in ("OrganisationCode", "OutletID"))
        if organisation.strip().lower() not in {"", self.organisation.lower()}:
            return False
        named = "" if not outlet.strip("{}()0- ") else guid(outlet) or outlet
        return named.lower() in {"", self.outlet_id.lower()}


@frozen
class Notification:
    """One webhook call: what it tells, and how it is known again.

    Attributes:
        names: its own id, which is not signed, and what its body is known by: one of them shows a repeat.
        within: seconds after which the same names are those of another one; None for never.
        of: how the names begin of all that is told of the same thing, such as a product's stock.
        reports: what it tells; nothing where it is of another outlet.
    """

    names: tuple[str, ...]
    within: float | None
    of: str | None
    reports: list[Report]


def is_signature(text: str) -> bool:
    """Whether a text has the form of a signature."""
    return _SIGNATURE.fullmatch(text.strip()) is not None


def signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether the body carries the signature of who has the secret."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.strip().lower().encode())


def read(body: bytes, notification_id: str | None, ours: Ours, charset: str | None = None) -> Notification | None:
    """What a webhook tells; None where it is no JSON object. ROS gives up news that are refused, so no oddity is a reason."""
    try:
        value = tolerant(body, charset)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    reports, subject = _reports(value, ours)
    of = None if subject is None else f"ros:{subject}:"
    content = f"{of or 'ros:body:'}{hashlib.sha256(body).hexdigest()}"
    named = (notification_id or "").strip()
    never_set = not named.strip("{}()0-")
    names = (content,) if never_set else (content, f"ros:{named}")
    lasting = subject is None and all(report.kind == "order.updated" for report in reports)
    return Notification(names, None if lasting else SAME_WITHIN, of, reports)


def _reports(value: JsonObject, ours: Ours) -> tuple[list[Report], str | None]:
    """What is told, and the name of the thing of which only the latest state counts."""
    for inner in _objects(value, DEPTH):
        if not ours.are(Reader(inner)):
            return [], None
    for inner in _objects(value, DEPTH):
        reader = Reader(inner)
        orders = reader.objects("ProcessedOrders")
        if orders is not None:
            return [_processed(order, value) for order in orders if ours.are(order)], None
        if reader.objects("StockLevels") is not None:
            return [_live_stock(reader, value)], "live-stock"
        if reader.text("RemoteOrderID") and reader.text("ProviderOrderID"):
            return [_prepared(reader, value)], None
        if reader.text("ProductID") and reader.get("StockLevel") is not None:
            return [_stock(reader, value)], f"stock:{reader.text('ProductID')}"
    return [Report("vendor.event", {"type": Reader(value).get("type")}, value)], None


def _objects(value: JsonValue, depth: int) -> Iterator[JsonObject]:
    """The objects of a notification, the outermost first; a body may be wrapped, even as text."""
    if isinstance(value, str) and value.lstrip().startswith("{") and depth:
        try:
            value = tolerant(value)
        except (ValueError, RecursionError):
            return
    if isinstance(value, dict) and depth:
        yield value
        for entry in value.values():
            yield from _objects(entry, depth - 1)


def _processed(order: Reader, vendor: JsonObject) -> Report:
    """ArchivedRemoteOrder: an outlet confirmed or rejected it. Settles an add whose answer was lost."""
    confirmed = order.flag("isConfirmed")
    reference = order.text("providerOrderID")
    data: JsonObject = {
        "order_id": order.guid("remoteOrderID"),
        "reference": reference,
        "status": "accepted" if confirmed else "rejected",
        "reason": order.text("rejectionReason"),
        "products": _missing(order),
    }
    if confirmed is None or reference is None:
        return Report("vendor.event", {"type": "processed"}, vendor)
    settlement = Settlement("provider_order_id", reference, lambda _: _settled(order), "remote_order_id")
    return Report("order.updated", data, order.raw, settlement)


def _missing(order: Reader) -> list[JsonValue]:
    """OutOfStockProduct[]: what the outlet had run out of."""
    return [
        {
            "product": product.text("productID"),
            "modifier": product.text("productModifierID"),
            "name": product.text("name"),
        }
        for product in order.objects("outOfStockProducts") or []
    ]


def _settled(order: Reader) -> Outcome:
    """An add was carried out, since the outlet has processed it; whether it was taken or not is the order's status."""
    remote_id, reference = order.guid("remoteOrderID"), order.text("providerOrderID")
    ids = known_as(remote_id)
    if not order.flag("isConfirmed"):
        said = order.text("rejectionReason")
        text = f"the outlet rejected the order: {said}" if said else "the outlet rejected the order"
        missing = _missing(order)
        details: JsonObject | None = {"products": missing} if missing else None
        code = order.whole("rejectionType")
        failure = Failure(
            "out_of_stock" if missing else "rejected",
            text,
            vendor_code=order.text("rejectionType") if code is None else code,
            vendor_message=said,
            details=details,
        )
        return evolve(ended(failure, order.raw), vendor_ids=ids)
    result: JsonObject = {"order": order_told(remote_id, reference, "accepted")}
    return succeeded(result, order.raw, **ids)


def known_as(remote_id: str | None) -> dict[str, str]:
    """The RemoteOrderID by which news are told apart: a GUID, whose letters are the same in either case."""
    return {"remote_order_id": remote_id.lower()} if remote_id else {}


def order_told(remote_id: str | None, reference: str | None, status: str, total: str | None = None) -> JsonObject:
    """An order of which ROS tells no more than that it has it."""
    nothing: tuple[str, ...] = (
        *("number", "table", "currency", "owing", "service_charge", "lines", "adjustments", "payments", "taxes"),
        *("notes", "covers", "estimated_at"),
    )
    told: JsonObject = {"id": remote_id, "reference": reference, "status": status, "total": total}
    return told | dict.fromkeys(nothing)


def _prepared(body: Reader, vendor: JsonObject) -> Report:
    data: JsonObject = {
        "order_id": body.guid("RemoteOrderID"),
        "reference": body.text("ProviderOrderID"),
        "status": "ready",
        "collection_point": body.guid("CollectionPointID"),
        "collection_location": body.text("ConsumerCollectionLocation"),
    }
    return Report("order.updated", data, vendor)


def _stock(body: Reader, vendor: JsonObject) -> Report:
    """ProductStockLevelWebhookBody: here StockLevel is the level's name or number, not a count."""
    product: JsonObject = {"product": body.text("ProductID"), "level": body.get("StockLevel"), "count": None}
    return Report("stock.updated", {"full": False, "products": [product]}, vendor)


def _live_stock(body: Reader, vendor: JsonObject) -> Report:
    """LiveProductStockLevelsWebhookBody: here StockLevel is a count, and void where the product is off."""
    products: list[JsonValue] = []
    for level in body.objects("StockLevels") or []:
        off = bool(level.flag("IsDisabled") or level.flag("IsDeleted"))
        count = None if off else level.whole("StockLevel")
        products.append({"product": level.text("ProductID"), "level": level.get("Status"), "count": count})
    return Report("stock.updated", {"full": bool(body.flag("IsFullRefresh")), "products": products}, vendor)
