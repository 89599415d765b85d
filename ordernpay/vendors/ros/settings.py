"""What a session of ROS can be told, in the configuration and with each call."""

from typing import Annotated, Any

import attrs
from attrs import field, frozen

from ordernpay.addresses import address_fault
from ordernpay.config import Interval, Name, Secret, SessionConfig
from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject
from ordernpay.rules import FreeObject, Guid, Text, Whole, shown

GuidText = Annotated[str, Guid()]
Number = Annotated[int, Whole(0, 2**31 - 1)]
Short = Annotated[str, Text(1, 32)]
Currency = Annotated[str, Text(1, 8)]


@frozen
class Options:
    """`options` of a call; each is also a key of the session's configuration and is its default.

    Attributes:
        order_type: number of RemoteOrderType (not published; ask PowerEPOS).
        service_mode_id: GUID of the service mode, from the menu's metadata.
        service_mode_entity_id: the table or the like; `order.table` by default.
        pickup_code: short code for the person who collects.
        display_name: name of the channel shown to staff, for aggregators.
        payment_strategy: reference to the reimbursement model of a cancellation, up to 32 characters.
        test_order: not a real order.
        extra: further fields of the add body, as they are.
    """

    order_type: Number | None = None
    service_mode_id: GuidText | None = None
    service_mode_entity_id: Name | None = None
    pickup_code: Name | None = None
    display_name: Name | None = None
    payment_strategy: Short | None = None
    test_order: bool | None = None
    extra: FreeObject | None = None


@frozen
class FieldNames:
    """JSON names of the add body and of the answers that no page gives.

    Attributes:
        products: the lines.
        payments: the payments.
        attributes: a line's children.
        order_type: number of RemoteOrderType.
        pickup_code: short code for the person who collects.
        display_name: name of the channel.
        kitchen_comment: the order's notes.
        instructions: a line's note.
        order_id: in the answer to an add, the id that ROS gave the order.
        cancellation_id: in the answer to a cancel, the id that ROS gave it.
    """

    products: Name = "products"
    payments: Name = "payments"
    attributes: Name = "attributes"
    order_type: Name = "remoteOrderType"
    pickup_code: Name = "providerPickupCode"
    display_name: Name = "providerDisplayName"
    kitchen_comment: Name = "consumerKitchenComment"
    instructions: Name = "specialInstructions"
    order_id: Name = "remoteOrderID"
    cancellation_id: Name = "remoteOrderCancellationID"


@frozen(kw_only=True)
class RosConfig(SessionConfig):
    """`[sessions.NAME]` with `vendor = "ros"`.

    Attributes:
        auth_url: where tokens come from.
        service_urls: addresses that a token may lead to beside public ones with https and that of auth_url itself.
        organisation: code of the organisation.
        client_id: what PowerEPOS gave you to act for it.
        client_secret: the secret to it.
        webhook_secret: by which webhooks prove that they come from ROS; without it, none is taken.
        outlet_id: GUID of the outlet.
        provider_id: number under which the outlet knows you.
        provider_name: the name to it.
        currency: code of the orders' money; without it, none is sent.
        field_names: JSON names that no page gives.
        unavailable_seconds: pause after a 503.
        error_delays: pauses between tries after ROS' own 500, a 429, and another 5xx where a repeat does no harm, in seconds.
        token_margin: seconds before its end at which a token is replaced.
        probe_seconds: how often it is looked whether ROS is there.
    """

    auth_url: str = field(
        default="https://auth.powerepos.cloud/authorisation/token", metadata={"schemes": ("https", "http")}
    )
    service_urls: tuple[Annotated[str, Text(1, 512)], ...] = ()
    organisation: Annotated[str, Text(1, 16)]
    client_id: Annotated[str, Text(1, 256)]
    client_secret: Secret
    webhook_secret: Secret | None = None
    outlet_id: GuidText
    provider_id: Number
    provider_name: Name
    currency: Currency | None = None
    order_type: Number | None = None
    service_mode_id: GuidText | None = None
    service_mode_entity_id: Name | None = None
    pickup_code: Name | None = None
    display_name: Name | None = None
    payment_strategy: Short | None = None
    test_order: bool = False
    extra: FreeObject = field(factory=dict)
    field_names: FieldNames = field(factory=FieldNames)
    unavailable_seconds: Interval = 30.0
    error_delays: tuple[Interval, ...] = (0.5, 1.0, 2.0)
    token_margin: Interval = 60.0
    probe_seconds: Interval = 60.0

    def faults(self) -> list[Fault]:
        """What is wrong across keys."""
        found = (
            (url, address_fault(url, ("https", "http"), allow_insecure=self.allow_insecure))
            for url in self.service_urls
        )
        return [Fault("service_urls", f"{shown(url)}: {why}") for url, why in found if why is not None]

    def merged(self, options: Options) -> Options:
        """A call's options over the session's own; `extra` fields of both."""
        given: dict[str, Any] = {
            attribute.name: getattr(options, attribute.name) for attribute in attrs.fields(Options)
        }
        merged = {name: value if value is not None else getattr(self, name) for name, value in given.items()}
        extra: JsonObject = {**self.extra, **(options.extra or {})}
        return Options(**(merged | {"extra": extra}))
