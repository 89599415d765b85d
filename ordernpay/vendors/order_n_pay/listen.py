"""The role in which the POS opens the websocket: it proves itself, gets a token, and connects with it.

Page: docs.powerepos.cloud/Document/OrderNPay/WebsocketAuthentication. The POS posts three values to the same host
that the websocket has; all three must match, and each comparison takes the same time whatever came.

A token is signed and nothing of it is kept, so that it outlives a restart, and whoever has the outlet's secret can tell
it: any node behind the same address. Its format, in base64url:

| bytes | what                                                                                                  |
|-------|-------------------------------------------------------------------------------------------------------|
| 1     | version                                                                                               |
| 8     | the outlet: a digest of ProviderOutletID and POSRemoteID, by which its session is found               |
| 8     | when it ends, in milliseconds since 1970                                                              |
| 12    | random                                                                                                |
| 32    | HMAC-SHA256 of all that, under a key that is derived from AuthSecret                                  |
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

from ordernpay.clock import Clock
from ordernpay.jsontext import JsonValue
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.protocol import HttpAnswer, HttpRequest
from ordernpay.vendors.reading import Reader, tolerant

VERSION: Final = b"\x01"
OUTLET_BYTES: Final = 8
SIGNED_BYTES: Final = 1 + OUTLET_BYTES + 8 + 12
TOKEN_BYTES: Final = SIGNED_BYTES + 32
AHEAD: Final = 60.0
"""Seconds by which the clocks of two nodes may differ."""

PURPOSE: Final = b"ordernpay: websocket tokens of order-n-pay"
MOST_LENGTH: Final = 1_024
"""Characters of a credential that are looked at."""

NO_OBJECT: Final = HttpAnswer(400, {"AccessToken": None, "ErrorMessage": "Expected a JSON object."})
REFUSAL: Final = HttpAnswer(401, {"AccessToken": None, "ErrorMessage": "The credentials do not match."})


def outlet_of(provider_outlet_id: str, pos_remote_id: str) -> bytes:
    """A digest by which an outlet is found; the length goes with each name, so that no two outlets share one."""
    names = b"".join(
        len(name).to_bytes(4, "big") + name for name in (provider_outlet_id.encode(), pos_remote_id.encode())
    )
    return hashlib.sha256(names).digest()[:OUTLET_BYTES]


def outlet_of_request(request: HttpRequest) -> bytes | None:
    """The outlet that a token request names; None where it is none."""
    body = _read(request)
    return (
        None if body is None else outlet_of(*(_credential(body, name) for name in ("ProviderOutletID", "POSRemoteID")))
    )


def outlet_of_token(token: str) -> bytes | None:
    """The outlet that a token is of, if it is one."""
    decoded = _decode(token)
    return None if decoded is None else decoded[1 : 1 + OUTLET_BYTES]


class TokenDesk:
    """Checks a POS' credentials and hands out tokens for one outlet, each with a lifetime.

    Args:
        config: of the session.
        clock: for the tokens' end.
        parameter: of a query, in which a token comes back.
    """

    def __init__(self, config: OrderNPayConfig, clock: Clock, parameter: str = "token") -> None:
        self._parameter = parameter
        self._config = config
        self._clock = clock
        self.outlet = outlet_of(config.provider_outlet_id or "", config.pos_remote_id or "")
        secret = config.auth_secret.reveal() if config.auth_secret else ""
        complete = config.provider_outlet_id and config.pos_remote_id and secret
        self._expected = (
            (
                ("ProviderOutletID", config.provider_outlet_id or ""),
                ("POSRemoteID", config.pos_remote_id or ""),
                ("AuthSecret", secret),
            )
            if complete
            else ()
        )
        self._key = hmac.digest(secret.encode(), PURPOSE, "sha256")

    async def authenticate(self, request: HttpRequest) -> HttpAnswer | None:
        """A token for who has all three values; None for anybody else."""
        body = _read(request)
        if body is None:
            return NO_OBJECT
        matches = [_same(_credential(body, name), value) for name, value in self._expected]
        if not matches or not all(matches):
            return None
        return HttpAnswer(200, {"AccessToken": self.issue(), "ErrorMessage": None})

    def token_of(self, request: HttpRequest) -> str:
        """The token that a websocket's address has."""
        return request.query.get(self._parameter, "")

    def find(self, request: HttpRequest) -> bytes | None:
        """The outlet of that token, if it is one."""
        return outlet_of_token(self.token_of(request))

    def issue(self) -> str:
        """A token that is good for `token_seconds`."""
        ends = int((self._clock.wall() + self._config.token_seconds) * 1000)
        signed = VERSION + self.outlet + ends.to_bytes(8, "big") + secrets.token_bytes(12)
        return base64.urlsafe_b64encode(signed + self._sign(signed)).rstrip(b"=").decode()

    def knows(self, token: str) -> bool:
        """Whether a token was handed out for this outlet and still lives."""
        decoded = _decode(token)
        if decoded is None or not self._expected:
            return False
        signed, signature = decoded[:SIGNED_BYTES], decoded[SIGNED_BYTES:]
        genuine = hmac.compare_digest(self._sign(signed), signature)
        left = int.from_bytes(signed[1 + OUTLET_BYTES : 9 + OUTLET_BYTES], "big") / 1000 - self._clock.wall()
        # One that ends later than any that is given now was given while the clock was wrong.
        return (
            genuine and signed[1 : 1 + OUTLET_BYTES] == self.outlet and 0 < left <= self._config.token_seconds + AHEAD
        )

    def _sign(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, "sha256")


def _read(request: HttpRequest) -> Reader | None:
    try:
        body: JsonValue = tolerant(request.body)
    except (ValueError, RecursionError):
        return None
    return Reader(body) if isinstance(body, dict) else None


def _credential(body: Reader, name: str) -> str:
    return (body.text(name) or "")[:MOST_LENGTH]


def _same(given: str, wanted: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing of either: not even of their lengths."""
    key = secrets.token_bytes(16)
    digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key).digest() for text in (given, wanted)]
    return hmac.compare_digest(*digests)


def _decode(token: str) -> bytes | None:
    """The bytes of a token; None where it can be none."""
    try:
        decoded = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if len(decoded) == TOKEN_BYTES and decoded[:1] == VERSION else None
