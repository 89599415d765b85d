"""The states of a journaled command and every way from one to another. Nothing else changes a state.

| from       | to          | when                                                                               |
|------------|-------------|------------------------------------------------------------------------------------|
| (nothing)  | `accepted`  | the command is checked; durable before its session sees it                         |
| `accepted` | `sent`      | bytes may go out from here on; durable before the first                            |
| `accepted` | `failed`    | never sent: the timeout passed, the session was down and the caller would not wait |
| `accepted` | `rejected`  | the vendor refused a first step that has no effect, such as a calculation          |
| `accepted` | `succeeded` | what was asked for stands already: a cancelled order is not cancelled again        |
| `sent`     | `succeeded` | the vendor did it                                                                  |
| `sent`     | `rejected`  | the vendor said no                                                                 |
| `sent`     | `failed`    | certainly without effect: no byte went out after all, or the vendor could not act  |
| `sent`     | `unknown`   | no answer in time                                                                  |
| `unknown`  | `succeeded` | a late answer, a webhook, or a person's verdict                                    |
| `unknown`  | `rejected`  | a late answer or a webhook                                                         |
| `unknown`  | `failed`    | a person's verdict, or the vendor's word that it could not act                     |
| `unknown`  | `sent`      | sent again under its own identity                                                  |
| `failed`   | `accepted`  | the same key again: tried afresh, since it had no effect                           |
| `failed`   | `succeeded` | the vendor's error was not the last word: a webhook or a late answer shows it done |

At start: `accepted` goes on while its deadline lasts, else `failed`; `sent` is for its vendor to decide: sent
again under its own identity while its deadline lasts, else `unknown`.
"""

from typing import Final

from ordernpay.outcomes import State

TRANSITIONS: Final[frozenset[tuple[State, State]]] = frozenset(
    {
        ("accepted", "sent"),
        ("accepted", "failed"),
        ("accepted", "rejected"),
        ("accepted", "succeeded"),
        ("sent", "succeeded"),
        ("sent", "rejected"),
        ("sent", "failed"),
        ("sent", "unknown"),
        ("unknown", "succeeded"),
        ("unknown", "rejected"),
        ("unknown", "failed"),
        ("unknown", "sent"),
        ("failed", "accepted"),
        ("failed", "succeeded"),
    }
)

OPEN: Final[tuple[State, ...]] = ("accepted", "sent")
SETTLED: Final[tuple[State, ...]] = ("succeeded", "rejected", "failed")


class InvalidTransition(Exception):
    """A command is not in a state from which it could go there."""

    def __init__(self, command_id: str, was: State, to: State) -> None:
        super().__init__(f"command {command_id} is {was} and cannot become {to}")
        self.was = was
        self.to = to


def check(command_id: str, was: State, to: State) -> None:
    """Allow a change of state, or raise `InvalidTransition`."""
    if (was, to) not in TRANSITIONS:
        raise InvalidTransition(command_id, was, to)
