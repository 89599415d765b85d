"""Every row of the table at the top of `tries`, and what must hold whatever a vendor answers."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.jsontext import dumps
from ordernpay.outcomes import Failure, Outcome, ended
from ordernpay.vendors.http import Answered, NoAnswer, NotSent, Result
from ordernpay.vendors.tries import UNREACHED_MOST, Again, Rules, Tries, refusal, unanswered
from tests.vendors.given import anything, objects

DELAYS: Final = (0.5, 1.0, 2.0)
GATEWAY: Final = frozenset({502, 504})


def tries(*, repeatable: bool = False, changes: bool = True, **more: Any) -> Tries:
    own = {name: more.pop(name) for name in ("may_wait", "can_renew", "ambiguous") if name in more}
    rules: dict[str, Any] = {"unavailable_seconds": 30.0, "error_delays": DELAYS} | more
    state: dict[str, Any] = {"may_wait": True, "can_renew": True, "ambiguous": False} | own
    return Tries(Rules(repeatable, changes, **rules), "s", **state, pick=lambda: 1.0)


def again(follows: object) -> Again:
    assert isinstance(follows, Again), follows
    return follows


def end(follows: object) -> tuple[str, str, bool | None]:
    assert isinstance(follows, Outcome), follows
    assert follows.failure is not None
    return follows.state, follows.failure.kind, follows.failure.retryable


UNKNOWN: Final = ("unknown", "outcome_unknown", False)
REPEATABLE: Final = ("unknown", "outcome_unknown", True)


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_vendor_that_was_not_reached_is_tried_again_with_growing_pauses(
    repeatable: bool,  # noqa: FBT001 - a case
) -> None:
    state = tries(repeatable=repeatable)
    follows = [again(state.after(NotSent("refused"))) for _ in range(8)]
    assert [entry.pause for entry in follows] == [0.2, 0.4, 0.8, 1.6, 3.2, UNREACHED_MOST, UNREACHED_MOST, 5.0]
    assert {end(entry.otherwise) for entry in follows} == {("failed", "expired", None)}
    assert not any(entry.renew for entry in follows)


def test_the_pauses_have_jitter_and_are_never_nothing() -> None:
    state = tries()
    state.pick = lambda: 0.0
    assert again(state.after(NotSent("refused"))).pause == 0.05
    for _ in range(2_000):
        state.after(NotSent("refused"))
    state.pick = lambda: 0.5
    assert again(state.after(NotSent("refused"))).pause == UNREACHED_MOST / 2


def test_a_caller_who_does_not_wait_is_told_at_once_that_the_session_is_down() -> None:
    assert end(tries(may_wait=False).after(NotSent("refused"))) == ("failed", "session_unavailable", None)


def test_a_caller_who_does_not_wait_and_was_out_of_time_is_not_told_that_the_session_is_down() -> None:
    follows = again(tries(may_wait=False).after(NotSent("no time left", hurried=True)))
    assert end(follows.otherwise) == ("failed", "expired", None)


def test_no_answer_to_what_may_be_repeated_is_tried_again() -> None:
    follows = again(tries(repeatable=True).after(NoAnswer("reset")))
    assert (follows.pause, end(follows.otherwise)) == (0.2, REPEATABLE)


def test_no_answer_to_what_may_not_be_repeated_is_unknown() -> None:
    assert end(tries().after(NoAnswer("reset"))) == UNKNOWN


def test_no_answer_to_a_read_has_had_no_effect() -> None:
    follows = again(tries(repeatable=True, changes=False).after(NoAnswer("reset")))
    assert end(follows.otherwise) == ("failed", "vendor_unavailable", None)
    assert end(tries(changes=False).after(NoAnswer("reset"))) == ("failed", "vendor_unavailable", None)


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_401_is_tried_once_more_with_new_credentials(repeatable: bool) -> None:  # noqa: FBT001 - a case
    state = tries(repeatable=repeatable)
    follows = again(state.after(Answered(401)))
    assert (follows.pause, follows.renew) == (0.0, True)
    assert end(follows.otherwise) == ("rejected", "unauthorised", None)
    assert end(state.after(Answered(401))) == ("rejected", "unauthorised", None)


@pytest.mark.parametrize("body", [b"<html>OK</html>", b"{", b"\xff"])
def test_a_good_answer_that_is_no_json_may_come_from_something_on_the_way(body: bytes) -> None:
    assert end(tries().after(Answered(200, body))) == UNKNOWN
    state = tries(repeatable=True)
    assert end(again(state.after(Answered(200, body))).otherwise) == REPEATABLE
    assert end(state.after(Answered(404)))[0] == "unknown"


@pytest.mark.parametrize("body", [b"<html>OK</html>", b"{", b"\xff"])
def test_nothing_is_read_out_of_an_answer_that_is_no_json(body: bytes) -> None:
    state = tries(repeatable=True, changes=False)
    assert end(again(state.after(Answered(200, body))).otherwise) == ("failed", "vendor_unavailable", None)
    answer = Answered(200)
    assert state.after(answer) is answer


def test_what_nobody_reads_is_looked_at_without_being_taken_apart() -> None:
    probe = tries(changes=False)
    assert end(probe.after(Answered(200, b" <html>OK</html>"))) == ("failed", "vendor_unavailable", None)
    for body in (b"", b" {", b"[1, 2", b'"x', b"null", b"-1", b"7"):
        assert probe.after(Answered(200, body)) == Answered(200, body)


@pytest.mark.parametrize("body", [b"", b" \r\n", b"null", b" null ", b"{}", b"[]", b"false", b'"id"'])
def test_a_good_answer_may_be_nothing_at_all(body: bytes) -> None:
    answer = Answered(200, body)
    assert tries().after(answer) is answer


def test_a_401_without_credentials_to_be_had_anew_is_the_answer() -> None:
    assert end(tries(can_renew=False).after(Answered(401))) == ("rejected", "unauthorised", None)


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_503_is_tried_again_after_its_pause_however_often(repeatable: bool) -> None:  # noqa: FBT001 - a case
    state = tries(repeatable=repeatable)
    for _ in range(10):
        follows = again(state.after(Answered(503)))
        assert (follows.pause, follows.renew, end(follows.otherwise)[1]) == (30.0, False, "vendor_unavailable")


def test_a_503_without_a_pause_of_its_own_is_like_any_5xx() -> None:
    state = tries(unavailable_seconds=None)
    assert [again(state.after(Answered(503))).pause for _ in DELAYS] == [*DELAYS]
    assert end(state.after(Answered(503))) == ("failed", "vendor_unavailable", None)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("status", [429, 500, 501, 502, 504, 599])
def test_another_5xx_is_tried_again_a_few_times(status: int, repeatable: bool) -> None:  # noqa: FBT001 - a case
    state = tries(repeatable=repeatable)
    for delay in DELAYS:
        follows = again(state.after(Answered(status)))
        assert (follows.pause, end(follows.otherwise)) == (delay, ("failed", "vendor_unavailable", None))
    assert end(state.after(Answered(status))) == ("failed", "vendor_unavailable", None)


@pytest.mark.parametrize("status", sorted(GATEWAY))
def test_an_ambiguous_status_is_as_good_as_no_answer(status: int) -> None:
    rules = Rules(repeatable=False, changes=True, error_delays=DELAYS, ambiguous=GATEWAY)
    assert end(Tries(rules, "s", may_wait=True, can_renew=False, ambiguous=False).after(Answered(status))) == UNKNOWN
    rules = Rules(repeatable=True, changes=True, error_delays=DELAYS, ambiguous=GATEWAY)
    state = Tries(rules, "s", may_wait=True, can_renew=False, ambiguous=False)
    follows = again(state.after(Answered(status)))
    assert (follows.pause, end(follows.otherwise)) == (DELAYS[0], REPEATABLE)
    assert end(state.after(Answered(400)))[0] == "unknown"


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_change_that_is_sent_elsewhere_may_have_been_carried_out(status: int, repeatable: bool) -> None:  # noqa: FBT001
    state = tries(repeatable=repeatable)
    assert end(state.after(Answered(status))) == (REPEATABLE if repeatable else UNKNOWN)
    assert state.ambiguous
    assert end(tries(repeatable=repeatable, changes=False).after(Answered(status)))[0] == "rejected"


def test_an_ambiguous_status_is_told_with_the_vendors_words() -> None:
    answer = Answered(502, b'{"Message": "Till offline"}')
    rules = Rules(repeatable=False, changes=True, ambiguous=GATEWAY)
    outcome = Tries(rules, "s", may_wait=True, can_renew=False, ambiguous=False).after(answer)
    assert isinstance(outcome, Outcome)
    assert outcome.failure is not None
    assert (outcome.failure.vendor_code, outcome.failure.vendor_message) == (502, "Till offline")
    assert outcome.failure.message == "sent, and it may have acted: the vendor answered HTTP 502: Till offline"
    assert outcome.vendor == {"Message": "Till offline"}


def test_an_ambiguous_status_of_a_read_is_no_doubt() -> None:
    rules = Rules(repeatable=False, changes=False, ambiguous=GATEWAY)
    outcome = Tries(rules, "s", may_wait=True, can_renew=False, ambiguous=False).after(Answered(502))
    assert end(outcome) == ("failed", "vendor_unavailable", None)
    assert isinstance(outcome, Outcome)
    assert outcome.failure is not None
    assert outcome.failure.vendor_code == 502


@pytest.mark.parametrize(
    ("status", "state", "kind"),
    [
        (300, "rejected", "rejected"),
        (307, "rejected", "rejected"),
        (400, "rejected", "rejected"),
        (402, "rejected", "rejected"),
        (403, "rejected", "unauthorised"),
        (404, "rejected", "not_found"),
        (409, "rejected", "conflict"),
        (413, "rejected", "rejected"),
        (422, "rejected", "rejected"),
    ],
)
@pytest.mark.parametrize("repeatable", [True, False])
def test_anything_else_is_the_answer(status: int, state: str, kind: str, repeatable: bool) -> None:  # noqa: FBT001
    assert end(tries(repeatable=repeatable).after(Answered(status))) == (state, kind, None)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_the_answer_also_after_doubt(status: int) -> None:
    answer = Answered(status)
    assert tries().after(answer) is answer
    assert tries(ambiguous=True).after(answer) is answer


def test_a_vendor_can_say_no_with_a_good_status() -> None:
    no = ended(Failure("rejected", "sold out"))
    says_no: dict[str, Any] = {"declined": lambda answer: no if answer.body == b"no" else None}
    assert tries(**says_no).after(Answered(200, b"{}")) == Answered(200, b"{}")
    assert tries(changes=False, **says_no).after(Answered(200, b"{}")) == Answered(200, b"{}")
    says_no = {"declined": lambda _: no}
    assert tries(**says_no).after(Answered(200, b"{}")) is no
    assert end(tries(ambiguous=True, **says_no).after(Answered(200, b"{}")))[0] == "unknown"


def test_a_status_that_is_let_through_is_the_answer() -> None:
    answer = Answered(409)
    assert tries(through=frozenset({409})).after(answer) is answer


# What must hold

statuses = st.sampled_from([200, 201, 302, 400, 401, 403, 404, 409, 429, 500, 502, 503, 504]) | st.integers(200, 599)
results = st.one_of(
    st.builds(Answered, statuses, st.just(b"{}")), st.builds(NotSent, st.just("n")), st.builds(NoAnswer, st.just("n"))
)
rules = st.builds(
    Rules,
    repeatable=st.booleans(),
    changes=st.booleans(),
    unavailable_seconds=st.none() | st.just(30.0),
    error_delays=st.sampled_from([(), DELAYS]),
    ambiguous=st.sampled_from([frozenset(), GATEWAY, frozenset({500, 502, 504})]),
)


@given(rules, st.booleans(), st.booleans(), st.booleans(), st.lists(results, max_size=12))
def test_no_second_effect_and_no_wrong_certainty(
    given_rules: Rules,
    may_wait: bool,  # noqa: FBT001 - drawn
    can_renew: bool,  # noqa: FBT001 - drawn
    sent_before: bool,  # noqa: FBT001 - drawn
    said: list[Result],
) -> None:
    state = Tries(given_rules, "s", may_wait, can_renew, sent_before)
    doubtful = sent_before
    for result in said:
        silent = isinstance(result, NoAnswer) or (
            isinstance(result, Answered)
            and (result.status in given_rules.ambiguous or (given_rules.changes and result.status in {301, 302, 303}))
        )
        doubtful = doubtful or silent
        follows = state.after(result)
        if silent and given_rules.changes and not given_rules.repeatable:
            assert not isinstance(follows, Again)
        outcome = follows.otherwise if isinstance(follows, Again) else follows
        if isinstance(outcome, Outcome):
            assert outcome.state != "succeeded"
            if given_rules.changes:
                assert outcome.state == "unknown" or not doubtful
            else:
                assert outcome.state in {"rejected", "failed"}
        if isinstance(follows, Again):
            assert 0 <= follows.pause <= 30
            assert not follows.renew or can_renew
        else:
            assert isinstance(follows, Outcome) or follows.ok
            break


def test_doubt_says_what_the_last_try_said() -> None:
    outcome = tries(ambiguous=True, repeatable=True).doubted(ended(Failure("rejected", "no such order")))
    assert outcome.failure is not None
    assert outcome.failure.message.endswith("the last one: no such order")
    assert outcome.failure.retryable is True
    assert tries(ambiguous=True).doubted(Outcome("failed")).state == "unknown"


def test_without_doubt_an_outcome_stays_as_it_is() -> None:
    outcome = ended(Failure("rejected", "no"))
    assert tries().doubted(outcome) is outcome
    assert tries(ambiguous=True, changes=False).doubted(outcome) is outcome
    unknown = unanswered("x", Rules(repeatable=False, changes=True))
    assert tries(ambiguous=True).doubted(unknown) is unknown


# What a refusal says


@pytest.mark.parametrize(
    "name", ["message", "Message", "error_description", "error", "ErrorMsg", "errorMessage", "TITLE"]
)
def test_a_refusal_tells_the_vendors_words(name: str) -> None:
    outcome = refusal(Answered(400, f'{{"{name}": "Unknown item"}}'.encode()))
    assert outcome.failure is not None
    assert outcome.failure.vendor_message == "Unknown item"
    assert outcome.failure.vendor_code == 400
    assert outcome.failure.message == "the vendor answered HTTP 400: Unknown item"
    assert outcome.vendor == {name: "Unknown item"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'"Table 24 is locked"', "Table 24 is locked"),
        (
            b'{"Message": "The request is invalid.", "ModelState": {"model.Covers": ["Must be null.", 1], "x": "y"}}',
            "The request is invalid. model.Covers: Must be null.",
        ),
        (b'{"ModelState": {"model.PLU": ["Required."]}}', "model.PLU: Required."),
        (
            b'{"Message": "An error has occurred.", "ExceptionMessage": "Till offline", "StackTrace": "at Till.Send()"}',
            "An error has occurred. Till offline",
        ),
    ],
)
def test_a_refusal_tells_what_is_behind_its_first_words(body: bytes, words: str) -> None:
    outcome = refusal(Answered(400, body))
    assert outcome.failure is not None
    assert outcome.failure.vendor_message == words


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/plain; charset=utf-8", b"Table 24\r\nis locked\n", "Table 24 is locked"),
        ("Text/Plain", b"\xff", "\ufffd"),
        ("text/plain", b" \n", None),
        ("text/html", b"<h1>Bad Request</h1>", None),
    ],
)
def test_a_refusal_in_plain_text_is_told(kind: str, body: bytes, words: str | None) -> None:
    outcome = refusal(Answered(400, body, {"content-type": kind}))
    assert outcome.failure is not None
    assert outcome.failure.vendor_message == words


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'""', b'{"message": ""}', b'{"message": {"a": 1}}'])
def test_a_refusal_without_words_tells_its_status(body: bytes) -> None:
    outcome = refusal(Answered(404, body))
    assert outcome.failure is not None
    assert (outcome.failure.vendor_message, outcome.failure.message) == (None, "the vendor answered HTTP 404")


@pytest.mark.parametrize(("length", "kept"), [(500, 500), (501, 500)])
def test_the_vendors_words_have_a_bound(length: int, kept: int) -> None:
    outcome = refusal(Answered(400, f'{{"message": "{"a" * length}"}}'.encode()))
    assert outcome.failure is not None
    assert len(outcome.failure.vendor_message or "") == kept


@given(st.integers(300, 599), anything | objects("message", "error", "title"))
def test_any_body_is_read_without_a_fault(status: int, body: Any) -> None:
    outcome = refusal(Answered(status, dumps(body).encode()))
    assert outcome.state in {"rejected", "failed"}


@pytest.mark.parametrize(
    ("changes", "first", "kind"),
    [
        (False, NoAnswer("reset"), "vendor_unavailable"),
        (True, NoAnswer("reset"), "outcome_unknown"),
        (True, Answered(503), "vendor_unavailable"),
    ],
)
def test_a_try_for_which_there_was_no_time_takes_nothing_from_what_the_vendor_said(
    *, changes: bool, first: Result, kind: str
) -> None:
    state = tries(repeatable=True, changes=changes)
    assert isinstance(state.after(first), Again)
    assert end(again(state.after(NotSent("no time left", hurried=True))).otherwise)[1] == kind
