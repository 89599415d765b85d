"""What sessions that dial a websocket share."""

from websockets.asyncio.client import connect


class Connect(connect):
    """A redirect is an answer like any other: followed, it would lead past the configured address and its TLS."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc
