"""Property tests judge what comes out, not how fast a busy machine was."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
