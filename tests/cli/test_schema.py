import json

from click.testing import CliRunner

from ordernpay.cli import main
from ordernpay.commands import COMMANDS


def test_the_document_names_every_command_and_needs_no_daemon() -> None:
    ended = CliRunner().invoke(main, ["schema"], env={"ORDERNPAY_SOCKET": "/nowhere"})
    assert ended.exit_code == 0
    document = json.loads(ended.output)
    assert set(COMMANDS) < {method["name"] for method in document["methods"]}
