"""The configuration: every fault with file, key and what was expected; secrets that never show themselves."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from ordernpay.addresses import address_fault, is_loopback
from ordernpay.cli.doubts import doubts
from ordernpay.config import (
    CONFIG_VARIABLE,
    DEFAULT_PATH,
    Config,
    ConfigError,
    Secret,
    config_path,
    load,
    parse,
    read,
)
from ordernpay.vendors import CONFIGS
from ordernpay.vendors.order_n_pay.settings import Options, OrderNPayConfig
from tests.support import toml
from tests.support.daemons import session

FILE = Path("/etc/ordernpay/test.toml")
SECRET = "s3cr3t-of-the-bar"
DIAL = session(url="wss://pos.example.net/")
LISTEN = session(role="listen", provider_outlet_id="venue-42", pos_remote_id="remote-7", auth_secret=SECRET)


def read_it(tables: dict[str, Any]) -> Config:
    return read(tables, FILE, CONFIGS)


def refused(tables: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        read_it(tables)
    for line in str(caught.value).splitlines():
        assert line.startswith(f"{FILE}: ")
    assert SECRET not in str(caught.value)
    return {fault.path: fault.message for fault in caught.value.faults}


def bar(**changes: Any) -> dict[str, Any]:
    return {"sessions": {"bar": DIAL | changes}}


def test_an_empty_file_is_the_defaults_of_the_contract() -> None:
    config = read_it({})
    assert config.daemon.state_dir == "/var/lib/ordernpay"
    assert (config.rpc.socket, config.rpc.mode, config.rpc.max_message_bytes) == (
        "/run/ordernpay/ordernpay.sock",
        "0660",
        1_048_576,
    )
    assert (config.journal.keep_days, config.inbound, config.sessions) == (30, None, {})
    assert config.file == FILE


def test_the_example_of_the_contract_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "bar-auth-secret").write_text(SECRET + "\n")
    path = tmp_path / "ordernpay.toml"
    path.write_text(
        """
        [daemon]
        state_dir = "/var/lib/ordernpay"
        [rpc]
        socket = "/run/ordernpay/ordernpay.sock"
        mode = "0660"
        group = "ordernpay"
        admin_group = "ordernpay-admin"
        [[rpc.access]]
        group = "kiosk"
        methods = ["order.*", "payment.create", "event.*", "session.*"]
        sessions = ["bar"]
        [inbound]
        host = "127.0.0.1"
        port = 8710
        [sessions.bar]
        vendor = "order-n-pay"
        role = "dial"
        url = "wss://pos.example.net/"
        provider_id = 12345
        provider_name = "Example Provider"
        device_id = "DeviceABC123"
        user = "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4"
        provider_outlet_id = "venue-42"
        pos_remote_id = "remote-7"
        auth_secret = { credential = "bar-auth-secret" }
        message_types = { simulate_order = 13 }
        """
    )
    config = load(path, CONFIGS)
    bar = config.sessions["bar"]
    assert isinstance(bar, OrderNPayConfig)
    assert bar.auth_secret is not None
    assert (bar.auth_secret.reveal(), bar.auth_secret.plain) == (SECRET, False)
    assert (bar.message_types.simulate_order, bar.message_types.create_order) == (13, 11)
    assert config.rpc.access[0].methods == ("order.*", "payment.create", "event.*", "session.*")
    assert doubts(config) == []


@pytest.mark.parametrize(
    ("tables", "key", "expected"),
    [
        (
            {"daemons": {}},
            "daemons",
            "unknown table; did you mean daemon? known are daemon, journal, rpc, inbound, sessions",
        ),
        (
            {"daemon": {"state_dirs": "x"}},
            "daemon.state_dirs",
            "unknown; did you mean state_dir? known are state_dir, drain_seconds",
        ),
        ({"daemon": {"state_dir": 5}}, "daemon.state_dir", "expected text, got 5"),
        ({"daemon": 5}, "daemon", "expected an object, got 5"),
        ({"daemon": {"drain_seconds": "20"}}, "daemon.drain_seconds", "expected a number of seconds"),
        ({"journal": {"keep_days": 0}}, "journal.keep_days", "expected a whole number from 1 to 3650, got 0"),
        ({"rpc": {"mode": "0999"}}, "rpc.mode", "expected text of 3 to 5 characters like 0?[0-7]{3}"),
        ({"rpc": {"max_message_bytes": 10}}, "rpc.max_message_bytes", "expected a whole number from 1024"),
        ({"rpc": {"access": [{"group": "kiosk"}]}}, "rpc.access[0].methods", "required"),
        ({"inbound": {"port": 70_000}}, "inbound.port", "expected a whole number from 0 to 65535, got 70000"),
        ({"inbound": {"tls_key": "k"}}, "inbound", "expected both or neither of tls_certificate and tls_key"),
        ({"sessions": []}, "sessions", "expected tables [sessions.NAME], got a list"),
        ({"sessions": {"b r": {}}}, "sessions.b r", "session name: expected text of 1 to 64 characters like"),
        ({"sessions": {"bar": 5}}, "sessions.bar", "expected a table, got 5"),
        (
            {"sessions": {"bar": {}}},
            "sessions.bar.vendor",
            "expected one of doshii, order-n-pay, ros, tevalis, got null",
        ),
        (
            {"sessions": {"bar": {"vendor": "x"}}},
            "sessions.bar.vendor",
            'expected one of doshii, order-n-pay, ros, tevalis, got "x"',
        ),
        ({"sessions": {"bar": {"vendor": "order-n-pay"}}}, "sessions.bar.provider_id", "required"),
        (bar(url=None) | {}, "sessions.bar.url", "required with role = "),
        (bar(role="both"), "sessions.bar.role", "expected one of dial, listen"),
        (bar(provider_name="x" * 65), "sessions.bar.provider_name", "expected text of 1 to 64 characters, got 65"),
        (bar(service_mode_id="7"), "sessions.bar.service_mode_id", "expected a GUID such as"),
        (bar(message_types={"pay": 1}), "sessions.bar.message_types.pay", "unknown; known are get_user_from_pin"),
        (bar(result_codes={"5": "busy"}), "sessions.bar.result_codes.5", "expected one of rejected, not_found"),
        (bar(result_codes={"0": "rejected"}), "sessions.bar.result_codes.0", "expected the number of a ResultCode"),
        (bar(result_codes={"x": "rejected"}), "sessions.bar.result_codes.x", "expected the number of a ResultCode"),
        (bar(reconnect_min=5, reconnect_max=1), "sessions.bar.reconnect_min", "expected at most reconnect_max (1 s)"),
        (bar(auth_secret=SECRET), "sessions.bar.provider_outlet_id", "required beside auth_secret"),
        (bar(auth_secret=SECRET), "sessions.bar.pos_remote_id", "required beside auth_secret"),
        (bar(auth_secret=5), "sessions.bar.auth_secret", "expected a secret: { credential ="),
        (bar(auth_secret=""), "sessions.bar.auth_secret", "expected a secret: { credential ="),
        (bar(auth_secret={"vault": "x"}), "sessions.bar.auth_secret", "expected a secret: { credential ="),
        (bar(auth_secret={"env": 1}), "sessions.bar.auth_secret", "expected a secret: { credential ="),
        (bar(auth_secret={"file": "\0"}), "sessions.bar.auth_secret", "expected a secret: { credential ="),
        (bar(auth_secret={"env": "A", "file": "b"}), "sessions.bar.auth_secret", "expected a secret:"),
        (bar(auth_secret={"env": "ONP_NOT_SET"}), "sessions.bar.auth_secret", 'env "ONP_NOT_SET": expected a secret'),
        (bar(auth_secret={"file": "/nowhere/x"}), "sessions.bar.auth_secret", "cannot be read (No such file"),
        (bar(auth_secret={"credential": "x"}), "sessions.bar.auth_secret", "$CREDENTIALS_DIRECTORY is not set"),
        ({"sessions": {"bar": LISTEN | {"url": "wss://x.net/"}}}, "sessions.bar.url", "not used with role"),
        ({"sessions": {"bar": LISTEN | {"auth_secret": None}}}, "sessions.bar.auth_secret", "required with role"),
    ],
)
def test_a_fault_names_the_key_and_what_was_expected(
    tables: dict[str, Any], key: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    found = refused(tables)
    assert key in found
    assert expected in found[key]


def test_all_faults_of_a_file_are_told_at_once() -> None:
    tables = bar(provider_id="x", surprise=1) | {"rpc": {"mode": 1}, "nonsense": {}}
    tables["sessions"]["café"] = DIAL
    assert set(refused(tables)) == {
        "rpc.mode",
        "nonsense",
        "sessions.bar.provider_id",
        "sessions.bar.surprise",
        "sessions.café",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "expected UTF-8 text"),
        (b"[rpc\n", "expected TOML: "),
        (b"a = 1\na = 2\n", "expected TOML: "),
        (b"a = " + b"[" * 5_000, "expected TOML: nested too deeply"),
        (b"a = " + b"9" * 5_000, "expected TOML: "),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "ordernpay.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, CONFIGS)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert caught.value.file == path


def test_the_file_is_the_one_given_else_the_environments_else_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "/from/the/environment")
    assert config_path("/given") == Path("/given")
    assert config_path(None) == Path("/from/the/environment")
    monkeypatch.delenv(CONFIG_VARIABLE)
    assert config_path(None) == DEFAULT_PATH


# Secrets


def secret_of(source: Any) -> Secret:
    listening = LISTEN | {"auth_secret": source}
    session = read_it({"sessions": {"bar": listening}}).sessions["bar"]
    assert isinstance(session, OrderNPayConfig)
    assert session.auth_secret is not None
    return session.auth_secret


def test_a_credential_may_bear_the_name_that_the_units_directories_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for prefix in ("ordernpay-encrypted_", "ordernpay_", ""):  # each is preferred to the ones before
        (tmp_path / f"{prefix}bar-auth-secret").write_text(f"{prefix}{SECRET}")
        assert secret_of({"credential": "bar-auth-secret"}).reveal() == f"{prefix}{SECRET}"


def test_without_systemd_root_finds_the_credentials_where_the_unit_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    given, encrypted, running, creds = (tmp_path / name for name in ("given", "encrypted", "running", "systemd-creds"))
    for name, value in {"GIVEN": given, "ENCRYPTED": encrypted, "RUNNING": running, "DECRYPT": str(creds)}.items():
        monkeypatch.setattr(f"ordernpay.credentials.{name}", value)
    fault = refused(bar(auth_secret={"credential": "x"}))["sessions.bar.auth_secret"]
    assert fault.endswith(f"expected a run under systemd, or as root with a file {given / 'x'}")
    running.mkdir()
    (running / "ordernpay-encrypted_x").write_text("as the service runs")
    assert secret_of({"credential": "x"}).reveal() == "as the service runs"
    encrypted.mkdir()
    (encrypted / "x").write_text("hidden")
    refusal = refused(bar(auth_secret={"credential": "x"}))["sessions.bar.auth_secret"]
    assert f"{encrypted / 'x'} cannot be decrypted by this user here" in refusal
    creds.write_text(
        '#!/bin/sh\n[ "$1 $2 $4" = "decrypt --name=ordernpay-encrypted_x -" ] && sed s/^/no-longer-/ "$3"\n'
    )
    creds.chmod(0o700)
    assert secret_of({"credential": "x"}).reveal() == "no-longer-hidden"
    given.mkdir()
    (given / "x").write_text("as it will start")
    assert secret_of({"credential": "x"}).reveal() == "as it will start"


def test_a_secret_comes_from_a_credential_a_file_the_environment_or_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("ONP_SECRET", SECRET)
    (tmp_path / "name").write_text(f"{SECRET}\n")
    for source in ({"credential": "name"}, {"file": str(tmp_path / "name")}, {"env": "ONP_SECRET"}):
        assert (secret_of(source).reveal(), secret_of(source).plain) == (SECRET, False)
    assert (secret_of(SECRET).reveal(), secret_of(SECRET).plain) == (SECRET, True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\n\xff", "got another encoding in line 2"),
        (SECRET.encode("utf-16"), "got UTF-16"),
        (SECRET.encode("utf-16-be"), "got UTF-16"),
        (b" \n", "expected a secret there"),
        (b"\xef\xbb\xbf\r\n", "expected a secret there"),
        (f"{SECRET}\0".encode(), "an invisible character (U+0000)"),
        (f"{SECRET}\u200b".encode(), "an invisible character (U+200B)"),
        (f"{SECRET[:3]}\u00a0{SECRET[3:]}".encode(), "an invisible character (U+00A0) at position 4"),
        (f"{SECRET}\n{SECRET}\n".encode(), "more than one line"),
    ],
)
def test_a_secrets_file_without_a_secret_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "name").write_bytes(content)
    found = refused({"sessions": {"bar": LISTEN | {"auth_secret": {"file": str(tmp_path / "name")}}}})
    assert expected in found["sessions.bar.auth_secret"]


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "\ufeff{}\r\n", "  {} "])
def test_a_secret_is_read_without_what_an_editor_puts_around_it(
    tmp_path: Path, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "name").write_bytes(around.format(SECRET).encode())
    assert secret_of({"file": str(tmp_path / "name")}).reveal() == SECRET
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret_of({"credential": "name"}).reveal() == SECRET


def test_a_key_in_pem_form_has_lines(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\nBBBB\n-----END PRIVATE KEY-----"
    (tmp_path / "key").write_text(f"{key}\n")
    assert secret_of({"file": str(tmp_path / "key")}).reveal() == key


def test_a_file_from_another_editor_is_read_or_told(tmp_path: Path) -> None:
    file, text = tmp_path / "c.toml", '[daemon]\r\nstate_dir = "/caf\u00e9"\r\n'
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert parse(file) == {"daemon": {"state_dir": "/caf\u00e9"}}
    for encoding, expected in (("utf-16", "got UTF-16"), ("latin-1", "got another encoding in line 2")):
        file.write_bytes(text.encode(encoding))
        with pytest.raises(ConfigError, match=expected):
            parse(file)


def test_each_fault_of_a_file_tells_its_line(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        '[rpc]\nsockt = "/s"\nsocket = 5\n\n[[rpc.access]]\ngroup = "a"\nmethods = []\n[[rpc.access]]\ngroup = 1\n'
        'methods = [\n"order.*"]\n[sessions."bar"]\nvendor = "order-n-pey"\n[sessions.till]\nvendor = "ros"\n'
        'field_names = { prodcts = "x" }\norganisation."x" = 1\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(file, CONFIGS)
    told = {fault.path: fault.message for fault in caught.value.faults}
    assert told["rpc.sockt"].startswith("unknown; did you mean socket? known are")
    lines = {path: message.rpartition(" (line ")[2] for path, message in told.items()}
    assert {
        path: lines[path] for path in ("rpc.sockt", "rpc.socket", "rpc.access[1].group", "sessions.bar.vendor")
    } == {
        "rpc.sockt": "2)",
        "rpc.socket": "3)",
        "rpc.access[1].group": "9)",
        "sessions.bar.vendor": "13)",
    }
    assert "did you mean order-n-pay?" in told["sessions.bar.vendor"]
    assert lines["sessions.till.field_names.prodcts"] == "16)"
    assert lines["sessions.till.organisation"] == "17)"
    assert lines["sessions.till.client_id"] == "14)"


def test_a_secret_shows_itself_nowhere() -> None:
    secret = secret_of(SECRET)
    config = read_it({"sessions": {"bar": LISTEN}})
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", repr(config), str(config.sessions)):
        assert SECRET not in text
    assert SECRET in pickle.loads(pickle.dumps(secret)).reveal()  # it is there all the same


def test_no_complaint_shows_a_secret_or_a_staff_pin() -> None:
    found = refused({"sessions": {"bar": LISTEN | {"auth_secret": [SECRET], "user": "9071" * 10, "provider_id": "x"}}})
    assert set(found) == {"sessions.bar.auth_secret", "sessions.bar.user", "sessions.bar.provider_id"}
    assert "9071" not in found["sessions.bar.user"]


def test_a_staff_pin_as_user_of_a_session_is_not_shown_either() -> None:
    config = read_it(bar(user="PIN-9071"))
    assert "PIN-9071" not in repr(config)
    assert "PIN-9071" not in repr(Options(user="PIN-9071"))


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "ws://pos.example.net/",
        "ws://10.0.0.5/",
        "ws://127.0.0.1.example.net/",
        "ws://localhost.example.net",
        "ws://[2001:db8::1]/",
        "ws://128.0.0.1/",
    ],
)
def test_a_plain_address_beyond_loopback_is_refused_unless_wanted(url: str) -> None:
    assert "plain ws:// is for loopback only" in refused(bar(url=url))["sessions.bar.url"]
    config = read_it(bar(url=url, allow_insecure=True))
    assert [fault.path for fault in doubts(config)] == ["sessions.bar.allow_insecure"]


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:80/", "ws://localhost/", "ws://[::1]:8080/x", "ws://127.8.9.1", "WS://LOCALHOST/"]
)
def test_a_plain_address_on_loopback_is_taken(url: str) -> None:
    assert read_it(bar(url=url)).sessions


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pos.example.net",
        "https://pos.example.net/",
        "wss://",
        "wss:///x",
        "wss://a:99999/",
        "wss://[::1/",
        "wss://a b/",
        "wss://a\u2028/",
    ],
)
def test_what_is_no_websocket_address_is_refused(url: str) -> None:
    assert refused(bar(url=url))["sessions.bar.url"] == "expected an address such as wss://pos.example.net/"


def test_an_address_carries_no_password() -> None:
    found = refused(bar(url=f"wss://user:{SECRET}@pos.example.net/"))
    assert found["sessions.bar.url"] == "expected an address without user name and password"


def test_rest_addresses_follow_the_same_rule() -> None:
    schemes = ("https", "http")
    assert address_fault("https://api.example.net", schemes, allow_insecure=False) is None
    assert address_fault("http://api.example.net", schemes, allow_insecure=False) is not None
    assert address_fault("http://api.example.net", schemes, allow_insecure=True) is None


@pytest.mark.parametrize(
    ("host", "loopback"), [("localhost", True), ("::1", True), ("127.1.2.3", True), ("0.0.0.0", False), ("x", False)]
)
def test_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is loopback


def test_what_is_allowed_but_doubtful_is_told() -> None:
    config = read_it({"rpc": {"mode": "0666"}, "sessions": {"bar": LISTEN}})
    assert [fault.path for fault in doubts(config)] == ["rpc.mode", "sessions.bar.auth_secret"]
    assert doubts(read_it({})) == []
    assert not any(SECRET in fault.message for fault in doubts(config))


def test_a_calls_options_stand_above_the_sessions() -> None:
    config = read_it(bar(product_type=3)).sessions["bar"]
    assert isinstance(config, OrderNPayConfig)
    merged = config.merged(Options(device_id="till-2", apply_automatic_adjustments=True))
    assert (merged.device_id, merged.product_type, merged.apply_automatic_adjustments) == ("till-2", 3, True)
    assert merged.user == DIAL["user"]


def test_the_tests_own_writer_of_toml_writes_what_is_read(tmp_path: Path) -> None:
    tables = {"rpc": {"access": [{"group": "kiosk", "methods": ["a", "b"]}]}, "sessions": {"bar": LISTEN}}
    assert load(toml.write(tmp_path / "x.toml", tables), CONFIGS).sessions == read_it(tables).sessions
