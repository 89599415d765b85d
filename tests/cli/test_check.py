import grp
import json
import os
import socket
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
    assert ended.exit_code == 78
    [fault] = json.loads(ended.output)["faults"]
    assert fault["path"] == "rpc.group"  # with it the daemon cannot make its socket
    assert {doubt["path"]: doubt["message"] for doubt in json.loads(ended.output)["doubts"]} == {
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


# What would fail later


def told_of(tmp_path: Path, text: str) -> tuple[int, dict[str, str], dict[str, str]]:
    """The exit status, the faults and the doubts, by key."""
    file = written(tmp_path / "later.toml", text)
    ended = CliRunner().invoke(main, ["check", "--json", "--config", file])
    told = json.loads(ended.output)
    return (
        ended.exit_code,
        {one["path"]: one["message"] for one in told["faults"]},
        {one["path"]: one["message"] for one in told["doubts"]},
    )


LISTENS = """
[sessions.{}]
vendor = "order-n-pay"
role = "listen"
provider_id = 1
provider_name = "P"
provider_outlet_id = "venue-42"
pos_remote_id = "{}"
auth_secret = "word-of-{}"
"""


def test_two_sessions_that_wait_for_the_same_pos_are_a_fault(tmp_path: Path) -> None:
    status, faults, _ = told_of(tmp_path, LISTENS.format("a", "r-1", "a") + LISTENS.format("b", "r-1", "b"))
    assert status == 78
    assert "sessions.a has this one (line 17)" in faults["sessions.b.pos_remote_id"]
    assert told_of(tmp_path, LISTENS.format("a", "r-1", "a") + LISTENS.format("b", "r-2", "b"))[0] == 0


ROS = """
[sessions.{}]
vendor = "ros"
organisation = "D"
client_id = "c"
client_secret = "long-enough-secret"
outlet_id = "11111111-0000-4000-8000-000000000009"
provider_id = 1
provider_name = "P"
currency = "{}"
"""


def test_one_outlet_twice_and_a_currency_that_is_none_are_doubtful(tmp_path: Path) -> None:
    status, faults, doubtful = told_of(tmp_path, ROS.format("a", "GBP") + ROS.format("b", "PND"))
    assert (status, faults) == (0, {})
    assert doubtful["sessions.b"] == "is the same outlet as sessions.a"
    assert "PND is no currency" in doubtful["sessions.b.currency"]
    assert "sessions.a.currency" not in doubtful


def test_a_staff_pin_in_the_file_is_doubtful(tmp_path: Path) -> None:
    _, _, doubtful = told_of(tmp_path, GOOD + 'user = "4471"\n')
    assert "staff PIN" in doubtful["sessions.bar.user"]


def test_a_socket_that_no_path_can_be_and_a_state_directory_that_is_a_file_are_faults(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    rest = (
        f'[rpc]\nsocket = "/tmp/{"x" * 120}"\ngroup = "no-such-group"\n[daemon]\nstate_dir = "{tmp_path}/file/state"\n'
    )
    status, faults, doubtful = told_of(tmp_path, rest + GOOD)
    assert status == 78
    assert "at most 107 bytes, got 125" in faults["rpc.socket"]
    assert "no-such-group" in faults["rpc.group"]
    assert faults["daemon.state_dir"] == f"expected a directory, and {tmp_path}/file is none"
    assert "rpc.group" not in doubtful


def test_a_port_that_another_program_has_is_doubtful_and_our_own_daemons_is_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as ours:
        text = f'[rpc]\nsocket = "{tmp_path}/s"\n[inbound]\nport = {taken.getsockname()[1]}\n' + GOOD
        assert "another program has port" in told_of(tmp_path, text)[2]["inbound.port"]
        ours.bind(f"{tmp_path}/s")
        ours.listen()
        assert "inbound.port" not in told_of(tmp_path, text)[2]
    assert "root alone" in told_of(tmp_path, "[inbound]\nport = 80\n" + GOOD)[2]["inbound.port"]
    assert (
        "no address of this machine" in told_of(tmp_path, '[inbound]\nhost = "192.0.2.1"\n' + GOOD)[2]["inbound.port"]
    )


def test_what_is_shipped_has_no_faults_and_no_doubts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = (Path(__file__).parents[2] / "systemd" / "ordernpay.toml").read_text(encoding="utf-8")
    group = grp.getgrgid(os.getegid()).gr_name  # stands for the group that the installation makes
    text = shipped.replace("ordernpay-admin", group).replace("port = 8710", "port = 0")
    assert told_of(tmp_path, text.replace("/var/lib/ordernpay", str(tmp_path / "state"))) == (0, {}, {})
    file = str(tmp_path / "later.toml")
    assert CliRunner().invoke(main, ["check", "--config", file]).output == f"{file}: ok, without sessions yet\n"
