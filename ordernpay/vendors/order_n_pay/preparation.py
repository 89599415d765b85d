"""A command made ready before anything is written or sent: checked, translated, and given its RequestID."""

import uuid
from typing import Final

from attrs import evolve, field, frozen

from ordernpay.commands import Command
from ordernpay.conversion import Fault, Faults, structure
from ordernpay.jsontext import JsonObject, dumps
from ordernpay.outcomes import Failure
from ordernpay.vendors.order_n_pay import requests
from ordernpay.vendors.order_n_pay.settings import Options, OrderNPayConfig
from ordernpay.vendors.protocol import Prepared, lacking

NAMESPACE: Final = uuid.UUID("6f0b2f57-6c2e-5d0a-9f0e-0d5b1a7c4e11")
"""Never changes: the RequestIDs that follow from it are what keeps a POS from acting twice."""


def derived_request_id(session: str, key: str) -> str:
    """The RequestID of a command: the same for the same session and key, with or without a journal."""
    return str(uuid.uuid5(NAMESPACE, f"{session}\0{key}"))


def is_derived(request_id: str) -> bool:
    """Whether a RequestID may be one of `derived_request_id`."""
    try:
        return uuid.UUID(request_id).version == 5
    except ValueError:
        return False


@frozen
class Work:
    """A command in its wire form."""

    request_id: str
    frame: str = field(repr=False)


def supported(config: OrderNPayConfig) -> tuple[str, ...]:
    """The methods that this session has: those whose message has a number."""
    numbered = (
        method
        for method, setting in requests.METHOD_SETTINGS.items()
        if getattr(config.message_types, setting) is not None
    )
    return (*numbered, "vendor.request")


def prepare(session: str, config: OrderNPayConfig, command: Command) -> Prepared:
    """Check and translate a command.

    A command that changes something gets the RequestID that follows from session and key; one that only reads gets a
    new one each time, or the POS would answer it with what it read before.

    Raises:
        Faults: the vendor's pages forbid something in it.
    """
    faults: list[Fault] = []
    try:
        given = structure(command.options, Options, "options")
    except Faults as error:
        faults, given = list(error.faults), Options()
    message = requests.message(command, config, config.merged(given), faults)
    changes = command.type.changes
    request_id = derived_request_id(session, command.key) if changes else str(uuid.uuid4())
    frame = requests.envelope(request_id, message, config, faults)
    if faults:
        raise Faults(faults)
    return Prepared(Work(request_id, dumps(frame)), command.content(), vendor_ids={"request_id": request_id})


def unsupported(session: str, config: OrderNPayConfig, method: str) -> Failure | None:
    """Why a method has no message; its setting, where the number of one is not published."""
    failure, setting = lacking("order-n-pay", supported(config), method), requests.METHOD_SETTINGS.get(method)
    if failure is None or setting is None:
        return failure
    details: JsonObject = {"supported": [*supported(config)], "setting": f"sessions.{session}.message_types.{setting}"}
    why = (
        f"order-n-pay's message number for {method} is not published: "
        f"set message_types.{setting} in [sessions.{session}]"
    )
    return evolve(failure, message=why, details=details)
