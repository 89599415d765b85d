import asyncio
import shlex
import signal
import sys
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from ordernpay import logs
from ordernpay.cli import main
from ordernpay.client import NoDaemon, connect
from tests.cli.program import interrupt, ordernpay, start
from tests.support import toml
from tests.support.daemons import daemon_process, tables


async def until_it_answers(path: str) -> None:
    """Until a daemon answers there."""
    with anyio.fail_after(20):
        while True:
            try:
                async with connect(path) as client:
                    await client.call("daemon.status")
                    return
            except NoDaemon:
                await anyio.sleep(0.02)


async def test_a_second_daemon_says_what_the_first_one_has_and_ends_with_1(artifacts: Path) -> None:
    config = tables(artifacts, {})
    async with daemon_process(artifacts, config) as daemon:
        ended = await ordernpay("run", "--config", str(artifacts / "ordernpay.toml"))
        assert ended.status == 1
        assert daemon.socket in ended.err


async def test_a_port_that_is_taken_is_told_and_ends_with_1(artifacts: Path) -> None:
    first = tables(artifacts / "first", {}, inbound={"port": 0})
    config = toml.write(artifacts / "second.toml", tables(artifacts, {}, inbound={"host": "192.0.2.1", "port": 8710}))
    async with daemon_process(artifacts / "first", first):
        ended = await ordernpay("run", "--config", str(config))
    assert ended.status == 1
    assert "cannot listen on 192.0.2.1:8710" in ended.err


async def test_a_group_that_this_machine_does_not_know_is_a_fault_of_the_configuration(artifacts: Path) -> None:
    given = tables(artifacts, {})
    given["rpc"]["group"] = "no-such-group"
    config = toml.write(artifacts / "ordernpay.toml", given)
    ended = await ordernpay("run", "--config", str(config))
    assert ended.status == 78
    assert ended.err == f'Error: {config}: rpc.group: expected a group of this machine, got "no-such-group"\n'


@pytest.mark.parametrize("command", ["run", "check"])
async def test_a_certificate_that_cannot_be_shown_is_a_fault_before_anything_is_ready(
    artifacts: Path, command: str
) -> None:
    inbound = {"port": 0, "tls_certificate": "/nowhere/cert.pem", "tls_key": "/nowhere/key.pem"}
    config = toml.write(artifacts / "ordernpay.toml", tables(artifacts, {}, inbound=inbound))
    ended = await ordernpay(command, "--config", str(config))
    assert ended.status == 78
    assert (
        f"{config}: inbound.tls_certificate: expected a certificate and its chain in PEM form" in ended.out + ended.err
    )
    assert "daemon_started" not in ended.err
    assert not (artifacts / "state").exists()


async def test_sockets_that_are_not_what_the_environment_says_are_told_and_end_with_1(artifacts: Path) -> None:
    config = toml.write(artifacts / "ordernpay.toml", tables(artifacts, {}))
    program = shlex.join([sys.executable, "-m", "ordernpay", "run", "--config", str(config)])
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"LISTEN_PID=$$ LISTEN_FDS=many exec {program}"), stderr=asyncio.subprocess.PIPE
    )
    with anyio.fail_after(60):
        _, err = await shell.communicate()
    assert (shell.returncode, err.decode()) == (1, "Error: LISTEN_FDS is not a number\n")


async def test_it_runs_until_it_is_told_to_stop(artifacts: Path) -> None:
    config = tables(artifacts, {})
    file = toml.write(artifacts / "ordernpay.toml", config)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = await start("run", "--config", str(file))
        await until_it_answers(config["rpc"]["socket"])
        ended = await interrupt(process, number)
        assert ended.status == 0


def test_in_systemds_journal_each_reason_not_to_start_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda **_: True)
    file = toml.write(tmp_path / "ordernpay.toml", tables(tmp_path, {}) | {"kitchen": {"a": 1}, "bath": {"b": 2}})
    with capture_logs() as told:
        ended = CliRunner().invoke(main, ["run", "--config", str(file)])
    assert (ended.exit_code, ended.stderr) == (78, "")
    assert [(line["event"], line["log_level"]) for line in told] == [("configuration_refused", "error")] * 2
    assert "kitchen" in told[0]["reason"] + told[1]["reason"]
