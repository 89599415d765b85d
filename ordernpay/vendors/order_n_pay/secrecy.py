"""What must not be written down or repeated: staff PINs, wherever a command carries one."""

from attrs import evolve

from ordernpay.commands import Command, LookUpUser, VendorRequest
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Outcome
from ordernpay.rules import Guid, Wrong


def concealed(command: Command) -> tuple[JsonObject, list[str]]:
    """A command's content without PINs, and the PINs. A user that is no GUID is taken for a PIN."""
    content = command.content()
    secrets: list[str] = []
    user = command.options.get("user")
    if isinstance(user, str) and not _is_guid(user):
        content["options"] = {name: value for name, value in command.options.items() if name != "user"}
        secrets.append(user)
    if isinstance(command.params, LookUpUser):
        secrets.append(command.params.pin)
    if isinstance(command.params, VendorRequest):
        content["params"] = {"request": _without_pins(command.params.request, secrets)}
    return content, secrets


def _without_pins(value: JsonValue, secrets: list[str]) -> JsonValue:
    if isinstance(value, list):
        return [_without_pins(entry, secrets) for entry in value]
    if not isinstance(value, dict):
        return value
    kept: JsonObject = {}
    for name, entry in value.items():
        secret = name.lower() == "pin" or (name.lower() == "useridentifier" and not _is_guid(entry))
        texts = _texts(entry) if secret else []
        if texts:
            secrets += texts
        else:
            kept[name] = _without_pins(entry, secrets)
    return kept


def _texts(value: JsonValue) -> list[str]:
    """All that stands in a value, as text: a PIN may come as a number, or with something around it."""
    if isinstance(value, dict | list):
        return [text for entry in (value.values() if isinstance(value, dict) else value) for text in _texts(entry)]
    return [] if value is None or isinstance(value, bool) or value == "" else [str(value)]


def pins_of(user: str | None) -> tuple[str, ...]:
    """A configured user, where it is a PIN: no part of the command, and yet the POS may repeat it."""
    return () if user is None or _is_guid(user) else (user,)


def _is_guid(value: object) -> bool:
    try:
        Guid().read(value)
    except Wrong:
        return False
    return True


def scrubbed(outcome: Outcome, secrets: tuple[str, ...]) -> Outcome:
    """A POS may repeat a PIN in its error text; we do not."""
    failure = outcome.failure
    if failure is None or not secrets:
        return outcome

    def clean(text: str | None) -> str | None:
        for secret in secrets:
            text = text.replace(secret, "[redacted]") if text else text
        return text

    return evolve(
        outcome,
        failure=evolve(failure, message=clean(failure.message) or "", vendor_message=clean(failure.vendor_message)),
        vendor=None,
    )
