"""Logs: the system's journal, JSON lines, or colours on a terminal; never a secret, whatever a caller put into an event.

Redaction is the last step before a line is written. It knows secrets by the name of their key and by their shape, so
that an exception's text or a library's message cannot carry one out either.
"""

import logging
import os
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

from ordernpay import journald
from ordernpay.redaction import Redactor, of_session
from ordernpay.repeats import Repeats
from ordernpay.stream import Stderr, open_standard_streams

REDACTED: Final = "[redacted]"

SECRET_KEYS: Final = re.compile(
    r"pin|auth_?secret|client_?secret|webhook_?secret|webhook_token|secret|password|passwd|token|access_?token|"
    r"refresh_?token|authorization|authorisation|cookie|guid2|user_?identifier|card_?number|pan|cvc|cvv",
    re.IGNORECASE,
)
SECRET_SHAPES: Final = (
    re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"),
    re.compile(r"(?i)([?&](?:token|access_token|auth|authorization)=)[^&\s\"']+"),
    re.compile(
        r"(?i)(\b\"?(?:pin|(?:auth|client|webhook)?_?secret|password|(?:access|refresh)?_?token|useridentifier)[\"']?"
        r"\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,}]+)"
    ),
    re.compile(r"\b\d(?:[ -]?\d){12,18}\b"),
)
LIBRARIES: Final = (
    "websockets",
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "uvicorn.asgi",
    "httpx",
    "httpcore",
    "asyncio",
)
"""Their loggers print handshake headers, addresses with queries, or frames: nothing below WARNING comes through."""


STRANGERS: Final = frozenset({"websockets", "uvicorn", "httpx", "httpcore"})
"""Libraries at the network's edge, whose lines anybody there can cause."""

TRACEBACKS: Final = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Tracebacks without the values of variables: a frame's locals are where PINs are."""

repeats = Repeats()
"""What was held back in this process."""

MOST_TEXT: Final = 1_000
MOST_TRACE: Final = 20_000
"""Characters of one value of a line."""

_streams: Final[list[Stderr]] = []
_AS_JSON: Final = structlog.processors.JSONRenderer()
_TRACES: Final = frozenset({"exception", "stack"})
_as_it_is: Final = structlog.dev.plain_traceback


def plain(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor: nothing in a line that a terminal would act on; tracebacks keep their lines."""
    return {key: _plain(value, "\n\t" if key in _TRACES else "") for key, value in event.items()}


def _plain(value: Any, kept: str) -> Any:
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(one if one.isprintable() or one in kept else ascii(one)[1:-1] for one in value)
    if isinstance(value, dict):
        return {_plain(str(name), ""): _plain(entry, kept) for name, entry in value.items()}
    return [_plain(entry, kept) for entry in value] if isinstance(value, list | tuple) else value


def _json(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    """One line of ASCII; JSON itself escapes all that a terminal would act on but DEL."""
    return str(_AS_JSON(logger, name, event)).replace("\x7f", "\\u007f")


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor: secrets out, by key, by shape, and those of the session that is spoken of."""
    known = of_session(event.get("session"))
    return {key: _clean(key, value, known) for key, value in event.items()}


def _clean(key: str, value: Any, known: Redactor) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if SECRET_KEYS.fullmatch(key):
        return REDACTED
    if isinstance(value, str):
        return _shapeless(known.text(_short(value, MOST_TRACE if key in _TRACES else MOST_TEXT), key))
    if isinstance(value, dict):
        return {name: _clean(str(name), entry, known) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", entry, known) for entry in value]
    return value if isinstance(value, int | float) else _shapeless(known.text(repr(value), key))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _shapeless(text: str) -> str:
    for shape in SECRET_SHAPES:
        text = shape.sub(
            lambda match: (match.group(1) if match.lastindex and match.group(1)[-1] in "=: " else "") + REDACTED, text
        )
    return text


def configure(*, level: str = "info", colours: bool | None = None) -> bool:
    """Set logging up for this process: natively to the journal where systemd connected stderr with it.

    Args:
        level: the lowest level that is written; with ``debug``, repeats are written too.
        colours: for a person at a terminal; by default when stderr is one.

    Returns:
        whether it is the journal that is written to.
    """
    open_standard_streams()
    stream = Stderr(sys.stderr)
    _streams[:] = [stream]
    person = sys.stderr.isatty() if colours is None else colours
    native = not person and _to_journald()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    held_back: list[Any] = [] if level == "debug" else [repeats]
    ending: list[Any] = (
        [
            structlog.processors.format_exc_info,
            redact,
            plain,
            structlog.dev.ConsoleRenderer(exception_formatter=_as_it_is),
        ]
        if person
        else [structlog.processors.ExceptionRenderer(TRACEBACKS), redact, _json]
    )
    rendering = [*ending[:-1], plain, journald.render] if native else ending
    structlog.configure(
        processors=[*shared, *held_back, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_factory(cast("TextIO", stream), native=native),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(cast("TextIO", stream))
    if native:
        ending.append(_prefixed)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=_foreign(ending), foreign_pre_chain=shared))
    if held_back:
        handler.addFilter(_is_news)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    quiet(LIBRARIES)
    return native


def tell_held_back(*, everything: bool = False) -> None:
    """Write how many repeats were held back where their time is over (at the end of the process, all), and lost lines."""
    told = structlog.get_logger(__name__)
    for stream in _streams:
        lost, stream.lost = stream.lost, 0
        if lost:
            told.warning("log_lines_lost", count=lost)
            stream.lost += lost if stream.lost else 0  # there is no room yet: the count waits for it as well
    for values in repeats.due(everything=everything):
        getattr(told, values.pop("level", "") or "warning")("repeats_held_back", **values)


def _to_journald() -> bool:
    try:
        return journald.speaks_to_journald(os.environ, sys.stderr.fileno())
    except (OSError, ValueError):  # stderr is no file
        return False


def _factory(stream: TextIO, *, native: bool) -> Any:
    if not native:
        return structlog.WriteLoggerFactory(stream)
    logger = journald.Logger(stream=stream)
    return lambda *_: logger


def _is_news(record: logging.LogRecord) -> bool:
    """For a library's line: whether it is no repeat.

    A processor cannot hold it back, since `logging` lets its `DropEvent`, which is no `Exception`, through to the library
    that logs: a connection would die of it, or the event loop.
    """
    if record.name.partition(".")[0] in STRANGERS:  # their stacks tell what a stranger did, over and over
        record.exc_info = record.exc_text = record.stack_info = None
    try:
        repeats(
            None,
            "",
            {"level": record.levelname.lower(), "event": str(record.msg) if record.args else record.getMessage()},
        )
    except structlog.DropEvent:
        return False
    except (TypeError, ValueError):  # its words and their arguments do not fit: `logging` tells that itself
        return True
    return True


def _prefixed(_: Any, level: str, line: str) -> str:
    """For a library's line, on the stream: the priority in front, as sd-daemon(3) has it."""
    return f"<{journald.PRIORITIES.get(level, 4)}>{line}"


def quiet(names: Iterable[str]) -> None:
    """Cap loggers at WARNING, whatever our own level is."""
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.handlers = []
        logger.propagate = True


def _foreign(ending: list[Any]) -> list[Any]:
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending]
