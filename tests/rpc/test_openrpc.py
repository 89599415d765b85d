"""The OpenRPC document: complete, valid in shape, and of one mind with the checks."""

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ordernpay.commands import COMMANDS
from ordernpay.conversion import Faults, structure
from ordernpay.jsontext import dumps, loads
from ordernpay.outcomes import KINDS
from ordernpay.rpc.methods import METHODS, openrpc
from ordernpay.rpc.openrpc import RESULTS
from tests.support.schemas import ANY, allows, examples, unknown_keywords

DOCUMENT: Any = loads(dumps(openrpc()))
SCHEMAS: Any = DOCUMENT["components"]["schemas"]
DESCRIBED: dict[str, Any] = {method["name"]: method for method in DOCUMENT["methods"]}

CONTRACT = {
    "order.quote", "order.create", "order.update", "order.cancel", "order.get", "order.list", "payment.create",
    "user.lookup", "menu.get", "vendor.request", "session.list", "session.get", "session.reconnect", "command.get",
    "command.list", "command.retry", "command.resolve", "event.subscribe", "event.unsubscribe", "event.list",
    "daemon.status", "rpc.discover",
}  # fmt: skip
CLASSES: dict[str, list[type[Any]]] = {name: [kind.params, kind.shared] for name, kind in COMMANDS.items()} | {
    name: [method.params] for name, method in METHODS.items()
}
PARAMS = [(cls, method) for method, classes in sorted(CLASSES.items()) for cls in classes if attrs.fields(cls)]
IDS = [f"{method}-{cls.__name__}" for cls, method in PARAMS]
no_slow_data = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def schema_of(cls: type[Any], method: str) -> dict[str, Any]:
    """The params of one class, as one object's schema."""
    names = {field.name for field in attrs.fields(cls)}
    params = [param for param in DESCRIBED[method]["params"] if param["name"] in names]
    return {
        "type": "object",
        "properties": {param["name"]: param["schema"] for param in params},
        "required": [param["name"] for param in params if param["required"]],
        "additionalProperties": False,
    }


def takes(cls: type[Any], value: Any) -> bool:
    try:
        structure(value, cls)
    except Faults:
        return False
    return True


def test_the_document_has_every_method_of_the_contract_and_no_other() -> None:
    assert set(DESCRIBED) == CONTRACT
    assert len(DOCUMENT["methods"]) == len(CONTRACT)


def test_the_document_is_valid_in_shape() -> None:
    assert DOCUMENT["openrpc"].count(".") == 2
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for method in DOCUMENT["methods"]:
        assert method["paramStructure"] == "by-name"
        assert method["summary"]
        names = [param["name"] for param in method["params"]]
        assert len(set(names)) == len(names)
        for param in method["params"]:
            assert set(param) >= {"name", "schema", "required"}
            assert unknown_keywords(param["schema"]) == []
        assert {"name", "schema"} == set(method["result"])
        for error in method["errors"]:
            assert error["$ref"].rsplit("/", 1)[1] in DOCUMENT["components"]["errors"]
    for schema in SCHEMAS.values():
        assert unknown_keywords(schema) == []


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere() -> None:
    components = DOCUMENT["components"]
    for reference in references(DOCUMENT):
        _, _, group, name = reference.split("/")
        assert name in components[group], reference


def test_every_error_of_the_contract_is_there_with_its_code() -> None:
    errors = DOCUMENT["components"]["errors"]
    assert {name: error["code"] for name, error in errors.items()} == {kind.name: kind.code for kind in KINDS.values()}


@pytest.mark.parametrize("method", sorted(CLASSES))
def test_each_param_known_to_the_checks_is_in_the_document(method: str) -> None:
    known = {field.name: field.default is attrs.NOTHING for cls in CLASSES[method] for field in attrs.fields(cls)}
    assert {param["name"]: param["required"] for param in DESCRIBED[method]["params"]} == known


def test_the_result_of_each_command_is_described() -> None:
    assert set(RESULTS) == set(COMMANDS)
    for name in COMMANDS:
        described = DESCRIBED[name]["result"]["schema"]["properties"]["result"]["properties"]
        assert set(described) == set(RESULTS[name])


@pytest.mark.parametrize(("cls", "method"), PARAMS, ids=IDS)
def test_a_default_is_a_value_that_its_own_schema_allows(cls: type[Any], method: str) -> None:
    for name, schema in schema_of(cls, method)["properties"].items():
        if "default" in schema:
            bare = {key: value for key, value in schema.items() if key != "default"}
            assert allows(bare, schema["default"], SCHEMAS), name


@pytest.mark.parametrize(("cls", "method"), PARAMS, ids=IDS)
def test_what_the_document_allows_the_checks_take(cls: type[Any], method: str) -> None:
    schema = schema_of(cls, method)

    @no_slow_data
    @given(examples(schema, SCHEMAS))
    def check(value: Any) -> None:
        assume(allows(schema, value, SCHEMAS))
        structure(value, cls)

    check()


@pytest.mark.parametrize(("cls", "method"), PARAMS, ids=IDS)
def test_what_the_checks_take_the_document_allows_and_what_they_refuse_it_forbids(cls: type[Any], method: str) -> None:
    schema = schema_of(cls, method)

    @no_slow_data
    @given(st.data())
    def check(data: st.DataObject) -> None:
        value = spoilt(data.draw, data.draw(examples(schema, SCHEMAS)))
        assert takes(cls, value) == allows(schema, value, SCHEMAS), value

    check()


def spoilt(draw: Any, value: Any) -> Any:
    """The same value with one part, somewhere in it, replaced, added or left out."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: spoilt(draw, value[name])}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [spoilt(draw, value[0]), *value[1:]]
    if isinstance(value, dict) and value and draw(st.booleans()):
        gone = draw(st.sampled_from(sorted(value)))
        return {name: held for name, held in value.items() if name != gone}
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(st.sampled_from(["surprise", "id", "name"])): draw(ANY)}
    return draw(ANY)
