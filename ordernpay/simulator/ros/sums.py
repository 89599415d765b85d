"""Whether the amounts of an order agree.

Sources, below https://docs.powerepos.cloud/Model/POSCorePublic.Models.RemoteOrdering.: ``RemoteOrder`` and
``RemoteOrderProduct`` (adjustments), ``RemoteOrderProductAttribute`` (quantities), ``RemoteOrderPayment`` (tips).

Assumed, because no page that was seen says it: an adjustment that makes the order cheaper is negative; a product's total
is its price times its quantity plus its adjustment, and its attributes stand beside it; an order without products says
its total alone; payments may leave a rest, which is paid at the outlet.
"""

from decimal import Decimal

from ordernpay.simulator.pages import NOTHING, FieldError, Record
from ordernpay.simulator.ros.fields import Readings


def check_sums(order: Record, readings: Readings) -> None:
    """Check that the amounts of an order agree.

    Raises:
        FieldError: They do not.
    """
    products: list[Record] | None = order[readings.products]
    if products is not None:
        total = sum((_product(row, f"{readings.products}[{at}]", readings) for at, row in enumerate(products)), NOTHING)
        total += sum((row["totalAdjustmentAmount"] for row in order["orderAdjustments"] or ()), NOTHING)
        _agree(order, total, "")
    payments = order[readings.payments]
    if payments and order["totalAmount"] is not None:
        _check_paid(sum((row["amountPaid"] for row in payments), NOTHING), order["totalAmount"], readings)


def _product(product: Record, path: str, readings: Readings) -> Decimal:
    """What a product with its attributes adds to the order."""
    extras = NOTHING
    for at, attribute in enumerate(product[readings.attributes] or ()):
        place = f"{path}.{readings.attributes}[{at}]"
        if attribute["quantity"] % product["quantity"]:
            raise FieldError(f"{place}.quantity", "must be the full count, a multiple of its product's quantity")
        _agree(attribute, attribute["quantity"] * attribute["price"], f"{place}.")
        extras += attribute["totalAmount"]
    own: Decimal = product["quantity"] * product["price"]
    if product["productAdjustment"] is not None:
        own += product["productAdjustment"]["totalAdjustmentAmount"]
    _agree(product, own + extras if readings.attributes_in_product_total else own, f"{path}.")
    return own + extras


def _agree(holder: Record, total: Decimal, prefix: str) -> None:
    if holder["totalAmount"] not in {None, total}:
        raise FieldError(f"{prefix}totalAmount", f"must be {total}, the sum of its parts")


def _check_paid(paid: Decimal, total: Decimal, readings: Readings) -> None:
    path = f"{readings.payments}[0].amountPaid"
    if paid > total:
        raise FieldError(path, f"must come to {total} at most over all payments, tips and service charges apart")
    if readings.paid_in_full and paid != total:
        raise FieldError(path, f"must come to {total} over all payments")
