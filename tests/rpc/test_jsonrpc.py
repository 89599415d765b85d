"""JSON-RPC 2.0 to the letter: the standard's own examples, its corners, and whatever else may come."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.jsontext import JsonError, JsonObject, JsonValue, dumps, loads
from ordernpay.rpc import jsonrpc
from ordernpay.rpc.jsonrpc import Batch, Invalid, LineBuffer, Notification, Request, Response, RpcError


def perform(method: str, params: jsonrpc.Params) -> JsonValue:
    """The methods that the standard's examples call."""
    match method, params:
        case "subtract", [int(a), int(b)]:
            return a - b
        case "subtract", {"minuend": int(a), "subtrahend": int(b)}:
            return a - b
        case "sum", [*numbers]:
            return sum(number for number in numbers if isinstance(number, int))
        case "get_data", None:
            return ["hello", 5]
        case (("update" | "foobar" | "notify_hello" | "notify_sum"), _) if method != "foobar":
            return None
    raise jsonrpc.method_not_found(method)


def dispatch(line: bytes) -> str | None:
    """The smallest server there can be."""
    parsed = jsonrpc.parse(line)
    if isinstance(parsed, Batch):
        answers = (answer_to(message) for message in parsed.messages)
        return jsonrpc.batch(answer for answer in answers if answer is not None)
    return answer_to(parsed)


def answer_to(message: jsonrpc.Message) -> str | None:
    if isinstance(message, Invalid):
        return jsonrpc.failure(message.id, message.error)
    if isinstance(message, Notification):
        return None
    try:
        return jsonrpc.success(message.id, perform(message.method, message.params))
    except RpcError as error:
        return jsonrpc.failure(message.id, error)


def without_data(answer: JsonValue) -> JsonValue:
    """The examples show no ``data``, which the standard leaves to the server."""
    if isinstance(answer, list):
        return [without_data(member) for member in answer]
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        error = answer["error"]
        assert isinstance(error, dict)
        return {**answer, "error": {key: value for key, value in error.items() if key != "data"}}
    return answer


PARSE_ERROR: JsonObject = {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}
INVALID: JsonObject = {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": None}


def no_method(method: str, id_: JsonValue) -> JsonObject:
    return {"jsonrpc": "2.0", "error": {"code": -32601, "message": f"Method not found: {method}"}, "id": id_}


def ok(result: JsonValue, id_: JsonValue) -> JsonObject:
    return {"jsonrpc": "2.0", "result": result, "id": id_}


SPECIFICATION = [
    ('{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', ok(19, 1)),
    ('{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}', ok(-19, 2)),
    ('{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}', ok(19, 3)),
    ('{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}', ok(19, 4)),
    ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
    ('{"jsonrpc": "2.0", "method": "foobar"}', None),
    ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', no_method("foobar", "1")),
    ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', PARSE_ERROR),
    ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', INVALID),
    ('[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]', PARSE_ERROR),
    ("[]", INVALID),
    ("[1]", [INVALID]),
    ("[1,2,3]", [INVALID, INVALID, INVALID]),
    (
        (
            '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
            ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
            ' {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},'
            ' {"foo": "boo"},'
            ' {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},'
            ' {"jsonrpc": "2.0", "method": "get_data", "id": "9"}]'
        ),
        [ok(7, "1"), ok(19, "2"), INVALID, no_method("foo.get", "5"), ok(["hello", 5], "9")],
    ),
    (
        (
            '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},'
            ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]'
        ),
        None,
    ),
]


@pytest.mark.parametrize(("line", "expected"), SPECIFICATION)
def test_the_examples_of_the_standard(line: str, expected: JsonValue) -> None:
    answer = dispatch(line.encode())
    assert (None if answer is None else without_data(loads(answer))) == expected


@pytest.mark.parametrize("id_", ["1", '""', '"é"', "0", "-7", "1.50", "1e2", "12345678901234567890", "null"])
def test_an_id_is_echoed_as_it_was_written(id_: str) -> None:
    answer = dispatch(b'{"jsonrpc":"2.0","method":"get_data","id":%s}' % id_.encode())
    assert answer is not None
    assert loads(answer) == ok(["hello", 5], loads(id_))
    if id_ != "1e2":
        assert f'"id":{id_},' in answer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (jsonrpc.parse_error("x"), "parse_error"),
        (jsonrpc.invalid_request("x"), "invalid_request"),
        (jsonrpc.method_not_found("x"), "method_not_found"),
        (jsonrpc.internal_error(), "internal_error"),
        (jsonrpc.too_large("x", {}), "too_large"),
        (jsonrpc.overloaded("x", {}), "overloaded"),
    ],
)
def test_every_error_has_the_members_that_the_contract_promises(error: RpcError, kind: str) -> None:
    promised = {"kind", "command_id", "state", "retryable", "vendor_code", "vendor_message", "details"}
    assert isinstance(error.data, dict)
    assert error.data.keys() == promised
    assert error.data["kind"] == kind
    assert (error.data["command_id"], error.data["state"]) == (None, None)


@pytest.mark.parametrize("id_", ["true", "false", "[1]", "{}"])
def test_an_id_of_another_type_is_an_invalid_request_with_id_null(id_: str) -> None:
    parsed = jsonrpc.parse(b'{"jsonrpc":"2.0","method":"get_data","id":%s}' % id_.encode())
    assert isinstance(parsed, Invalid)
    assert parsed.error.code == jsonrpc.INVALID_REQUEST
    assert parsed.id is None


@pytest.mark.parametrize(
    "members",
    [
        '"method":"m"',
        '"jsonrpc":"1.0","method":"m"',
        '"jsonrpc":2.0,"method":"m"',
        '"jsonrpc":"2.0"',
        '"jsonrpc":"2.0","method":null',
        '"jsonrpc":"2.0","method":["m"]',
        '"jsonrpc":"2.0","method":"m","params":1',
        '"jsonrpc":"2.0","method":"m","params":"p"',
        '"jsonrpc":"2.0","method":"m","params":true',
        '"jsonrpc":"2.0","result":1',
    ],
)
def test_an_invalid_request_is_answered_to_its_id_where_it_has_one(members: str) -> None:
    for suffix, id_ in (("", None), (',"id":7', 7)):
        parsed = jsonrpc.parse(f"{{{members}{suffix}}}".encode())
        assert isinstance(parsed, Invalid)
        assert (parsed.error.code, parsed.id) == (jsonrpc.INVALID_REQUEST, id_)


@pytest.mark.parametrize("line", [b"1", b'"x"', b"null", b"true", b"1.5"])
def test_what_is_no_object_is_an_invalid_request(line: bytes) -> None:
    parsed = jsonrpc.parse(line)
    assert isinstance(parsed, Invalid)
    assert parsed.error.code == jsonrpc.INVALID_REQUEST


def test_other_members_are_ignored() -> None:
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","method":"m","id":1,"trace":{"a":1}}') == Request(1, "m")
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","method":"m","params":{},"x":0}') == Notification("m", {})


@pytest.mark.parametrize(
    "line",
    [b"\xff", b"[" * 5000, b'{"a":1,"a":2}', b'{"id":1e400}', b'"\\ud800"', b'{"pin":"4711" "4711"}'],
)
def test_text_that_we_do_not_accept_is_a_parse_error_that_repeats_nothing(line: bytes) -> None:
    parsed = jsonrpc.parse(line)
    assert isinstance(parsed, Invalid)
    assert (parsed.error.code, parsed.id) == (jsonrpc.PARSE_ERROR, None)
    assert isinstance(parsed.error.data, dict)
    assert parsed.error.data["kind"] == "parse_error"
    assert "position" in str(parsed.error.data["details"])
    assert "4711" not in jsonrpc.failure(None, parsed.error)


def test_a_batch_has_a_bound() -> None:
    assert isinstance(jsonrpc.parse(b"[1,2,3]", max_batch=3), Batch)
    parsed = jsonrpc.parse(b"[1,2,3,4]", max_batch=3)
    assert isinstance(parsed, Invalid)
    assert parsed.error.code == jsonrpc.TOO_LARGE


def test_texts_of_calls_are_read_as_they_were_meant() -> None:
    assert jsonrpc.parse(jsonrpc.request(1, "m", {"a": Decimal("1.00")}).encode()) == Request(
        1, "m", {"a": Decimal("1.00")}
    )
    assert jsonrpc.parse(jsonrpc.request(None, "m").encode()) == Request(None, "m")
    assert jsonrpc.parse(jsonrpc.notification("m", [1]).encode()) == Notification("m", [1])
    assert jsonrpc.line_of(jsonrpc.notification("é")) == '{"jsonrpc":"2.0","method":"é"}\n'.encode()


def test_answers_are_read_as_they_were_meant() -> None:
    assert jsonrpc.parse_answer(jsonrpc.success(1, None).encode()) == Response(1, None)
    assert jsonrpc.parse_answer(jsonrpc.notification("event", {"a": 1}).encode()) == Notification("event", {"a": 1})
    for error in (RpcError(5, "five"), jsonrpc.internal_error(), jsonrpc.overloaded("full", {"in_flight": 1})):
        response = jsonrpc.parse_answer(jsonrpc.failure("x", error).encode())
        assert isinstance(response, Response)
        assert response.error is not None
        assert (response.id, response.error.code, response.error.message) == ("x", error.code, error.message)
        assert response.error.data == error.data


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"1",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":true,"result":1}',
        b'{"jsonrpc":"2.0","id":1,"error":5}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":"5","message":"m"}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":5}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m"}',
        b'{"jsonrpc":"2.0","method":5}',
    ],
)
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(JsonError):
        jsonrpc.parse_answer(line)


json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["2.0", "subtract", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_gets_an_answer_that_the_standard_knows(value: JsonValue) -> None:
    answer = dispatch(dumps(value).encode())
    if answer is None:
        return
    answers = loads(answer)
    for one in answers if isinstance(answers, list) else [answers]:
        assert isinstance(one, dict)
        assert one["jsonrpc"] == "2.0"
        assert isinstance(one["id"], str | int | Decimal | None)
        assert ("result" in one) is not ("error" in one)


@given(st.binary())
def test_any_bytes_get_an_answer_or_none(line: bytes) -> None:
    answer = dispatch(line)
    assert answer is None or loads(answer) is not None


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"", b" ", b"\r", b"12345678", b"12345678\r"])), st.data())
def test_the_boundaries_of_chunks_do_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(pieces)
    whole = LineBuffer(8)
    expected = whole.feed(stream)
    cut = LineBuffer(8)
    lines: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        lines += cut.feed(stream[:size])
        stream = stream[size:]
        assert len(cut._rest) <= 8 + 1
    assert (lines, cut.too_long) == (expected, whole.too_long)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_exactly_the_bound_is_read_and_one_byte_more_is_not(end: bytes) -> None:
    buffer = LineBuffer(8)
    assert buffer.feed(b"12345678" + end + b"x") == [b"12345678"]
    assert not buffer.too_long
    assert LineBuffer(8).feed(b"12345678" + end) == [b"12345678"]
    over = LineBuffer(8)
    assert over.feed(b"1" + end + b"123456789" + end + b"2" + end) == [b"1"]
    assert over.too_long
    assert over.feed(b"3\n") == []


def test_an_endless_line_is_given_up_before_it_ends() -> None:
    buffer = LineBuffer(8)
    assert buffer.feed(b"12345678\r") == []
    assert not buffer.too_long
    assert buffer.feed(b"\r") == []
    assert buffer.too_long


def test_blank_lines_are_ignored_and_half_a_line_is_not_given() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"\n\r\n \t\n{}\r\n{") == [b"{}"]
    assert buffer.feed(b"}") == []
    assert buffer.feed(b"\n") == [b"{}"]


def test_the_standard_library_reads_what_is_written() -> None:
    text = jsonrpc.batch([jsonrpc.success(1, {"a": "b"}), jsonrpc.failure(None, jsonrpc.invalid_request("x"))])
    assert text is not None
    assert len(json.loads(text)) == 2
    assert jsonrpc.batch([]) is None


@pytest.mark.parametrize("params", ["null", "[]"])
def test_no_params_may_be_told_as_null_or_an_empty_array(params: str) -> None:
    line = f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}'
    assert jsonrpc.parse(line.encode()) == Request(1, "m", None)


def test_the_last_line_needs_no_end() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"1\n2") == [b"1"]
    assert buffer.held == 1
    assert buffer.finish() == [b"2"]
    assert (buffer.finish(), buffer.held) == ([], 0)
    buffer.feed(b" \t\r")
    assert buffer.finish() == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"GET / HTTP/1.1", "HTTP"),
        (b"POST /rpc HTTP/2", "HTTP"),
        (b"Content-Length: 74", "Content-Length"),
        (b"content-type: application/vscode-jsonrpc; charset=utf-8", "Content-Length"),
    ],
)
def test_another_protocol_is_known_by_its_first_line(line: bytes, word: str) -> None:
    error = jsonrpc.other_protocol(line)
    assert error is not None
    assert error.code == jsonrpc.INVALID_REQUEST
    assert word in str(error.data)


@pytest.mark.parametrize("line", [b'{"a": 1}', b"[1]", b'"a: b"', b"{oops", b"null", b"GET", b""])
def test_no_json_and_no_typing_error_is_taken_for_another_protocol(line: bytes) -> None:
    assert jsonrpc.other_protocol(line) is None


def test_a_line_of_too_many_values_is_too_large() -> None:
    line = '{"jsonrpc":"2.0","id":1,"method":"m","params":[' + "1," * jsonrpc.MAX_NODES + "1]}"
    parsed = jsonrpc.parse(line.encode())
    assert isinstance(parsed, Invalid)
    assert (parsed.error.code, parsed.id) == (jsonrpc.TOO_LARGE, None)
