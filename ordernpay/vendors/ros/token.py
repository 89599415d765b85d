"""The bearer token of a ROS session: asked for by client credentials, kept until shortly before it expires.

Page: docs.powerepos.cloud/Document/ROS/AccessToken. The address of ROS comes with each token (`svc`) and is used with
that token alone.
"""

import contextlib
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

import anyio
from attrs import frozen

from ordernpay.addresses import address_fault, is_public, origin
from ordernpay.clock import Clock
from ordernpay.jsontext import JsonValue
from ordernpay.outcomes import Failure, Outcome, ended
from ordernpay.vendors.http import Answered, Call, Http, NotSent, Result
from ordernpay.vendors.reading import LONGEST_NUMERAL, Reader
from ordernpay.vendors.ros.settings import RosConfig
from ordernpay.vendors.ros.wire import SCOPE

SHORTEST_LIFE: Final = 1.0
LONGEST_LIFE: Final = 31 * 86_400.0
MODEST_LIFE: Final = 600.0
"""Seconds that a token lives which does not say it, or not sanely; a 401 ends it before."""

REQUEST_SECONDS: Final = 10.0
"""How long one request for a token is waited for: one that was lost must not cost a command all its time."""


@frozen
class Token:
    """A token, the address that it is for, and when it ends on the clock."""

    value: str
    base: str
    ends: float

    def url(self, path: str) -> str:
        """A path of ROS; `svc` may end in a slash or not."""
        return f"{self.base.rstrip('/')}/{path}"


class TokenDesk:
    """Gets tokens, one request at a time for all who wait."""

    def __init__(self, config: RosConfig, http: Http, clock: Clock) -> None:
        self._config = config
        self._http = http
        self._clock = clock
        self._lock = anyio.Lock()
        self._token: Token | None = None
        self._ended = 0
        self._failed: Outcome | NotSent | None = None
        self.refused: str | None = None

    def forget(self, token: Token | None) -> None:
        """This token was refused; only that one is forgotten, another may have come meanwhile."""
        if self._token is token:
            self._token = None

    def doubt(self) -> None:
        """ROS is not to be reached where the token says: ask anew, since its address may have changed."""
        self._token = None

    async def get(self, deadline: float) -> Token | Outcome | NotSent:
        """A token that still lives, or why there is none."""
        came = self._ended
        with anyio.move_on_after(max(0.0, deadline - self._clock.now())):
            async with self._lock:
                token = self._token
                if token is not None and token.ends > self._clock.now():
                    return token
                if self._ended > came and self._failed is not None:
                    return self._failed  # the request that this one waited for is as good as its own
                result = await self._http.send(self._request(), min(deadline, self._clock.now() + REQUEST_SECONDS))
                hurried = self._clock.now() >= deadline
                found = self._read(result, hurried=hurried)
                if not hurried:
                    self._ended += 1
                    self._failed = None if isinstance(found, Token) else found
                return found
        return NotSent("no token until the timeout", hurried=True)

    def _request(self) -> Call:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._config.client_id,
            "client_secret": self._config.client_secret.reveal(),
            "org_id": self._config.organisation,
            "scope": SCOPE,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        return Call("POST", self._config.auth_url, headers, urlencode(form).encode())

    def _read(self, result: Result, *, hurried: bool) -> Token | Outcome | NotSent:
        if not isinstance(result, Answered):
            return NotSent(f"authorisation server: {result.why}", hurried)
        if result.status in {400, 401, 403}:
            self.refused = f"the authorisation server refused our credentials with HTTP {result.status}"
            return ended(Failure("unauthorised", self.refused, vendor_code=result.status))
        if not result.ok:
            return NotSent(f"the authorisation server answered HTTP {result.status}")
        token = self._token = self._token_of(result.json())
        if token is None:
            return NotSent("the authorisation server answered without a token for an address that may be used (svc)")
        self.refused = None
        return token

    def _token_of(self, body: JsonValue) -> Token | None:
        reader = Reader(body if isinstance(body, dict) else {})
        value, base = reader.text("access_token"), reader.text("svc")
        if not value or not base or not value.isascii() or not value.isprintable() or " " in value:
            return None
        if set("?#") & set(base) or not self._may_lead_to(base):
            return None
        life = _life(reader.get("expires_in"))
        margin = min(self._config.token_margin, life / 2)
        return Token(value, base, self._clock.now() + max(SHORTEST_LIFE, life - margin))

    def _may_lead_to(self, base: str) -> bool:
        """Whether an address that came with a token is one to go to with it.

        The authorisation server says where ROS is; it does not say what else there is on this machine and in its network.
        """
        if address_fault(base, ("https", "http"), allow_insecure=self._config.allow_insecure):
            return False
        scheme, host, _ = origin(base)
        known = {origin(url) for url in (self._config.auth_url, *self._config.service_urls)}
        return origin(base) in known or (scheme == "https" and is_public(host))


def _life(told: JsonValue) -> float:
    """The seconds of ``expires_in``, in any spelling (RFC 6749 allows to leave them out)."""
    seconds = 0.0
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(told, int | Decimal | str) and not isinstance(told, bool) and len(str(told)) < LONGEST_NUMERAL:
            seconds = float(told)
    return seconds if SHORTEST_LIFE <= seconds <= LONGEST_LIFE else MODEST_LIFE
