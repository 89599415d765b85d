"""How the POS and the provider know each other, before the websocket.

Source: https://docs.powerepos.cloud/Document/OrderNPay/WebsocketAuthentication

Assumed, because no page that was seen says it: the token is fetched with POST and JSON, it may be used again, its query
parameter is called ``token``, a refusal is 401 for the fetch and 403 for the websocket, and the websocket's path is ``/``.
"""

from typing import Final

from attrs import field, frozen

AUTH_PATH: Final = "/api/powerepos/v1/auth"
SOCKET_PATH: Final = "/"
PARAMETER: Final = "token"


@frozen
class Credentials:
    """What the POS shows to get a token; ``provider_outlet_id`` and ``pos_remote_id`` name the same outlet."""

    provider_outlet_id: str
    pos_remote_id: str
    auth_secret: str = field(repr=False)

    def as_request(self) -> dict[str, str]:
        """The credentials as an ``OrderNPayAuthTokenRequest``."""
        return {
            "ProviderOutletID": self.provider_outlet_id,
            "POSRemoteID": self.pos_remote_id,
            "AuthSecret": self.auth_secret,
        }
