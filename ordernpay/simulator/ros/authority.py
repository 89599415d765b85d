"""The auth server of PowerEPOS, without I/O.

Sources: https://docs.powerepos.cloud/Document/ROS/AccessToken,
https://docs.powerepos.cloud/Model/POSCorePublic.Security.AuthServerClaims

Assumed, because no page that was seen says it: errors have the form of RFC 6749; wrong client credentials are 401, all
else 400; a field that the page does not name is refused; the refresh grant is refused, as no page of ROS describes it.
"""

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import parse_qsl

from attrs import field, frozen

from ordernpay.simulator.pages import Record
from ordernpay.simulator.ros.book import RefusedError
from ordernpay.simulator.ros.venue import Organisation

TOKEN_PATH: Final = "/authorisation/token"  # noqa: S105 - a path
LIFETIME: Final = 28_800
FORM: Final = "application/x-www-form-urlencoded"
SCOPE: Final = frozenset({"ros", "offline_access"})
FIELDS: Final = frozenset({"grant_type", "client_id", "client_secret", "org_id", "scope"})


@frozen
class Credentials:
    """What the provider got at its onboarding."""

    client_id: str = "demo-client"
    client_secret: str = field(default="demo-client-secret", repr=False)


@frozen
class Grant:
    """What a token opens: one organisation, at one place, until a time of the clock."""

    organisation: Organisation
    place: str
    until: float


class Authority:
    """The auth server.

    Args:
        credentials: What opens it.
        organisations: For whom tokens are given.
        clock: Monotonic seconds.

    Attributes:
        lifetime: Seconds that the next token will live.
        moving: Whether ROS moves at each token; otherwise only when it is told to.
        svc: What the next answers say instead of where ROS is; None for the truth.
        requests: How many token requests came, refused ones included.
        issued: How many tokens were given.
    """

    def __init__(
        self,
        credentials: Credentials,
        organisations: Iterable[Organisation],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.credentials = credentials
        self.organisations = {one.code: one for one in organisations}
        self.lifetime: float = LIFETIME
        self.moving = False
        self.svc: str | None = None
        self.requests = self.issued = 0
        self._clock = clock
        self._moves = 1
        self._grants: dict[str, Grant] = {}

    @property
    def place(self) -> str:
        """The first part of the path below which ROS is found with the next token."""
        return f"ros{self._moves}"

    def move(self) -> None:
        """Have the next token name another place. Older tokens stay good where they were."""
        self._moves += 1

    def revoke(self) -> None:
        """Let all tokens given so far be good no more."""
        self._grants.clear()

    def knows(self, place: str) -> bool:
        """Whether ROS is or was at this place."""
        return place in {f"ros{number}" for number in range(1, self._moves + 1)}

    def token(self, content_type: str, body: bytes, base_url: str) -> Record:
        """Answer a token request.

        Raises:
            RefusedError: With the error code of RFC 6749.
        """
        self.requests += 1
        organisation = self._check(content_type, body)
        if self.moving and self.issued:
            self.move()
        svc = self.svc or f"{base_url}/{self.place}/"
        token = _jwt({"org_id": organisation.code, "kapow": organisation.kapow, "svc": svc, "jti": str(uuid.uuid4())})
        self._grants[token] = Grant(organisation, self.place, self._clock() + self.lifetime)
        self.issued += 1
        return {
            "token_type": "Bearer",
            "access_token": token,
            "expires_in": int(self.lifetime),
            "refresh_token": secrets.token_urlsafe(),
            "svc": svc,
            "org_id": organisation.code,
        }

    def _check(self, content_type: str, body: bytes) -> Organisation:
        if content_type.partition(";")[0].strip().lower() != FORM:
            raise RefusedError(400, "invalid_request")
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError:
            raise RefusedError(400, "invalid_request") from None
        form = dict(pairs)
        if len(form) != len(pairs) or not form.keys() <= FIELDS or "grant_type" not in form:
            raise RefusedError(400, "invalid_request")
        if form["grant_type"] != "client_credentials":
            raise RefusedError(400, "unsupported_grant_type")
        if Credentials(form.get("client_id", ""), form.get("client_secret", "")) != self.credentials:
            raise RefusedError(401, "invalid_client")
        if frozenset(form.get("scope", "").split(" ")) != SCOPE:
            raise RefusedError(400, "invalid_scope")
        organisation = self.organisations.get(form.get("org_id", ""))
        if organisation is None:
            raise RefusedError(400, "invalid_request")
        return organisation

    def grant(self, authorization: str | None, place: str) -> Grant:
        """What the header of a request to this place opens.

        Raises:
            RefusedError: Nothing.
        """
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token) if scheme == "Bearer" else None
        if grant is None or grant.place != place or self._clock() >= grant.until:
            raise RefusedError(401, "There is no token, or it is invalid here, or no more.")
        return grant


def _jwt(claims: Record) -> str:
    """In the form of a token that nobody but its issuer can check."""
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, secrets.token_bytes(32)))
