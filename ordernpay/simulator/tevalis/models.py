"""The request models of Tevalis' help pages as tables of fields.

Sources: https://api.tevalis.com/Help/ResourceModel?modelName= with each model's name. A field that its page does not mark
*Required* may be left out or null.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ordernpay.simulator.pages import (
    CENT,
    NOTHING,
    Check,
    FieldError,
    Record,
    anything,
    guid,
    money,
    nullable,
    record,
    required,
    rows,
    text,
    unmarked_flag,
    whole,
)

DEEPEST: Final = 5
"""How deep modifiers may stand below each other."""
TEXT: Final = text(10_000, least=0)
NAMED: Final = text(10_000)
"""*Required* text: .NET takes an empty string for a missing one."""
INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?")


def instant(value: Any, path: str) -> datetime:
    """A ``…UTC`` date: ISO 8601, up to seven decimals, in UTC whether it says so or not."""
    if not isinstance(value, str) or not INSTANT.fullmatch(value):
        raise FieldError(path, "must be an ISO 8601 date and time")
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise FieldError(path, "must be a date and time that exists") from None
    if read.utcoffset() not in {None, timedelta(0)}:
        raise FieldError(path, "must be in UTC")
    return read.replace(tzinfo=UTC)


def _too_deep(value: Any, path: str) -> list[Record]:
    if value != []:
        raise FieldError(path, f"must be empty: modifiers stand at most {DEEPEST} deep")
    return []


def _modifiers(depth: int) -> Check:
    return rows(
        record(
            {
                "OptionGroupID": required(whole()),
                "OptionItemID": required(whole()),
                "IsRemove": unmarked_flag(),
                "OverridePrice": nullable(money(least=NOTHING)),
                "Modifiers": nullable(_modifiers(depth + 1) if depth < DEEPEST else _too_deep),
            }
        )
    )


ITEM: Final = record(
    {
        "PLU": required(NAMED),
        "Quantity": required(whole(least=1)),
        "OverridePrice": nullable(money(least=NOTHING)),
        "ItemRef": nullable(TEXT),
        "Modifiers": nullable(_modifiers(1)),
        "ItemNotes": nullable(rows(anything)),
    }
)
MACRO_ITEM: Final = record({"ParentOrderItem": required(ITEM), "ChildrenOrderItems": required(rows(ITEM))})
CALCULATE: Final = record(
    {
        "SiteId": required(whole()),
        "PriceGroupID": required(whole()),
        "TableNumber": nullable(whole(least=1)),
        "Covers": nullable(whole(least=0)),
        "ServiceChargeAmount": nullable(money(least=NOTHING)),
        "SalesArea": nullable(TEXT),
        "OrderItems": nullable(rows(ITEM)),
        "MacroItems": nullable(rows(MACRO_ITEM)),
        "ConfigurableDiscounts": nullable(
            rows(record({"DiscountID": required(whole()), "AffectedItemRefs": required(rows(TEXT))}))
        ),
        "ManualPromotions": nullable(
            rows(record({"PromotionID": required(whole()), "AffectedItemRefs": required(rows(TEXT))}))
        ),
    }
)

_TENDER: Final = record(
    {
        "TenderTypeID": nullable(whole()),
        "PLU": nullable(NAMED),
        "Amount": required(money(least=CENT)),
    }
)


def tender(value: Any, path: str) -> Record:
    """``SubmitCalculateOrderV2TenderApiModel``, which names its type by ID or by PLU."""
    read: Record = _TENDER(value, path)
    if read["TenderTypeID"] is None and read["PLU"] is None:
        raise FieldError(f"{path}.TenderTypeID", "is required where PLU is not given")
    return read


CUSTOMER: Final = record(
    {
        **dict.fromkeys(
            (
                "FirstName",
                "LastName",
                "Line1",
                "Line2",
                "City",
                "PostCode",
                "ContactNumber",
                "ContactAccessCode",
            ),
            nullable(TEXT),
        ),
        "AdditionalDetails": nullable(anything),
    }
)
SUBMIT: Final = record(
    {
        "SiteId": required(whole()),
        "UID": required(guid),
        "CRMMemberID": nullable(TEXT),
        "RequestedDeliveryTimeUTC": nullable(instant),
        "GratuityAmount": nullable(money(least=CENT)),
        "DeliveryChargeAmount": nullable(money(least=CENT)),
        "ThirdPartyOrigin": nullable(TEXT),
        "ThirdPartyTransactionID": nullable(TEXT),
        "ThirdPartyReference": nullable(TEXT),
        "OrderParams": nullable(TEXT),
        "MergeOnToExistingBill": unmarked_flag(),
        "CustomerInfo": required(CUSTOMER),
        "Tenders": nullable(rows(tender)),
    }
)
CANCEL: Final = record({"SiteId": required(whole()), "UID": required(guid), "Reason": required(NAMED)})
