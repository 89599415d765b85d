import os
import tomllib
from pathlib import Path

from click.testing import CliRunner

from ordernpay.cli import main
from ordernpay.config import read
from ordernpay.vendors import CONFIGS
from tests.cli.program import start
from tests.cli.test_simulate import printed

ADDRESSES = (
    ("bar", "url"),
    ("courier", "auth_url"),
    ("hotel", "base_url"),
    ("cafe", "base_url"),
    ("cafe", "socket_url"),
)
EXAMPLE = Path(__file__).parents[2] / "examples" / "ordernpay.toml"


def test_it_passes_the_check_and_tells_of_each_plain_secret() -> None:
    ended = CliRunner().invoke(main, ["check", "--config", str(EXAMPLE)])
    assert ended.exit_code == 0
    doubts = [line for line in ended.output.splitlines() if "doubtful" in line]
    assert [line.split(": ")[2] for line in doubts] == [
        "sessions.terrace.auth_secret",
        "sessions.courier.client_secret",
        "sessions.courier.webhook_secret",
        "sessions.hotel.guid",
        "sessions.hotel.guid2",
        "sessions.cafe.client_secret",
    ]


async def test_it_is_what_simulate_prints_without_options() -> None:
    process = await start(
        "simulate",
        "--port",
        "0",
        "--control-port",
        "0",
        "--rest-port",
        "0",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        given = tomllib.loads(await printed(process))
    finally:
        process.terminate()
        await process.communicate()
    example = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    for session, key in ADDRESSES:
        given["sessions"][session][key] = example["sessions"][session][key]
    assert read(given, EXAMPLE, CONFIGS) == read(example, EXAMPLE, CONFIGS)


def test_every_key_is_explained() -> None:
    explained: set[str] = set()
    commented = False
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        key = line.partition(" = ")[0]
        if line.startswith("#"):
            commented = True
        elif not line:
            commented = False
        elif not line.startswith("["):
            assert commented, f"no word about {key}"
            explained.add(key)
    assert {"state_dir", "socket", "url", "auth_secret", "message_types"} <= explained
