"""The role in which the POS opens the websocket: it proves itself, gets a token, and connects with it.

Page: docs.powerepos.cloud/Document/OrderNPay/WebsocketAuthentication. The POS posts three values to the same host
that the websocket has; all three must match, and each comparison takes the same time whatever came.
"""

import hashlib
import hmac
import secrets
from typing import Final

from ordernpay.clock import Clock
from ordernpay.jsontext import JsonError, loads
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.protocol import HttpAnswer, HttpRequest
from ordernpay.vendors.reading import Reader

MOST_TOKENS: Final = 64

REFUSAL: Final = HttpAnswer(401, {"AccessToken": None, "ErrorMessage": "The credentials do not match."})


class TokenDesk:
    """Checks a POS' credentials and hands out tokens for one outlet, each with a lifetime. Tokens live in memory only."""

    def __init__(self, config: OrderNPayConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._tokens: dict[bytes, float] = {}

    async def authenticate(self, request: HttpRequest) -> HttpAnswer | None:
        """A token for who has all three values; None for anybody else."""
        try:
            body = loads(request.body)
        except JsonError:
            return HttpAnswer(400, {"AccessToken": None, "ErrorMessage": "Expected a JSON object."})
        if not isinstance(body, dict):
            return HttpAnswer(400, {"AccessToken": None, "ErrorMessage": "Expected a JSON object."})
        reader = Reader(body)
        secret = self._config.auth_secret
        expected = {
            "ProviderOutletID": self._config.provider_outlet_id or "",
            "POSRemoteID": self._config.pos_remote_id or "",
            "AuthSecret": secret.reveal() if secret else "",
        }
        matches = [
            hmac.compare_digest((reader.text(name) or "").encode(), value.encode()) for name, value in expected.items()
        ]
        if not all(matches) or not all(expected.values()):
            return None
        return HttpAnswer(200, {"AccessToken": self._issue(), "ErrorMessage": None})

    def _issue(self) -> str:
        token = secrets.token_urlsafe(32)
        self._forget_expired()
        while len(self._tokens) >= MOST_TOKENS:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[_digest(token)] = self._clock.now() + self._config.token_seconds
        return token

    def knows(self, token: str) -> bool:
        """Whether a token was handed out here and still lives."""
        self._forget_expired()
        return _digest(token) in self._tokens

    def _forget_expired(self) -> None:
        now = self._clock.now()
        self._tokens = {token: end for token, end in self._tokens.items() if end > now}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
