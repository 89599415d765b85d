"""What can go wrong on the way of a request, planned ahead, one fault a request."""

import uuid
from enum import StrEnum
from typing import Any, Final

from attrs import define

from ordernpay.simulator.decision import Decision
from ordernpay.simulator.pages import FieldError, Record, read_json, write_json
from ordernpay.simulator.shop import CREATE_ORDER, GET_ORDER

GARBAGE: Final = "{ this is not JSON"


class Fault(StrEnum):
    """What the POS does wrong. It acts on the request unless said otherwise."""

    DROP_BEFORE = "drop_before"
    """Cuts the connection as the request arrives, and does not act."""
    DROP_AFTER = "drop_after"
    """Acts, then cuts the connection without an answer."""
    LATE = "late"
    """Answers after ``seconds``, over the newest connection then; with none, over the next."""
    SILENT = "silent"
    """Never answers."""
    DEAF = "deaf"
    """Neither acts nor answers."""
    GARBAGE = "garbage"
    """Answers with a text that is not JSON."""
    FOREIGN_MESSAGE_TYPE = "foreign_message_type"
    """Answers with the message type of another method."""
    TWICE = "twice"
    """Answers twice."""
    FOR_SOMEONE_ELSE = "for_someone_else"
    """Sends an answer to a ``RequestID`` that nobody sent, then the right one."""
    PAYLOAD_NULL = "payload_null"
    """Answers with a null payload."""
    PAYLOAD_NULLS = "payload_nulls"
    """Answers with a payload whose fields are all null."""
    UNKNOWN_RESULT_CODE = "unknown_result_code"
    """Does not act, and answers with ``result_code`` and a null payload."""
    REORDER = "reorder"
    """Holds the answer until the next answer was sent."""
    TOO_BIG = "too_big"
    """Closes the connection with 1009, and does not act."""
    UNKNOWN_FIELDS = "unknown_fields"
    """Answers in the casing of the model pages (camelCase), with fields that no page has."""


@define
class Planned:
    """A fault for the next ``count`` requests, or for those of one ``message_type`` (None: any)."""

    fault: Fault
    count: int = 1
    message_type: int | None = None
    seconds: float = 1.0
    result_code: int = 99


class Faults:
    """The faults to come, first planned first met; ``met`` lists those that were."""

    def __init__(self, *planned: Planned) -> None:
        self.planned = list(planned)
        self.met: list[Fault] = []

    def plan(
        self,
        fault: Fault,
        *,
        count: int = 1,
        message_type: int | None = None,
        seconds: float = 1.0,
        result_code: int = 99,
    ) -> None:
        """Have ``fault`` befall the next requests, after those that were planned before."""
        self.planned.append(Planned(fault, count, message_type, seconds, result_code))

    def clear(self) -> None:
        """Forget all faults that were not met yet."""
        self.planned.clear()

    def take(self, message_type: int | None) -> Planned | None:
        """The fault that befalls a request of this type now, if any."""
        for planned in self.planned:
            if planned.message_type in {None, message_type}:
                planned.count -= 1
                if planned.count <= 0:
                    self.planned.remove(planned)
                self.met.append(planned.fault)
                return planned
        return None


def peek(frame: str) -> Record:
    """What a request says of itself; nothing if it cannot be read."""
    try:
        message = read_json(frame)
    except FieldError:
        return {}
    return message if isinstance(message, dict) else {}


def refused(planned: Planned, request: Record) -> str:
    """The answer with a result code that no page names."""
    return write_json(
        {
            "RequestID": request.get("RequestID"),
            "ResultCode": planned.result_code,
            "ErrorMessage": "Something that no page names.",
            "MessageType": request.get("MessageType"),
            "Payload": None,
        }
    )


def answers(fault: Fault, decision: Decision) -> list[str]:
    """The frames that tell of a decision, with the fault worked into them."""
    response = decision.response
    told: list[Record]
    match fault:
        case Fault.GARBAGE:
            return [GARBAGE]
        case Fault.TWICE:
            told = [response, response]
        case Fault.FOR_SOMEONE_ELSE:
            told = [{**response, "RequestID": str(uuid.uuid4())}, response]
        case Fault.FOREIGN_MESSAGE_TYPE:
            foreign = CREATE_ORDER if response["MessageType"] == GET_ORDER else GET_ORDER
            told = [{**response, "MessageType": foreign}]
        case Fault.PAYLOAD_NULL:
            told = [{**response, "Payload": None}]
        case Fault.PAYLOAD_NULLS:
            names = response["Payload"] or ("Order", "OutOfStockProducts")
            told = [{**response, "Payload": dict.fromkeys(names)}]
        case Fault.UNKNOWN_FIELDS:
            told = [_as_model_page(response)]
        case _:
            told = [response]
    return [write_json(one) for one in told]


def _as_model_page(value: Any) -> Any:
    match value:
        case dict():
            named = {_camel_case(name): _as_model_page(held) for name, held in value.items()}
            return {"addedByANewVersion": {"since": [2]}, **named}
        case list():
            return [_as_model_page(held) for held in value]
        case _:
            return value


def _camel_case(name: str) -> str:
    """Lower the leading capitals but for the one that starts the next word: ``PLUIdentifier``, ``pluIdentifier``."""
    capitals = next((place for place, letter in enumerate(name) if not letter.isupper()), len(name))
    lowered = capitals if capitals in {1, len(name)} else capitals - 1
    return name[:lowered].lower() + name[lowered:]
