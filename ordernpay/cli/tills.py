"""The simulated Order N Pay tills of `demo` and `simulate`, each with the configuration that reaches it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from ordernpay.addresses import is_loopback
from ordernpay.simulator.faults import Faults
from ordernpay.simulator.order_n_pay import Credentials, dial, serve
from ordernpay.simulator.shop import CREATE_PAYMENT, GET_ORDER, PROVIDER_ID, SIMULATE_ORDER, STAFF, Shop
from ordernpay.simulator.till import Till as Connections

SERVICE_MODE: Final = "7a7a7a7a-0000-4000-8000-000000000009"
CREDENTIALS: Final = Credentials("venue-42", "remote-7", "for-the-simulator-only")
MESSAGE_TYPES: Final = (
    f"{{ simulate_order = {SIMULATE_ORDER}, create_payment = {CREATE_PAYMENT}, get_order = {GET_ORDER} }}"
)


@frozen
class Till:
    """A till that runs.

    Attributes:
        session: The session's name in the configuration.
        role: The daemon's part: ``dial`` or ``listen``.
        connections: Its end of the websockets.
        control: Where its HTTP helpers are.
        toml: The session's table in the configuration.
    """

    session: str
    role: str
    connections: Connections
    control: str
    toml: str

    @property
    def shop(self) -> Shop:
        """What acts and answers."""
        return self.connections.shop

    @property
    def faults(self) -> Faults:
        """What goes wrong on the way."""
        return self.connections.faults


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False)


@asynccontextmanager
async def listening_till(session: str, host: str, port: int) -> AsyncIterator[Till]:
    """A till that listens, for a session that dials.

    Raises:
        OSError: It cannot listen there.
    """
    async with serve(Shop(), host=host, port=port) as pos:
        lines = ['role = "dial"', f"url = {quoted(pos.url)}"]
        if not is_loopback(host):
            lines.append("allow_insecure = true")
        yield Till(session, "dial", pos, pos.base_url, _session_toml(session, lines))


@asynccontextmanager
async def dialling_till(session: str, daemon: str, host: str, port: int) -> AsyncIterator[Till]:
    """A till that dials the daemon, for a session that listens, with its HTTP helpers at an address of their own.

    Raises:
        OSError: The helpers cannot listen there.
    """
    shop, faults = Shop(), Faults()
    async with (
        serve(shop, host=host, port=port, auth=CREDENTIALS, faults=faults) as helpers,
        dial(shop, daemon, CREDENTIALS, faults=faults) as pos,
    ):
        lines = [
            'role = "listen"',
            f"provider_outlet_id = {quoted(CREDENTIALS.provider_outlet_id)}",
            f"pos_remote_id = {quoted(CREDENTIALS.pos_remote_id)}",
            f"auth_secret = {quoted(CREDENTIALS.auth_secret)}",
        ]
        yield Till(session, "listen", pos, helpers.base_url, _session_toml(session, lines))


def inbound_toml(daemon: str) -> str:
    """The table of the daemon's HTTP door, for tills that dial ``daemon``."""
    place = urlsplit(daemon)
    return f"[inbound]\nhost = {quoted(place.hostname or '127.0.0.1')}\nport = {place.port or 80}\n"


def _session_toml(session: str, connection: list[str]) -> str:
    lines = [
        f"[sessions.{session}]",
        'vendor = "order-n-pay"',
        *connection,
        f"provider_id = {PROVIDER_ID}",
        'provider_name = "Example Provider"',
        'device_id = "KIOSK-1"',
        f"user = {quoted(STAFF[0].user_id)}",
        f"service_mode_id = {quoted(SERVICE_MODE)}",
        f"message_types = {MESSAGE_TYPES}",
    ]
    return "\n".join(lines) + "\n"
