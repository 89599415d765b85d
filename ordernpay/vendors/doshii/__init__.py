"""Doshii, the App partner's side: orders by REST, events by socket or webhooks. Pages: support.doshii.com."""
