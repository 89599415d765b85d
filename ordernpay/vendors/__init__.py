"""The vendors that the daemon speaks to; a new one is one folder here and one line in the table below."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from ordernpay.clock import Clock
from ordernpay.config import Inbound, SessionConfig
from ordernpay.redaction import Redactor, register
from ordernpay.vendors.doshii.session import DoshiiSession
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.order_n_pay.session import OrderNPaySession
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.protocol import Publish, Session
from ordernpay.vendors.redacted import RedactedPublish, RedactedSession, secrets_of
from ordernpay.vendors.ros.session import RosSession
from ordernpay.vendors.ros.settings import RosConfig
from ordernpay.vendors.tevalis.session import TevalisSession
from ordernpay.vendors.tevalis.settings import TevalisConfig


@frozen
class Vendor:
    """One vendor: how its sessions are configured and opened."""

    name: str
    config: type[SessionConfig]
    open: Callable[[str, Any, Inbound, Publish, Clock], Session]


VENDORS: Final[Mapping[str, Vendor]] = {
    vendor.name: vendor
    for vendor in (
        Vendor("order-n-pay", OrderNPayConfig, OrderNPaySession),
        Vendor("ros", RosConfig, RosSession),
        Vendor("tevalis", TevalisConfig, TevalisSession),
        Vendor("doshii", DoshiiConfig, DoshiiSession),
    )
}

CONFIGS: Final[Mapping[str, type[SessionConfig]]] = {name: vendor.config for name, vendor in VENDORS.items()}


def open_session(name: str, config: SessionConfig, inbound: Inbound, publish: Publish, clock: Clock) -> Session:
    """A session as its configuration says, not yet running; its secrets never pass."""
    redactor = register(name, Redactor(secrets_of(config)))
    session = VENDORS[config.vendor].open(name, config, inbound, RedactedPublish(publish, redactor), clock)
    return RedactedSession(session, redactor)
