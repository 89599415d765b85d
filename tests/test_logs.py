"""Logs: one JSON object a line, and never a secret, whatever was put into an event or into an exception."""

import json
import logging
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from ordernpay.logs import LIBRARIES, REDACTED, configure, redact

SECRET = "PLANTED-x-4815"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def clean(**event: Any) -> dict[str, Any]:
    return dict(redact(None, "info", event))


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Logging set up as in a daemon; what was written since."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in LIBRARIES}

    def start(**how: Any) -> Any:
        structlog.reset_defaults()
        configure(**how)

        def written() -> list[str]:
            return capsys.readouterr().err.splitlines()

        return written

    yield start
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


@pytest.mark.parametrize(
    "key",
    [
        "pin", "PIN", "auth_secret", "AuthSecret", "authsecret", "client_secret", "webhook_secret", "secret", "password",
        "token", "access_token", "AccessToken", "Authorization", "authorisation", "cookie", "guid2", "user_identifier",
        "UserIdentifier", "card_number", "cvv", "pan", "webhook_token", "refresh_token", "passwd",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_key_at_any_depth(key: str) -> None:
    event = clean(**{key: SECRET}, a={"b": [{key: [SECRET]}]}, c=({key: 4815},))
    assert event[key] == REDACTED
    assert event["a"] == {"b": [{key: REDACTED}]}
    assert event["c"] == [{key: REDACTED}]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Authorization: Bearer {SECRET}xyz", "Authorization: [redacted]"),
        ("basic dXNlcjpwYXNzd29yZA==", "[redacted]"),
        (f"got {JWT} there", "got [redacted] there"),
        (f"GET /?token={SECRET}&x=1", "GET /?token=[redacted]"),
        (f"GET /?auth={SECRET}&x=1", "GET /?auth=[redacted]&x=1"),
        (f"GET /?x=1&access_token={SECRET}", "GET /?x=1&access_token=[redacted]"),
        (f'{{"PIN": "{SECRET}", "x": 1}}', '{"PIN": [redacted], "x": 1}'),
        (f"{{'AuthSecret': '{SECRET} two', 'x': 1}}", "{'AuthSecret': [redacted], 'x': 1}"),
        (f'"UserIdentifier":"{SECRET}"', '"UserIdentifier":[redacted]'),
        (f"LookUpUser(pin={SECRET}, x)", "LookUpUser(pin=[redacted], x)"),
        (f"token={SECRET}", "token=[redacted]"),
        (f"client_secret: {SECRET}", "client_secret: [redacted]"),
        ("card 4111 1111 1111 1111 declined", "card [redacted] declined"),
        ("card 4111111111111111", "card [redacted]"),
    ],
)
def test_a_secret_is_known_by_its_shape(text: str, left: str) -> None:
    assert clean(event=text) == {"event": left}
    assert clean(event="x", deep=[{"a": text}])["deep"] == [{"a": left}]


@pytest.mark.parametrize(
    "text",
    [
        "token handshake: refused with HTTP 401",
        "pinned at 12:30",
        "command 5c0bec7b640a4c80b9f2fe020b456ce4",
        "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4",
        "order A0000042 of 12 items, 1234567 in all",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert clean(event=text, command_id=text) == {"event": text, "command_id": text}


def test_numbers_and_nothing_stay_and_other_objects_are_told_without_secrets() -> None:
    class Thing:
        def __repr__(self) -> str:
            return f"Thing(token={SECRET})"

    event = clean(
        a=1, b=1.5, c=None, d=True, e=Thing(), f=ValueError(f"?token={SECRET}"), g=f"pin={SECRET}".encode(), h={"x"}
    )
    assert (event["a"], event["b"], event["c"], event["d"]) == (1, 1.5, None, True)
    assert SECRET not in str(event)
    assert event["e"] == "Thing(token=[redacted]"
    assert clean(amount=Decimal("1.5"))["amount"] == "Decimal('1.5')"


def test_lines_are_json_objects_with_time_and_level(lines: Any) -> None:
    written = lines(colours=False)
    log = structlog.get_logger("ordernpay.test").bind(session="bar")
    log.info("command_ended", command_id="c", text="zwei\nZeilen", path=Path("/x"))
    log.debug("not_at_this_level")
    logging.getLogger("uvicorn.error").warning("a library's %s", "words")
    first, second = (json.loads(line) for line in written())
    assert (first["event"], first["level"], first["session"], first["text"]) == (
        "command_ended", "info", "bar", "zwei\nZeilen"
    )  # fmt: skip
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("a library's words", "warning")


def test_the_level_is_as_asked(lines: Any) -> None:
    written = lines(level="debug", colours=False)
    structlog.get_logger("x").debug("shown")
    assert [json.loads(line)["event"] for line in written()] == ["shown"]


def test_where_nobody_watches_lines_are_json(lines: Any) -> None:
    written = lines()
    structlog.get_logger("x").info("shown")
    assert json.loads(written()[0])["event"] == "shown"


def fail(pin: str) -> None:
    frame = f'{{"PIN":"{pin}"}}'
    raise ValueError(f"token={frame and pin}")


@pytest.mark.parametrize("colours", [False, True])
def test_a_traceback_shows_neither_variables_nor_secrets_of_its_text(lines: Any, colours: bool) -> None:  # noqa: FBT001
    written = lines(colours=colours, level="debug")
    local = SECRET
    try:
        fail(local)
    except ValueError:
        structlog.get_logger("x").exception("command_broke", command_id="c")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    text = "\n".join(written())
    assert "ValueError" in text
    assert "in fail" in text or '"fail"' in text
    assert SECRET not in text


def test_a_secret_in_a_librarys_message_or_arguments_does_not_come_out(lines: Any) -> None:
    written = lines(colours=False)
    logging.getLogger("websockets.client").warning("> GET /?token=%s HTTP/1.1", SECRET)
    logging.getLogger("somebody").error("Authorization: Bearer %sabc", SECRET)
    logging.getLogger("somebody").error({"pin": SECRET})
    text = "\n".join(written())
    assert text.count(REDACTED) == 3
    assert SECRET not in text


@pytest.mark.parametrize("level", ["debug", "info"])
def test_libraries_are_capped_whatever_our_own_level_is(lines: Any, level: str) -> None:
    written = lines(level=level, colours=False)
    for name in (*LIBRARIES, "websockets.client", "websockets.server", "httpcore.connection", "uvicorn.protocols"):
        logging.getLogger(name).debug("a frame")
        logging.getLogger(name).info("a request")
    assert written() == []


@pytest.mark.parametrize("colours", [True, False])
def test_nothing_that_a_terminal_would_act_on_is_written(lines: Any, colours: bool) -> None:  # noqa: FBT001 - parametrised
    written = lines(colours=colours)
    structlog.get_logger("x").info(
        "said", reason="A\x1b[2J\u009b\u202e\u200b\r\nFAKE level=error\x7f\x00é", more=["\x9b"]
    )
    [line] = written()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    assert plain.isprintable()
    assert ("\\x1b[2J" if colours else "\\u001b[2J") in plain
    structlog.get_logger("x").error("broke", exc_info=ValueError("\x1b[2J\u009b"))
    assert "\x1b[2J" not in "\n".join(written())
