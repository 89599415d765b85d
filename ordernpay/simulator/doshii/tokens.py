"""How Doshii knows an App: a JWT signed with the client secret, made anew for every request or nearly so.

Source: https://support.doshii.com/developer-support/hc/en-us/articles/360000657494-app-authentication

Assumed, because the page does not say it: further claims are tolerated, and a ``timestamp`` may be up to 10 minutes in
the future, too.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Any, Final

from attrs import field, frozen

from ordernpay.simulator.doshii.refusal import Refused

LIFETIME: Final = 600
PART: Final = r"([A-Za-z0-9_-]+)"
BEARER: Final = re.compile(rf"Bearer {PART}\.{PART}\.{PART}")


@frozen
class App:
    """What Doshii gave to an App."""

    client_id: str = "app-client-7731"
    client_secret: str = field(default="not-a-real-secret", repr=False)

    @property
    def socket_auth(self) -> str:
        """The socket's ``auth``: the client ID alone."""
        return base64.b64encode(self.client_id.encode()).decode()


def check(authorization: str | None, app: App, now: float) -> None:
    """Check an Authorization header at a time in epoch seconds.

    Raises:
        Refused: It is missing, or not this App's, or not of the last 10 minutes.
    """
    if authorization is None:
        raise Refused(401, "The Authorization header is missing.")
    parts = BEARER.fullmatch(authorization)
    if parts is None:
        raise Refused(401, "The Authorization header must be 'Bearer ' and a JWT.")
    head, claims, signature = parts.groups()
    wanted = hmac.digest(app.client_secret.encode(), f"{head}.{claims}".encode(), hashlib.sha256)
    if _object(head).get("alg") != "HS256":
        raise Refused(401, "The JWT's alg must be HS256.")
    if not hmac.compare_digest(wanted, _bytes(signature)):
        raise Refused(401, "The JWT is not signed with the client secret.")
    said = _object(claims)
    if said.get("clientId") != app.client_id:
        raise Refused(401, "The JWT's clientId is not this App's.")
    timestamp = said.get("timestamp")
    if type(timestamp) is not int:
        raise Refused(401, "The JWT's timestamp must be a whole number of epoch seconds.")
    if abs(now - timestamp) > LIFETIME:
        raise Refused(401, "The JWT's timestamp, in epoch seconds, is not within 10 minutes.")


def _bytes(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise Refused(401, "The JWT's parts must be base64url.") from None


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        raise Refused(401, "The JWT's parts must be JSON.") from None
    if not isinstance(value, dict):
        raise Refused(401, "The JWT's parts must be objects.")
    return value
