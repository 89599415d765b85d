import json
import os
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from ordernpay.cli import main
from tests.cli.program import ordernpay

GOOD = """
[sessions.bar]
vendor = "order-n-pay"
url = "wss://pos.example.net/"
provider_id = 12345
provider_name = "Example Provider"
"""
BAD = """
[daemon]
stat_dir = "x"

[sessions.bar]
vendor = "order-n-pay"
url = "ws://pos.example.net/"
provider_id = "many"
provider_name = "Example Provider"
"""


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_good_configuration_is_ok(tmp_path: Path) -> None:
    file = written(tmp_path / "good.toml", GOOD)
    ended = CliRunner().invoke(main, ["check", "--config", file])
    assert (ended.exit_code, ended.output) == (0, f"{file}: ok\n")


def test_doubts_are_told_and_are_no_fault(tmp_path: Path) -> None:
    file = written(tmp_path / "open.toml", '[rpc]\nmode = "0666"\n' + GOOD + "allow_insecure = true\n")
    ended = CliRunner().invoke(main, ["check"], env={"ORDERNPAY_CONFIG": file})
    assert ended.exit_code == 0
    assert f"{file}: doubtful: rpc.mode: " in ended.output
    assert f"{file}: doubtful: sessions.bar.allow_insecure: " in ended.output
    assert ended.output.endswith(f"{file}: ok\n")


ACCESS = """
[rpc]
group = "no-such-group"
admin_group = "no-admins"

[[rpc.access]]
group = "root"
methods = ["order.*", "ordr.*", "session.list"]
sessions = ["bar", "cellar"]

[[rpc.access]]
group = "no-kiosks"
methods = ["*"]
"""


def test_what_the_access_rules_name_and_nothing_has_is_doubtful(tmp_path: Path) -> None:
    file = written(tmp_path / "rules.toml", ACCESS + GOOD)
    ended = CliRunner().invoke(main, ["check", "--json", "--config", file])
    assert ended.exit_code == 0
    assert {doubt["path"]: doubt["message"] for doubt in json.loads(ended.output)["doubts"]} == {
        "rpc.group": "this machine has no group no-such-group",
        "rpc.admin_group": "this machine has no group no-admins",
        "rpc.access[1].group": "this machine has no group no-kiosks",
        "rpc.access[0].methods[1]": "no method is called ordr.*",
        "rpc.access[0].sessions[1]": "there is no session cellar",
    }


@pytest.mark.parametrize(
    ("inbound", "doubtful"),
    [
        ('host = "0.0.0.0"', True),
        ('host = "127.0.0.1"', False),
        ('host = "0.0.0.0"\ntls_certificate = "DIR/tls.pem"\ntls_key = "DIR/tls.pem"', False),
    ],
)
def test_a_door_that_is_open_to_others_without_tls_is_doubtful(tmp_path: Path, inbound: str, *, doubtful: bool) -> None:
    trustme.CA().issue_cert("pos.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.pem")
    file = written(tmp_path / "door.toml", f"[inbound]\n{inbound.replace('DIR', str(tmp_path))}\n{GOOD}")
    ended = CliRunner().invoke(main, ["check", "--config", file])
    assert ended.exit_code == 0
    assert (f"{file}: doubtful: inbound.host: " in ended.output) == doubtful


def test_authorities_that_cannot_be_read_are_doubtful(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    junk = written(tmp_path / "junk.pem", "junk")
    for ca_file, doubtful in ((tmp_path / "ca.pem", False), (junk, True), (tmp_path / "none.pem", True)):
        file = written(tmp_path / "ca.toml", f'{GOOD}ca_file = "{ca_file}"\n')
        ended = CliRunner().invoke(main, ["check", "--config", file])
        assert ended.exit_code == 0
        expected = (
            f"{file}: doubtful: sessions.bar.ca_file: expected certificates of authorities in PEM form, got {ca_file}"
        )
        assert (expected in ended.output) == doubtful


def test_every_fault_is_told_with_its_file_and_key_and_ends_with_78(tmp_path: Path) -> None:
    file = written(tmp_path / "bad.toml", BAD)
    ended = CliRunner().invoke(main, ["check", "--config", file])
    assert ended.exit_code == 78
    assert f"{file}: daemon.stat_dir: " in ended.output
    assert f"{file}: sessions.bar.provider_id: " in ended.output
    assert "ok" not in ended.output.splitlines()[-1]


def test_programs_get_json(tmp_path: Path) -> None:
    good = written(tmp_path / "good.toml", GOOD)
    told = json.loads(CliRunner().invoke(main, ["check", "--json", "--config", good]).output)
    assert told == {"file": good, "ok": True, "faults": [], "doubts": []}
    bad = CliRunner().invoke(main, ["check", "--json", "--config", written(tmp_path / "bad.toml", BAD)])
    assert bad.exit_code == 78
    told = json.loads(bad.output)
    assert told["ok"] is False
    assert {"daemon.stat_dir", "sessions.bar.provider_id"} <= {fault["path"] for fault in told["faults"]}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("text", [None, "[", "\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1")])
def test_a_file_that_cannot_be_read_is_a_fault_like_any_other(
    tmp_path: Path, command: str, text: str | bytes | None
) -> None:
    file = tmp_path / "ordernpay.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = CliRunner().invoke(main, [command, "--config", str(file)])
    assert ended.exit_code == 78
    assert str(file) in ended.output


@pytest.mark.parametrize("command", ["check", "doctor"])
@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", "Caf\\u0117"), ("utf-8", "Cafė")])
async def test_a_terminal_that_cannot_show_a_character_is_shown_its_number(
    tmp_path: Path, command: str, encoding: str, shown: str
) -> None:
    missing = tmp_path / "Cafė" / "ordernpay.toml"
    ended = await ordernpay(command, "--config", str(missing), env=os.environ | {"PYTHONIOENCODING": encoding})
    assert ended.status == 78
    assert f"{shown}/ordernpay.toml: cannot be read" in ended.out
