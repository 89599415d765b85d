"""HTTP for vendors that call us, and for metrics and health."""

from ordernpay.inbound.application import WEBHOOK_RESULTS, HttpDoor

__all__ = ["WEBHOOK_RESULTS", "HttpDoor"]
