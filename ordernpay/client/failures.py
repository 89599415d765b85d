"""What a kiosk's call can raise: the contract's table of errors, as exceptions."""

from collections.abc import Mapping
from types import MappingProxyType

from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.rpc import jsonrpc
from ordernpay.rpc.jsonrpc import RpcError


class OrdernpayError(Exception):
    """Whatever goes wrong between a kiosk and the daemon."""


class NoDaemon(OrdernpayError):
    """Nobody answers at the socket, whose path the text names. Nothing was sent."""


class NotPermitted(OrdernpayError):
    """The socket may not be opened by this user."""


class TooSlow(OrdernpayError):
    """Events came faster than they were taken. Subscribe again since the stream's ``position``: none is lost."""


class ConnectionLost(OrdernpayError):
    """The connection ended while a call was not answered: the daemon may go on with the command, or never have seen it.

    Call again with the same ``idempotency_key`` to learn the outcome.

    Attributes:
        sent: ``False`` if the call certainly never left.
    """

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent


class RpcFailure(OrdernpayError):
    """The daemon answered with an error; its subclasses are the contract's table.

    Attributes:
        code: The number.
        message: One sentence, for people.
        data: What came with it; empty if nothing did.
    """

    def __init__(self, code: int, message: str, data: JsonObject) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    @property
    def kind(self) -> str | None:
        """The word for :attr:`code`."""
        return _text(self.data.get("kind"))

    @property
    def state(self) -> str | None:
        """How the command ended: ``rejected``, ``failed``, ``unknown``; ``None`` if there was none."""
        return _text(self.data.get("state"))

    @property
    def command_id(self) -> str | None:
        """The command, if there was one."""
        return _text(self.data.get("command_id"))

    @property
    def retryable(self) -> bool:
        """Whether the same call, key kept, may help later."""
        return self.data.get("retryable") is True

    @property
    def vendor_code(self) -> JsonValue:
        """The vendor's own number or word."""
        return self.data.get("vendor_code")

    @property
    def vendor_message(self) -> str | None:
        """The vendor's own words."""
        return _text(self.data.get("vendor_message"))

    @property
    def details(self) -> JsonValue:
        """Further members, by the kind."""
        return self.data.get("details")

    def __str__(self) -> str:
        return f"{self.message} ({self.kind or 'error'}, {self.code})"


class InvalidParams(RpcFailure):
    """The params are wrong; ``details`` lists each fault. Nothing was sent."""


class MethodNotFound(RpcFailure):
    """The daemon has no such method."""


class SessionUnavailable(RpcFailure):
    """The session is down; nothing was sent."""


class TooLarge(RpcFailure):
    """The call is longer than the daemon reads."""


class Overloaded(RpcFailure):
    """A bound of the daemon was reached; nothing was done."""


class Forbidden(RpcFailure):
    """This local user may not call this."""


class Unsupported(RpcFailure):
    """The session's vendor has no such command."""


class IdempotencyConflict(RpcFailure):
    """The key was used before, for something else."""


class ShuttingDown(RpcFailure):
    """The daemon takes no more commands."""


class UnknownSession(RpcFailure):
    """There is no such session."""


class Rejected(RpcFailure):
    """The vendor said no."""


class NotFound(RpcFailure):
    """The vendor does not know the order, user or the like."""


class OutOfStock(RpcFailure):
    """``details["products"]`` lists what is missing."""


class Unauthorised(RpcFailure):
    """The vendor does not accept the daemon's credentials, or their rights."""


class Conflict(RpcFailure):
    """The order changed meanwhile, or is in use."""


class OutcomeUnknown(RpcFailure):
    """It was sent, and no answer came in time: it may or may not have had an effect."""


class Expired(RpcFailure):
    """The timeout passed before it was sent; it will not be sent."""


class VendorUnavailable(RpcFailure):
    """The vendor could not act; certainly without effect."""


FAILURES: Mapping[int, type[RpcFailure]] = MappingProxyType(
    {
        jsonrpc.METHOD_NOT_FOUND: MethodNotFound,
        jsonrpc.INVALID_PARAMS: InvalidParams,
        -32000: SessionUnavailable,
        jsonrpc.TOO_LARGE: TooLarge,
        jsonrpc.OVERLOADED: Overloaded,
        -32003: Forbidden,
        -32004: Unsupported,
        -32005: IdempotencyConflict,
        -32006: ShuttingDown,
        -32007: UnknownSession,
        1001: Rejected,
        1002: NotFound,
        1003: OutOfStock,
        1004: Unauthorised,
        1005: Conflict,
        1006: OutcomeUnknown,
        1007: Expired,
        1008: VendorUnavailable,
    }
)


def failure_of(error: RpcError) -> RpcFailure:
    """The exception that an error object stands for."""
    data: JsonObject = error.data if isinstance(error.data, dict) else {}
    return FAILURES.get(error.code, RpcFailure)(error.code, error.message, data)


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None
