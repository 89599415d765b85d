r"""JSON-RPC 2.0 without I/O: lines in, requests out, and the lines that answer them.

The rules, from https://www.jsonrpc.org/specification and from our contract where that is silent:

========================================  ==================================================================
what came                                 what it is
========================================  ==================================================================
bytes up to ``\n`` or ``\r\n``              a line; so is what stands before the end of input. Blank ones are ignored
more than ``max_bytes`` before ``\n``       too long: nothing of it is read, and nothing after it
not JSON, or not the JSON we accept       -32700 with id null
object with ``jsonrpc`` ``"2.0"``,        a request, if it has an ``id`` (null is one); else a notification,
string ``method``                         which is never answered, whatever becomes of it
more than ``MAX_NODES`` values            -32001 with id null, and nothing of it is read
``params``                                object or array; absent, null and an empty array are none; the rest is -32600
``id``                                    string, number (echoed as it was written) or null; the rest are
                                          -32600 with id null
any other member                          ignored, the standard forbids none
anything else                             -32600, with the id if it has a usable one: its caller waits for it
array                                     a batch: each member by the rules above, -32600 for each that is none
empty array                               one -32600, not in an array
array of more than ``max_batch``          one -32001, not in an array: else a short line could ask for a long one
batch of notifications only               no answer at all
========================================  ==================================================================

A batch may be answered in any order. Error texts are the standard's; ``data`` has the members of every error of ours, and
of what was wrong only what :mod:`ordernpay.jsontext` allows to be told.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from typing import TypeAlias

import attrs

from ordernpay.jsontext import JsonError, JsonObject, JsonValue, TooManyValues, dumps, loads

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
TOO_LARGE = -32001
OVERLOADED = -32002

MAX_BATCH = 1000
MAX_NODES = 100_000
MAX_BYTES = 1024 * 1024
_ANSWER_DEPTH = 128
_HTTP = re.compile(rb"[A-Z]{3,10} \S+ HTTP/[0-9]")
_HEADER = re.compile(rb"[A-Za-z][A-Za-z-]{1,40}: *[^\s]")
_SPEAKABLE = re.compile(r"[^A-Za-z0-9_./:-]")

Id: TypeAlias = str | int | Decimal | None
Params: TypeAlias = JsonObject | list[JsonValue] | None


class RpcError(Exception):
    """An error object: what a method answers when it does not succeed.

    Args:
        code: The number from the contract's table.
        message: One short sentence.
        data: Anything further; left out of the error object if ``None``.
    """

    def __init__(self, code: int, message: str, data: JsonValue = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


@attrs.frozen
class Request:
    """A call that waits for an answer."""

    id: Id
    method: str
    params: Params = None


@attrs.frozen
class Notification:
    """A call that is never answered."""

    method: str
    params: Params = None


@attrs.frozen
class Invalid:
    """What can only be answered with an error."""

    error: RpcError
    id: Id = None


Message: TypeAlias = Request | Notification | Invalid


@attrs.frozen
class Batch:
    """Messages that are answered together, in one array."""

    messages: tuple[Message, ...]


@attrs.frozen
class Response:
    """An answer, as the caller gets it: ``error`` is ``None`` if it succeeded."""

    id: Id
    result: JsonValue = None
    error: RpcError | None = None


def error_data(kind: str, *, retryable: bool = False, details: JsonValue = None) -> JsonObject:
    """The ``data`` that the contract promises for an error which no command of a vendor has caused."""
    return {
        "kind": kind,
        "command_id": None,
        "state": None,
        "retryable": retryable,
        "vendor_code": None,
        "vendor_message": None,
        "details": details,
    }


def parse_error(problem: str) -> RpcError:
    """-32700; the problem must be one that may be told."""
    return RpcError(PARSE_ERROR, "Parse error", error_data("parse_error", details=problem))


def invalid_request(problem: str) -> RpcError:
    """-32600; the problem must be one that may be told."""
    return RpcError(INVALID_REQUEST, "Invalid Request", error_data("invalid_request", details=problem))


def method_not_found(method: str, known: Iterable[str] = ()) -> RpcError:
    """-32601, with the method and the one that was probably meant."""
    name, nearest = _SPEAKABLE.sub("?", method)[:64], nearest_of(method, known)
    meant = f"; did you mean {nearest}?" if nearest else ""
    details: JsonObject = {"method": name, "nearest": nearest}
    return RpcError(
        METHOD_NOT_FOUND, f"Method not found: {name}{meant}", error_data("method_not_found", details=details)
    )


def nearest_of(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a mistyped one, if any is like it at all."""
    return next(iter(get_close_matches(name[:64], known, 1)), None)


def other_protocol(line: bytes) -> RpcError | None:
    """-32600 for the first words of another protocol, or of JSON-RPC that is framed in another way; None for anything else."""
    if _HTTP.match(line):
        what = "this is HTTP"
    elif _HEADER.match(line):
        what = "this is a header, as of JSON-RPC with Content-Length"
    else:
        return None
    return invalid_request(f"{what}; this socket takes one JSON value a line, ended by a line break and nothing else")


def internal_error() -> RpcError:
    """-32603, which tells nothing of the inside."""
    return RpcError(INTERNAL_ERROR, "Internal error", error_data("internal_error"))


def too_large(message: str, details: JsonObject) -> RpcError:
    """-32001."""
    return RpcError(TOO_LARGE, message, error_data("too_large", details=details))


def overloaded(message: str, details: JsonObject) -> RpcError:
    """-32002."""
    return RpcError(OVERLOADED, message, error_data("overloaded", retryable=True, details=details))


def parse(line: bytes, *, max_batch: int = MAX_BATCH) -> Message | Batch:
    """Read one line of a caller. Whatever it holds, the answer is one of these and never an exception."""
    try:
        value = loads(line, max_nodes=MAX_NODES)
    except TooManyValues:
        return Invalid(too_large(f"A line of more than {MAX_NODES} values", {"max_values": MAX_NODES}))
    except JsonError as error:
        return Invalid(parse_error(str(error)))
    if not isinstance(value, list):
        return _message(value)
    if not value:
        return Invalid(invalid_request("an empty batch"))
    if len(value) > max_batch:
        return Invalid(too_large(f"A batch of more than {max_batch}", {"max_batch": max_batch}))
    return Batch(tuple(_message(member) for member in value))


def _message(value: JsonValue) -> Message:
    if not isinstance(value, dict):
        return Invalid(invalid_request("not an object"))
    given = value.get("id")
    if isinstance(given, bool | list | dict | float):
        return Invalid(invalid_request("id is neither a string, a number nor null"))
    if value.get("jsonrpc") != "2.0":
        return Invalid(invalid_request('jsonrpc is not "2.0"'), given)
    method = value.get("method")
    if not isinstance(method, str):
        return Invalid(invalid_request("method is not a string"), given)
    params = value.get("params")
    if params is not None and not isinstance(params, dict | list):
        return Invalid(invalid_request("params is neither an object nor an array"), given)
    if isinstance(params, list) and not params:
        params = None
    return Request(given, method, params) if "id" in value else Notification(method, params)


def parse_answer(line: bytes) -> Response | Notification:
    """Read one line of a server, outside of a batch.

    Raises:
        JsonError: It is not JSON, or neither a response nor a notification.
    """
    value = loads(line, max_depth=_ANSWER_DEPTH)
    if not isinstance(value, dict):
        raise JsonError("not an object")
    if "method" in value:
        message = _message(value)
        if not isinstance(message, Notification):
            raise JsonError("neither a response nor a notification")
        return message
    given = value.get("id")
    if isinstance(given, bool | list | dict | float):
        raise JsonError("id is neither a string, a number nor null")
    if "result" in value:
        return Response(given, result=value["result"])
    error = value.get("error")
    if isinstance(error, dict):
        code, text = error.get("code"), error.get("message")
        if isinstance(code, int) and isinstance(text, str):
            return Response(given, error=RpcError(code, text, error.get("data")))
    raise JsonError("neither a response nor a notification")


def request(id_: Id, method: str, params: JsonValue = None) -> str:
    """The text of a call; ``params`` of ``None`` are left out."""
    return _call({"jsonrpc": "2.0", "id": id_, "method": method}, params)


def notification(method: str, params: JsonValue = None) -> str:
    """The text of a call that is not answered; ``params`` of ``None`` are left out."""
    return _call({"jsonrpc": "2.0", "method": method}, params)


def _call(call: JsonObject, params: JsonValue) -> str:
    if params is not None:
        call["params"] = params
    return dumps(call)


def success(id_: Id, result: JsonValue) -> str:
    """The text of a response that succeeded."""
    return success_text(id_, dumps(result))


def success_text(id_: Id, result: str) -> str:
    """The same, where the result is JSON already."""
    return f'{{"jsonrpc":"2.0","id":{dumps(id_)},"result":{result}}}'


def failure(id_: Id, error: RpcError) -> str:
    """The text of a response that did not."""
    content: JsonObject = {"code": error.code, "message": error.message}
    if error.data is not None:
        content["data"] = error.data
    return dumps({"jsonrpc": "2.0", "id": id_, "error": content})


def batch(responses: Iterable[str]) -> str | None:
    """The text that answers a batch, from the texts of its responses; ``None`` if there is nothing to answer."""
    text = ",".join(responses)
    return f"[{text}]" if text else None


def line_of(text: str) -> bytes:
    """A text as it goes over the wire."""
    return text.encode() + b"\n"


class LineBuffer:
    """Cuts what arrives into lines.

    Holds at most ``max_bytes`` and what one :meth:`feed` brings.

    Args:
        max_bytes: How long a line may be, its end apart.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.too_long = False
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived, give the lines that it ended.

        A line that is too long sets :attr:`too_long` and ends the matter: the lines before it are given, it and whatever
        follows are dropped.
        """
        lines: list[bytes] = []
        *ended, rest = (b"",) if self.too_long else data.split(b"\n")
        for piece in ended:
            self._rest += piece
            line = bytes(self._rest).removesuffix(b"\r")
            self._rest.clear()
            if len(line) > self.max_bytes:
                return self._give_up(lines)
            if line.strip(b" \t\r"):
                lines.append(line)
        self._rest += rest
        # A carriage return may yet turn out to belong to the end of the line.
        if len(self._rest) - self._rest.endswith(b"\r") > self.max_bytes:
            return self._give_up(lines)
        return lines

    def finish(self) -> list[bytes]:
        """Take the end of input; give the line that had no end of its own, if any."""
        return self.feed(b"\n") if self._rest else []

    @property
    def held(self) -> int:
        """How many bytes of a line that is not complete wait here."""
        return len(self._rest)

    def _give_up(self, lines: list[bytes]) -> list[bytes]:
        self.too_long = True
        self._rest.clear()
        return lines
