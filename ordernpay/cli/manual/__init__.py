"""The manual pages and the completion of shells, made from the commands and the configuration's own classes.

``python -m ordernpay.cli.manual systemd`` writes them where they are kept.
"""

from typing import Final

from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from ordernpay.cli import main
from ordernpay.cli.manual import program, service, settings

SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


def files() -> dict[str, str]:
    """Every file by its path below `systemd/`, with its content."""
    pages = {f"man/{page.file}": page.written() for page in (program.page(), settings.page(), service.page())}
    return pages | {f"completion/ordernpay.{shell}": completion(shell) for shell in SHELLS}


def completion(shell: str) -> str:
    """What a shell sources to complete `ordernpay`."""
    made = SHELLS[shell](main, {}, "ordernpay", "_ORDERNPAY_COMPLETE")
    return ShellComplete.source(made).strip() + "\n"  # bash's own would look for a bash here
