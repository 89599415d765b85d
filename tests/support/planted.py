"""Secrets planted in the tests. After the whole run none of them may stand in anything that a daemon has written."""

AUTH_SECRET = "PLANTED-auth-secret-7Qw2"
PIN = "PLANTED-pin-4815"
WRONG_PIN = "PLANTED-pin-1623"
PROVIDER_OUTLET_ID = "venue-42"
POS_REMOTE_ID = "remote-7"
USER = "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4"

NEEDLES = ("PLANTED-",)
