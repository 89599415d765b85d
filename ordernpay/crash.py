"""Named points on the way of a command at which a test may kill the process.

``ORDERNPAY_CRASH=settled:3`` kills the process with SIGKILL the third time the point ``settled`` is passed.
Without the variable a point costs one comparison. The points, in the order in which a command passes them:

1. ``received``  checked, nothing written
2. ``accepted``  durable, not yet handed to its session
3. ``sending``   durably marked as sent, no byte on the wire
4. ``written``   handed to the connection
5. ``answered``  the vendor's answer is known in memory only
6. ``settled``   the outcome is durable, the caller does not know it yet
7. ``replied``   the caller's answer is queued
"""

import os
import signal
from typing import Final

POINTS: Final = ("received", "accepted", "sending", "written", "answered", "settled", "replied")

_armed, _, _count = os.environ.get("ORDERNPAY_CRASH", "").partition(":")
_left = int(_count or 1)


def point(name: str) -> None:
    """Die here if a test asked for it."""
    global _left  # noqa: PLW0603 - a countdown of the process, armed once by its environment
    if name != _armed:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
