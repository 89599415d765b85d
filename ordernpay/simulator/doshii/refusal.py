"""A request that Doshii does not grant."""


class Refused(Exception):
    """An answer other than 200, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
