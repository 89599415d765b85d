"""The venue in the box: simulated points of sale, the service installed beside them, and three local users.

`kiosk` is in the group ordernpay, `boss` in ordernpay-admin too, `guest` in neither.
"""

import grp
import json
import os
import pwd
import shutil
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from tests.support import toml
from tests.systemd.machine import SERVICE, SOCKET, Ended, as_user, is_active, main_pid, run, systemctl, until

ROOT: Final = Path(__file__).parent.parent.parent
INSTALL: Final = ROOT / "systemd" / "install"
ETC: Final = Path("/etc/ordernpay")
CONFIG: Final = ETC / "ordernpay.toml"
CREDENTIALS: Final = ETC / "credentials"
STATE: Final = Path("/var/lib/ordernpay")
JOURNAL: Final = STATE / "journal.sqlite3"
RELEASES: Final = Path("/opt/ordernpay/releases")
CURRENT: Final = Path("/opt/ordernpay/current")
DROP_INS: Final = Path("/etc/systemd/system/ordernpay.service.d")
INBOUND: Final = "http://127.0.0.1:8710"
TILLS: Final = "simulated-tills.service"
TILL: Final = "http://127.0.0.1:8720"
"""The helpers of the till that session `bar` dials: what it did, and the faults it is told to have."""

SECRET_KEYS: Final = frozenset({"auth_secret", "client_secret", "webhook_secret", "guid", "guid2"})
USERS: Final = {"kiosk": ["ordernpay"], "boss": ["ordernpay", "ordernpay-admin"], "guest": []}


def wheels() -> str:
    """The folder from which the service is installed without a network."""
    return os.environ["ORDERNPAY_WHEELS"]


def install(*options: str, tree: Path = ROOT) -> Ended:
    """`systemd/install OPTIONS…`, as it ended."""
    return run(str(tree / "systemd" / "install"), "--wheels", wheels(), *options, seconds=200)


def uninstall(*options: str) -> Ended:
    """`systemd/install --uninstall OPTIONS…`, as it ended."""
    return run(str(INSTALL), "--uninstall", *options, seconds=90)


def release() -> str:
    """The name of the release in use."""
    return CURRENT.readlink().name


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """A file that has never been readable by others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode)
    path.chmod(mode)
    path.write_text(text, encoding="utf-8")


def add_users() -> None:
    """The local users, in the groups that the operator's page puts them in."""
    for user, groups in USERS.items():
        try:
            pwd.getpwnam(user)
        except KeyError:
            run("useradd", "--create-home", user).done()
        for group in groups:
            run("adduser", "--quiet", user, group).done()


@frozen
class Tills:
    """The simulated points of sale, which run as a unit of their own beside the service."""

    tables: dict[str, Any]
    """The configuration that reaches them, without their secrets."""
    secrets: dict[str, str]
    """Each secret by the name of its credential."""


def start_tills() -> Tills:
    """Start every simulated point of sale, and read the configuration that it prints."""
    printed = Path("/run/simulated-tills.toml")
    printed.touch()  # systemd opens it when it starts the unit, which may be after this has looked
    run(
        *("systemd-run", "--quiet", f"--unit={TILLS}", f"--property=StandardOutput=truncate:{printed}"),
        *(f"--setenv=PYTHONPATH={ROOT}", "--setenv=PYTHONDONTWRITEBYTECODE=1"),
        *(sys.executable, "-m", "ordernpay", "simulate"),
    ).done()
    text = until(lambda: (told := printed.read_text(encoding="utf-8")) and "# Faults:" in told and told)
    tables = tomllib.loads(str(text))
    secrets: dict[str, str] = {}
    for name, session in tables["sessions"].items():
        for key in SECRET_KEYS & session.keys():
            credential = f"{name}-{key.replace('_', '-')}"
            secrets[credential], session[key] = session[key], {"credential": credential}
    del tables["daemon"]
    tables["rpc"] = {"admin_group": "ordernpay-admin"}
    return Tills(tables, secrets)


def acts(reference: str | None = None) -> list[dict[str, Any]]:
    """What the till of session `bar` did, in order; for one order alone, if its reference is given."""
    with urllib.request.urlopen(f"{TILL}/simulator/acts", timeout=10) as answer:
        told: list[dict[str, Any]] = json.load(answer)["acts"]
    return [act for act in told if reference is None or act["provider_order_id"] == reference]


@define(eq=False)
class Venue:
    """The installed service. What a test changes of it, it puts back."""

    tills: Tills
    drop_ins: list[Path] = field(factory=list)

    def configure(self, tables: dict[str, Any] | None = None) -> None:
        """Write the configuration: as given, or the one that reaches every till."""
        CONFIG.parent.mkdir(exist_ok=True)
        toml.write(CONFIG, self.tills.tables if tables is None else tables)
        CONFIG.chmod(0o640)
        if "ordernpay-daemon" in {group.gr_name for group in grp.getgrall()}:
            shutil.chown(CONFIG, "root", "ordernpay-daemon")

    def install(self) -> None:
        """Install it afresh with every secret and session, and wait until all sessions are up."""
        for name, secret in self.tills.secrets.items():
            write_private(CREDENTIALS / name, secret)
        self.configure()
        install().done()
        add_users()
        self.wait_for_sessions()

    def wait_for_sessions(self) -> None:
        """Until every session is up."""
        until(lambda: self.down() == set(), seconds=40)

    def down(self) -> set[str]:
        """The sessions that are not up."""
        told = run("ordernpay", "call", "session.list")
        if told.status != 0:
            return set(self.tills.tables["sessions"])
        return {session["name"] for session in told.json()["sessions"] if session["state"] != "up"}

    def drop_in(self, name: str, text: str) -> None:
        """An operator's drop-in for the service; in force from its next start on."""
        path = DROP_INS / f"{name}.conf"
        DROP_INS.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.drop_ins.append(path)
        systemctl("daemon-reload").done()

    def take_drop_ins_out(self) -> None:
        """The unit as shipped, from its next start on."""
        for path in self.drop_ins:
            path.unlink(missing_ok=True)
        self.drop_ins.clear()
        systemctl("daemon-reload").done()

    def put_back(self, pid: int) -> None:
        """After a test, however it ended: the configuration and the unit as shipped, the service up.

        Args:
            pid: the daemon's process before the test; the sessions of another one may still be on their way up.
        """
        changed = bool(self.drop_ins) or not is_active()
        if self.drop_ins:
            self.take_drop_ins_out()
        before = CONFIG.read_text(encoding="utf-8") if CONFIG.exists() else ""
        self.configure()
        if changed or before != CONFIG.read_text(encoding="utf-8"):
            systemctl("stop", SOCKET, SERVICE, seconds=100)
            systemctl("reset-failed", SERVICE, SOCKET)
            systemctl("start", SERVICE, seconds=100).done()
        if main_pid() != pid:
            self.wait_for_sessions()


def call(user: str, method: str, **params: Any) -> Ended:
    """`ordernpay call METHOD` by a local user, through the command that is installed."""
    return as_user(user, "ordernpay", "call", method, "--json", json.dumps(params))


def order(reference: str, **changes: Any) -> dict[str, Any]:
    """Params of an `order.create` at `bar`, whose key follows from the reference."""
    return {
        "session": "bar",
        "idempotency_key": f"order-{reference}",
        "order": {
            "reference": reference,
            "table": "7",
            "lines": [{"product": "1203", "name": "Soup", "quantity": 2}],
        },
    } | changes
