"""What a session of Order N Pay can be told, in the configuration and with each call."""

from typing import Annotated, Any, Literal

from attrs import field, frozen

from ordernpay.config import Interval, Name, Role, Secret, SessionConfig
from ordernpay.conversion import Fault
from ordernpay.rules import Guid, Text, Whole

Device = Annotated[str, Text(1, 64)]
User = Annotated[str, Text(1, 36, secret=True)]
GuidText = Annotated[str, Guid()]
Number = Annotated[int, Whole(0, 2**31 - 1)]
ErrorKind = Literal["rejected", "not_found", "out_of_stock", "unauthorised", "conflict", "duplicate"]


@frozen
class Options:
    """`options` of a call; each is also a key of the session's configuration and is its default.

    Attributes:
        device_id: the device behind the request, e.g. a terminal's id.
        user: POS user id (GUID) or staff PIN. A PIN is kept out of the journal.
        service_mode_id: GUID of the service mode in which an order is created.
        product_type: number of OrderNPayProductType for ordinary lines.
        apply_automatic_adjustments: for a quote: let the POS apply its automatic adjustments.
    """

    device_id: Device | None = None
    user: User | None = field(default=None, repr=False)
    service_mode_id: GuidText | None = None
    product_type: Number | None = None
    apply_automatic_adjustments: bool | None = None


@frozen
class MessageTypes:
    """Numbers of OrderNPayMessageType. Where one is missing, since it is not published, the command is `unsupported`.

    Attributes:
        get_user_from_pin: for `user.lookup`.
        get_open_orders: for `order.list`.
        create_order: for `order.create`.
        update_order: for `order.update`.
        simulate_order: for `order.quote`.
        create_payment: for `payment.create`.
        get_order: for `order.get`.
    """

    get_user_from_pin: Number = 0
    get_open_orders: Number = 1
    create_order: Number = 11
    update_order: Number = 12
    simulate_order: Number | None = None
    create_payment: Number | None = None
    get_order: Number | None = None


@frozen(kw_only=True)
class OrderNPayConfig(SessionConfig):
    """`[sessions.NAME]` with `vendor = "order-n-pay"`.

    Attributes:
        provider_id: number under which PowerEPOS knows whoever runs the kiosks.
        provider_name: the name to it.
        role: "dial": the daemon opens the websocket; "listen": the POS opens it to [inbound].
        url: address of the POS' websocket, wss://; for role "dial" only.
        provider_outlet_id: our name of the outlet, for the token handshake.
        pos_remote_id: the POS' name of it, for the same.
        auth_secret: the word that both know, for the same; required for role "listen".
        message_types: numbers of messages that are not published.
        result_codes: what a number of ResultCode means: "5" = "conflict"; "duplicate" is one that says that the POS has
            had the request before, which tells nothing of how the first one ended.
        note_field: name of the text field of a note; without it, `notes` is refused.
        message_product_type: product type of a free-text line; without it, a line's `note` is refused.
        token_parameter: query parameter in which the daemon hands over its token.
        token_seconds: how long a token that we gave is good.
        connect_timeout: seconds within which a connection stands.
        ping_interval: seconds between two pings.
        ping_timeout: seconds without an answer to one after which the connection is given up.
        stable_seconds: how long a connection stood for its loss to be worth a try at once.
        reconnect_min: shortest ceiling of the back-off, in seconds.
        reconnect_max: longest one.
        refused_retry: seconds until the next try once the POS refused us.
        max_message_bytes: longest message that is taken.
    """

    provider_id: Number
    provider_name: Name
    role: Role = "dial"
    url: str | None = field(default=None, metadata={"schemes": ("wss", "ws")})
    device_id: Device | None = None
    user: User | None = field(default=None, repr=False)
    service_mode_id: GuidText | None = None
    product_type: Number = 0
    apply_automatic_adjustments: bool = False
    provider_outlet_id: Name | None = None
    pos_remote_id: Name | None = None
    auth_secret: Secret | None = None
    message_types: MessageTypes = field(factory=MessageTypes)
    result_codes: dict[str, ErrorKind] = field(factory=dict)
    note_field: Name | None = None
    message_product_type: Number | None = None
    token_parameter: Name = "token"  # noqa: S105 - a query parameter's name
    token_seconds: Interval = 900.0
    connect_timeout: Interval = 10.0
    ping_interval: Interval = 20.0
    ping_timeout: Interval = 10.0
    stable_seconds: Interval = 5.0
    reconnect_min: Interval = 0.1
    reconnect_max: Interval = 30.0
    refused_retry: Interval = 60.0
    max_message_bytes: Annotated[int, Whole(1_024, 64 * 1024 * 1024)] = 4 * 1_048_576

    def faults(self) -> list[Fault]:
        """What is wrong across keys."""
        found = []
        handshake = {
            "provider_outlet_id": self.provider_outlet_id,
            "pos_remote_id": self.pos_remote_id,
            "auth_secret": self.auth_secret,
        }
        missing = [name for name, value in handshake.items() if value is None]
        if self.role == "dial" and self.url is None:
            found.append(Fault("url", 'required with role = "dial": the address of the websocket'))
        if self.role == "listen":
            if self.url is not None:
                found.append(Fault("url", 'not used with role = "listen": the POS opens the connection to [inbound]'))
            found += [Fault(name, 'required with role = "listen": the POS proves itself by it') for name in missing]
        elif self.auth_secret is not None:
            found += [Fault(name, "required beside auth_secret for the token handshake") for name in missing]
        if self.reconnect_min > self.reconnect_max:
            found.append(Fault("reconnect_min", f"expected at most reconnect_max ({self.reconnect_max:g} s)"))
        found += [
            Fault(f"result_codes.{code}", "expected the number of a ResultCode as key, other than 0")
            for code in self.result_codes
            if not code.isdecimal() or int(code) == 0
        ]
        return found

    def merged(self, options: Options) -> Options:
        """A call's options over the session's own."""
        return Options(
            **{name: given if given is not None else getattr(self, name) for name, given in _values(options).items()}
        )


def _values(options: Options) -> dict[str, Any]:
    names = ("device_id", "user", "service_mode_id", "product_type", "apply_automatic_adjustments")
    return {name: getattr(options, name) for name in names}
