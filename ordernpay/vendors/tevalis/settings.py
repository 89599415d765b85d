"""What a session of Tevalis can be told, in the configuration and with each call."""

from decimal import Decimal
from typing import Annotated, Any

import attrs
from attrs import field, frozen

from ordernpay.config import Interval, Name, Secret, SessionConfig
from ordernpay.rules import Amount, FreeObject, Text, Whole

Number = Annotated[int, Whole(0, 2**31 - 1)]
Long = Annotated[str, Text(1, 10_000)]
Total = Annotated[Decimal, Amount(low=Decimal(0))]
Objects = tuple[FreeObject, ...]


@frozen
class Options:
    """`options` of a call; all but the last two are also keys of the session's configuration and are its defaults.

    Attributes:
        price_group_id: the price list under which the order is rung.
        sales_area: sales area of the transaction.
        tender_type_id: tender type of the payments; or `tender_plu`, the tender type's PLU.
        tender_plu: see there.
        origin: the marketplace that the order came from, for aggregators.
        crm_member_id: CRM member.
        order_params: "online order params config", as Tevalis gives it.
        merge: merge into the bill that is open on the table.
        macro_items: meal deals, in the vendor's own shape.
        configurable_discounts: the vendor's own shape.
        manual_promotions: the vendor's own shape.
        expected_total: what the kiosk has shown; another total of the POS is rejected, and nothing is submitted.
        table: the table of an order that this daemon has not made, for `order.update`.
    """

    price_group_id: Number | None = None
    sales_area: Long | None = None
    tender_type_id: Number | None = None
    tender_plu: Long | None = None
    origin: Long | None = None
    crm_member_id: Long | None = None
    order_params: Long | None = None
    merge: bool | None = None
    macro_items: Objects | None = None
    configurable_discounts: Objects | None = None
    manual_promotions: Objects | None = None
    expected_total: Total | None = None
    table: Number | None = None


@frozen(kw_only=True)
class TevalisConfig(SessionConfig):
    """`[sessions.NAME]` with `vendor = "tevalis"`.

    Attributes:
        base_url: address of Tevalis.
        api_version: version in its routes.
        site_id: number of the site.
        company_id: number of the company.
        dev_id: what Tevalis calls you.
        guid: secret of every request.
        guid2: secret of what changes something.
        note_field: name of the text field of an item's note; without it, a line's `note` is refused.
        error_delays: pauses between tries of what may be repeated, in seconds.
        unavailable_seconds: pause after a 503.
        submit_again_after_503: whether a 503 in Tevalis' own JSON means that a submission was not taken, so that it is
            submitted again; ask Tevalis. Without it such a submission is `unknown`.
        submit_answers_nothing: whether Tevalis answers a submission that it takes with an empty body; ask Tevalis.
        probe_seconds: how often it is looked whether Tevalis is there.
    """

    base_url: str = field(default="https://api.tevalis.com", metadata={"schemes": ("https", "http")})
    api_version: Annotated[str, Text(1, 8, r"[0-9.]+")] = "2"
    site_id: Number
    company_id: Number
    dev_id: Name
    guid: Secret
    guid2: Secret
    price_group_id: Number | None = None
    sales_area: Long | None = None
    tender_type_id: Number | None = None
    tender_plu: Long | None = None
    origin: Long | None = None
    crm_member_id: Long | None = None
    order_params: Long | None = None
    merge: bool = False
    macro_items: Objects = ()
    configurable_discounts: Objects = ()
    manual_promotions: Objects = ()
    note_field: Name | None = None
    error_delays: tuple[Interval, ...] = (0.5, 1.0, 2.0)
    unavailable_seconds: Interval = 5.0
    submit_again_after_503: bool = False
    submit_answers_nothing: bool = False
    probe_seconds: Interval = 600.0

    def merged(self, options: Options) -> Options:
        """A call's options over the session's own."""
        given: dict[str, Any] = {
            attribute.name: getattr(options, attribute.name) for attribute in attrs.fields(Options)
        }
        merged = {name: value if value is not None else getattr(self, name, None) for name, value in given.items()}
        if options.tender_plu is not None:  # another name of the same thing: the session's own must not outrank it
            merged["tender_type_id"] = options.tender_type_id
        return Options(**merged)
