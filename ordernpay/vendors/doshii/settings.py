"""What a session of Doshii can be told, in the configuration and with each call."""

from typing import Annotated, Any, Literal

import attrs
from attrs import field, frozen

from ordernpay.config import Interval, Secret, SessionConfig
from ordernpay.conversion import Fault
from ordernpay.rules import Text
from ordernpay.vendors.paths import climbs

Word = Annotated[str, Text(1, 1_000)]
Words = tuple[Word, ...]


@frozen
class Options:
    """`options` of a call; each is also a key of the session's configuration and is its default.

    Attributes:
        checkin_id: an open check-in, for an order at a table.
        meal_phase: such as ``ordered`` or ``main_preparing``.
        pos_terminal_id: hashed id of a POS terminal.
        members: loyalty member references.
        manually_processed: true needs certification by Doshii.
    """

    checkin_id: Word | None = None
    meal_phase: Word | None = None
    pos_terminal_id: Word | None = None
    members: Words | None = None
    manually_processed: bool | None = None


@frozen(kw_only=True)
class DoshiiConfig(SessionConfig):
    """`[sessions.NAME]` with `vendor = "doshii"`.

    Attributes:
        base_url: address of the partner API, https://.
        socket_url: address of the socket for events, wss://; without it, they come by webhook to [inbound].
        location_id: hashed id of the location.
        client_id: what Doshii gave your app.
        client_secret: the secret to it.
        webhook_key: key of webhooks that prove themselves by Basic; needs webhook_token.
        webhook_token: token of webhooks; without it, none is taken.
        consumer_name: name on orders without a customer.
        items_body: how lines that are appended are sent: a bare array, or an object with the order's version.
        device_id: sent with the socket's address.
        error_delays: pauses between tries of what may be repeated, in seconds.
        unavailable_seconds: pause after a 503.
        lookup_seconds: pause between two lookups of an order or payment whose create was not answered.
        reconcile_seconds: how often orders and payments without an outcome are looked for afterwards, at first.
        probe_seconds: how often it is looked whether Doshii is there.
        connect_timeout: seconds within which a connection stands.
        ping_interval: seconds between two pings.
        ping_timeout: seconds without an answer to one after which the connection is given up.
        stable_seconds: how long a connection stood for its loss to be worth a try at once.
        refused_retry: seconds until the socket's next try once Doshii refused us.
        reconnect_min: shortest ceiling of the back-off, in seconds.
        reconnect_max: longest one.
    """

    base_url: str = field(metadata={"schemes": ("https", "http")})
    socket_url: str | None = field(default=None, metadata={"schemes": ("wss", "ws")})
    location_id: Word
    client_id: Word
    client_secret: Secret
    webhook_key: Secret | None = None
    webhook_token: Secret | None = None
    checkin_id: Word | None = None
    meal_phase: Word | None = None
    pos_terminal_id: Word | None = None
    members: Words = ()
    manually_processed: bool = False
    consumer_name: Word = "Guest"
    items_body: Literal["array", "versioned"] = "array"
    device_id: Word | None = None
    error_delays: tuple[Interval, ...] = (0.5, 1.0, 2.0)
    unavailable_seconds: Interval = 5.0
    lookup_seconds: Interval = 1.0
    reconcile_seconds: Interval = 30.0
    probe_seconds: Interval = 60.0
    connect_timeout: Interval = 10.0
    ping_interval: Interval = 30.0
    ping_timeout: Interval = 10.0
    stable_seconds: Interval = 5.0
    refused_retry: Interval = 60.0
    reconnect_min: Interval = 0.1
    reconnect_max: Interval = 30.0

    def faults(self) -> list[Fault]:
        """What is wrong across keys."""
        faults: list[Fault] = []
        if self.webhook_key is not None and self.webhook_token is None:
            faults.append(Fault("webhook_token", "required beside webhook_key: Doshii sends both, as Basic key:token"))
        if climbs(self.location_id):
            faults.append(Fault("location_id", f"expected a hashed id, got {self.location_id[:60]!r}"))
        return faults

    def merged(self, options: Options) -> Options:
        """A call's options over the session's own."""
        given: dict[str, Any] = {entry.name: getattr(options, entry.name) for entry in attrs.fields(Options)}
        return Options(**{name: value if value is not None else getattr(self, name) for name, value in given.items()})
