"""Sessions in the role in which the POS dials, for tests that need a door of their own."""

import socket
from typing import Any

from tests.support import planted
from tests.support.daemons import session


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def listening(**changes: Any) -> dict[str, Any]:
    """The table of a session that waits for its POS, with the planted credentials."""
    return session(
        role="listen",
        provider_outlet_id=planted.PROVIDER_OUTLET_ID,
        pos_remote_id=planted.POS_REMOTE_ID,
        auth_secret=planted.AUTH_SECRET,
        **changes,
    )


def inbound(port: int, **changes: Any) -> dict[str, Any]:
    """The table of the HTTP door."""
    return {"host": "127.0.0.1", "port": port} | changes
