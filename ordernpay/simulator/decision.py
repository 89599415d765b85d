"""What the pretend POS decides about a request.

Source: the examples of https://docs.powerepos.cloud/Document/OrderNPay/MethodUpdateOrder and ``MethodGetUserFromPIN``.
"""

from enum import IntEnum

from attrs import frozen

from ordernpay.simulator.pages import Record, write_json


class ResultCode(IntEnum):
    """``OrderNPayResultCode``: 0, 4 and 6 stand in examples, the others are made up."""

    SUCCESS = 0
    FORBIDDEN = 3
    NOT_FOUND = 4
    IN_USE = 5
    INSUFFICIENT_STOCK = 6
    NOT_PERMITTED = 7


@frozen
class Act:
    """One change that the till made."""

    request_id: str
    message_type: int
    order_id: str
    provider_order_id: str | None = None


@frozen
class Decision:
    """What the till answers, and whether it did something for it."""

    response: Record
    acted: bool = False
    replayed: bool = False

    @property
    def text(self) -> str:
        """The answer as a frame."""
        return write_json(self.response)


class DeclinedError(Exception):
    """The till says no to a request that is well written."""

    def __init__(
        self, code: ResultCode, text: str, *, payload: Record | None = None, message_type: int | None = None
    ) -> None:
        super().__init__(text)
        self.code = code
        self.payload = payload
        self.message_type = message_type


def response(
    request_id: str | None,
    message_type: int | None,
    payload: Record | None,
    code: ResultCode = ResultCode.SUCCESS,
    error: str | None = None,
) -> Record:
    """An ``OrderNPayWebsocketResponse``."""
    return {
        "RequestID": request_id,
        "ResultCode": int(code),
        "ErrorMessage": error,
        "MessageType": message_type,
        "Payload": payload,
    }
