"""What a Python kiosk imports to talk to the daemon.

::

    async with connect() as client:
        answer = await client.call("order.create", {"idempotency_key": key, "order": order})

    async for event in follow(since=last_seen):
        ...

Every command that changes something needs an ``idempotency_key``, which belongs to the order and not to the call. Whatever
happens to a call then, calling again with the same key is safe: the daemon answers with the first command's outcome and
never acts twice.
"""

from ordernpay.client.connection import Client, EventStream, connect
from ordernpay.client.failures import (
    FAILURES,
    Conflict,
    ConnectionLost,
    Expired,
    Forbidden,
    IdempotencyConflict,
    InvalidParams,
    MethodNotFound,
    NoDaemon,
    NotFound,
    NotPermitted,
    OrdernpayError,
    OutcomeUnknown,
    OutOfStock,
    Overloaded,
    Rejected,
    RpcFailure,
    SessionUnavailable,
    ShuttingDown,
    TooLarge,
    TooSlow,
    Unauthorised,
    UnknownSession,
    Unsupported,
    VendorUnavailable,
)
from ordernpay.client.following import follow
from ordernpay.client.wire import default_socket

__all__ = [
    "FAILURES",
    "Client",
    "Conflict",
    "ConnectionLost",
    "EventStream",
    "Expired",
    "Forbidden",
    "IdempotencyConflict",
    "InvalidParams",
    "MethodNotFound",
    "NoDaemon",
    "NotFound",
    "NotPermitted",
    "OrdernpayError",
    "OutOfStock",
    "OutcomeUnknown",
    "Overloaded",
    "Rejected",
    "RpcFailure",
    "SessionUnavailable",
    "ShuttingDown",
    "TooLarge",
    "TooSlow",
    "Unauthorised",
    "UnknownSession",
    "Unsupported",
    "VendorUnavailable",
    "connect",
    "default_socket",
    "follow",
]
