"""ordernpay.toml(5), from the classes that check the configuration; what a key means stands in their docstrings."""

import inspect
import json
import re
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from ordernpay.cli.manual.roff import Block, Example, Page, Section, Term, Under
from ordernpay.config import Access, Daemon, Inbound, Journal, Rpc, Secret, SessionConfig
from ordernpay.rules import Guid, Network, Seconds, Text, Whole, rule_of
from ordernpay.vendors import VENDORS

ENDLESS: Final = 2**31 - 1

EXAMPLE: Final = """\
[daemon]
state_dir = "/var/lib/ordernpay"

[rpc]
socket = "/run/ordernpay/ordernpay.sock"
admin_group = "ordernpay-admin"

[[rpc.access]]
group = "ordernpay"
methods = ["order.*", "payment.create", "event.*", "session.*"]

[inbound]
host = "127.0.0.1"
port = 8710

[sessions.bar]
vendor = "order-n-pay"
role = "dial"
url = "wss://pos.example.net/"
provider_id = 12345
provider_name = "Example Provider"
provider_outlet_id = "venue-42"
pos_remote_id = "remote-7"
auth_secret = { credential = "bar-auth-secret" }
"""

DESCRIPTION: Final = (
    (
        "The configuration of the daemon of ordernpay(1) is a TOML file. It is read at `--config`, else at "
        "`$ORDERNPAY_CONFIG`, else at `/etc/ordernpay/ordernpay.toml`. It is checked whole: an unknown key, a wrong type or a "
        "missing secret is refused with file, key and what was expected, and exit status 78. `ordernpay check` does just that "
        "and says also what is doubtful."
    ),
    (
        "`systemctl reload ordernpay` (SIGHUP) brings into force: sessions, without touching those that stay as they are; "
        "[journal]; [[rpc.access]], `rpc.admin_group` and `daemon.drain_seconds`. Every other key, and a credential of systemd, "
        "needs a restart: `ordernpay status` names the keys that wait for one. A file that cannot be used is refused, and the "
        "configuration before it stays in force."
    ),
)

SECRETS: Final[tuple[Block, ...]] = (
    "Where a key takes a secret, it says where the secret is:",
    Term('`{ credential = "NAME" }`', "a credential that systemd hands to the service, see ordernpay.service(8);"),
    Term('`{ file = "PATH" }`', "a file, which only the daemon's user should be able to read;"),
    Term('`{ env = "NAME" }`', "an environment variable, which other processes of the same user can see;"),
    Term('`"TEXT"`', "the secret itself, for trials; `ordernpay check` warns of it."),
    "Space at both ends is left out. No log, event, error or metric holds a secret.",
)

ADDRESSES: Final = (
    "Plain ws:// and http:// are refused for any host but this machine, unless the session says `allow_insecure = true`. "
    "TLS is always verified, against the system's authorities and those of `ca_file`. Proxies of the environment are not "
    "used."
)

_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*)$")


def page() -> Page:
    """The page."""
    blocks: list[Block] = []
    for heading, cls in (
        ("[daemon]", Daemon),
        ("[journal]", Journal),
        ("[rpc]", Rpc),
        ("[[rpc.access]]", Access),
        ("[inbound]", Inbound),
    ):
        blocks += [Under(heading), *_table(cls)]
    shared = {attribute.name for attribute in attrs.fields(SessionConfig)}
    blocks += [Under("[sessions.NAME]"), SESSIONS, *_table(SessionConfig)]
    for vendor in VENDORS.values():
        blocks += [Under(f'[sessions.NAME] with vendor = "{vendor.name}"'), *_keys(vendor.config, without=shared)]
    return Page(
        "ordernpay.toml",
        5,
        "configuration of the order daemon",
        [
            Section("SYNOPSIS", ["`/etc/ordernpay/ordernpay.toml`"]),
            Section("DESCRIPTION", [*DESCRIPTION, ADDRESSES]),
            Section("SECRETS", SECRETS),
            Section(
                "KEYS", ["Each with its default. One without a default is required; `none` means left out.", *blocks]
            ),
            Section("FILES", FILES),
            Section("EXAMPLES", ["A daemon with one till that it dials:", Example(EXAMPLE)]),
            Section("SEE ALSO", ["ordernpay(1), ordernpay.service(8), systemd.exec(5)"]),
        ],
    )


SESSIONS: Final = (
    "A session is one connection to one outlet through one vendor. Kiosks call it by NAME: 1 to 64 letters, digits, dots, "
    "dashes and underscores. The identities that the point of sale sees follow from it, so a session with unknown commands "
    "should not be renamed. Every option of a vendor that a call can give in `options` is also a key here, as its default."
)
FILES: Final = (
    Term("`/etc/ordernpay/ordernpay.toml`", "The configuration; root:ordernpay-daemon, mode 0640."),
    Term("`examples/ordernpay.toml`", "In the source: a session of each vendor, explained line by line."),
)


def _table(cls: type[Any]) -> list[Block]:
    return list(_keys(cls, without=set()))


def _keys(cls: type[Any], without: set[str], prefix: str = "") -> Iterator[Block]:
    meanings, hints = meanings_of(cls), get_type_hints(cls, include_extras=True)
    for attribute in attrs.fields(cls):
        if attribute.name in without:
            continue
        kind, inner = _kind(hints[attribute.name]), _table_class(hints[attribute.name])
        default = "" if attribute.default is attrs.NOTHING else f" = {_toml(attribute.default)}"
        name = f"`{prefix}{attribute.name}`{default if inner is None else ''}"
        yield Term(name, f"{_sentence(meanings[attribute.name])} {_sentence(kind)}")
        if inner is not None and inner is not Access:
            yield from _keys(inner, set(), f"{prefix}{attribute.name}.")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def meanings_of(cls: type[Any]) -> Mapping[str, str]:
    """What each key means: from the class, from the options that are its defaults, and from what it is made of."""
    options = getattr(sys.modules[cls.__module__], "Options", None)
    found: dict[str, str] = {}
    for source in (*reversed(cls.__mro__), options):
        if source is not None and attrs.has(source):
            found |= {name: text for name, text in _attributes(source) if source is not options or name not in found}
    return found


def _attributes(cls: type[Any]) -> Iterator[tuple[str, str]]:
    """The names and texts below `Attributes:` of a docstring."""
    _, _, told = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    name, text = "", ""
    for line in told.splitlines():
        found = _ATTRIBUTE.match(line)
        if found is None:
            text += f" {line.strip()}"
            continue
        if name:
            yield name, text
        name, text = found[1], found[2]
    if name:
        yield name, text


def _bare(annotation: Any) -> Any:
    """Without the `| None` of a key that may be left out."""
    if get_origin(annotation) in {Union, types.UnionType}:
        [kept] = [arg for arg in get_args(annotation) if arg is not type(None)]
        return kept
    return annotation


def _table_class(annotation: Any) -> type[Any] | None:
    bare = _bare(annotation)
    return bare if isinstance(bare, type) and attrs.has(bare) and bare is not Secret else None


def _kind(annotation: Any) -> str:
    """What values a key takes, in words."""
    bare = _bare(annotation)
    rule = rule_of(bare)
    match rule:
        case Whole(low=low, high=high):
            return f"whole number from {low}" + ("" if high >= ENDLESS else f" to {high}")
        case Seconds(low=low, high=high):
            return f"seconds, from {low:g} to {high:g}"
        case Text():
            return str(rule)
        case Guid() | Network():
            return "GUID" if isinstance(rule, Guid) else "address or network"
        case None:
            return _kind_of_type(bare)
        case _:
            return "table, as the vendor's page has it"


def _kind_of_type(bare: Any) -> str:
    origin, args = get_origin(bare), get_args(bare)
    if origin is Literal:
        return f"one of {', '.join(json.dumps(arg) for arg in args)}"
    if origin is tuple:
        return "list of tables" if _table_class(args[0]) else f"list; each: {_kind(args[0])}"
    if origin is dict:
        return f"table; each value: {_kind(args[1])}"
    names: dict[Any, str] = {str: "text", bool: "true or false", Secret: "secret"}
    return names.get(bare, "table")


def _toml(default: Any) -> str:
    """A default as it would be written."""
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return "{}"
    match default:
        case None:
            return "none"
        case bool():
            return "true" if default else "false"
        case tuple():
            return f"[{', '.join(map(_toml, default))}]"
        case float():
            return f"{default:g}"
        case _:
            return json.dumps(default)
