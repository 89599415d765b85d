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
GATEWAY: Final = (502, 504, 520, 521, 522, 523, 524, 530, 599)
SAID: Final = b'{"Message": "Not now"}'
PAGES: Final = (b"<html>nginx</html>", b"upstream connect error", b"", b"[]", b'"no"', b'{"cut": ')


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
        follows = again(state.after(Answered(503, SAID)))
        assert (follows.pause, follows.renew, end(follows.otherwise)[1]) == (30.0, False, "vendor_unavailable")


def test_a_503_without_a_pause_of_its_own_is_like_any_5xx() -> None:
    state = tries(unavailable_seconds=None)
    assert [again(state.after(Answered(503, SAID))).pause for _ in DELAYS] == [*DELAYS]
    assert end(state.after(Answered(503, SAID))) == ("failed", "vendor_unavailable", None)


@pytest.mark.parametrize(("changes", "repeatable"), [(True, False), (True, True), (False, True)])
@pytest.mark.parametrize("answer", [Answered(429), Answered(500, SAID)])
def test_what_did_nothing_is_tried_again_a_few_times(answer: Answered, *, changes: bool, repeatable: bool) -> None:
    state = tries(repeatable=repeatable, changes=changes, undone=frozenset({500, 503}))
    for delay in DELAYS:
        follows = again(state.after(answer))
        assert (follows.pause, end(follows.otherwise)) == (delay, ("failed", "vendor_unavailable", None))
    assert end(state.after(answer)) == ("failed", "vendor_unavailable", None)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 524])
def test_a_read_is_tried_again_whatever_was_on_the_way(status: int) -> None:
    state = tries(repeatable=True, changes=False, unavailable_seconds=None)
    for delay in DELAYS:
        follows = again(state.after(Answered(status, b"<html>")))
        assert (follows.pause, end(follows.otherwise)) == (delay, ("failed", "vendor_unavailable", None))
    assert end(state.after(Answered(status))) == ("failed", "vendor_unavailable", None)


@pytest.mark.parametrize(
    "answer",
    [
        *(Answered(status, body) for status in GATEWAY for body in (SAID, b"<html>")),
        *(Answered(status, body) for status in (500, 503) for body in PAGES),
        *(Answered(status, SAID) for status in (101, 408, 425, 501, 505, 600, 999)),
    ],
    ids=str,
)
def test_what_leaves_open_if_it_acted_is_as_good_as_no_answer(answer: Answered) -> None:
    undone = frozenset({500, 503})
    assert end(tries(undone=undone).after(answer)) == UNKNOWN
    state = tries(repeatable=True, undone=undone, unavailable_seconds=None)
    follows = state.after(answer)
    assert end(follows.otherwise if isinstance(follows, Again) else follows) == REPEATABLE
    assert isinstance(follows, Again) or answer.status < 200
    assert end(state.after(Answered(400)))[0] == "unknown"


def test_a_status_that_no_page_declares_harmless_leaves_it_open() -> None:
    assert end(tries(undone=frozenset()).after(Answered(503, SAID))) == UNKNOWN
    assert end(tries().after(Answered(500, SAID))) == UNKNOWN


def test_nothing_but_when_to_come_back_is_the_vendors_own_word() -> None:
    assert again(tries().after(Answered(503, b"", {"retry-after": "3"}))).pause == 3.0
    assert end(tries().after(Answered(503, b"<html>", {"retry-after": "3"}))) == UNKNOWN


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("changes", [True, False])
def test_what_has_to_be_made_elsewhere_was_not_made(status: int, *, changes: bool) -> None:
    assert end(tries(changes=changes).after(Answered(status))) == ("failed", "vendor_unavailable", None)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 399])
def test_a_change_that_is_sent_elsewhere_may_have_been_carried_out(status: int, repeatable: bool) -> None:  # noqa: FBT001
    state = tries(repeatable=repeatable)
    assert end(state.after(Answered(status))) == (REPEATABLE if repeatable else UNKNOWN)
    assert state.ambiguous
    read = tries(repeatable=repeatable, changes=False).after(Answered(status))
    assert end(read) == ("failed", "vendor_unavailable", None)


# When the vendor wants to be asked again


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "90"}, 90.0),
        ({"retry-after": " 2 "}, 2.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "9" * 500}, 10.0**9),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:07 GMT"}, 7.0),
        ({"retry-after": "Thu, 26 Nov 2026 12:00:09 GMT", "date": "Thu, 26 Nov 2026 12:00:00 GMT"}, 9.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:07 GMT", "date": "now"}, 7.0),
        ({"retry-after": "Fri, 15 Jan 2010 08:00:07 GMT"}, 0.5),
        ({"retry-after": "0"}, 0.5),
        *(({"retry-after": junk}, 0.5) for junk in ("", "-5", "soon", "NaN", "1e400", "3 s", "\u0663")),
    ],
)
def test_the_vendors_own_time_counts_where_it_names_one(headers: dict[str, str], pause: float) -> None:
    state = tries(repeatable=True)
    state.wall = lambda: 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
    assert again(state.after(Answered(429, b"", headers))).pause == pytest.approx(pause)


def test_a_vendor_that_wants_to_be_asked_at_once_is_not_asked_without_end() -> None:
    assert again(tries().after(Answered(503, SAID, {"retry-after": "0"}))).pause == 1.0


# What an answer of 2xx is worth


@pytest.mark.parametrize(
    "body",
    [
        *(
            f'{{"success": {no}}}'
            for no in ("false", '"false"', '"False"', "0", '"0"', '"no"', '"NO"', '"error"', "0.0")
        ),
        *(f'{{"{name}": "false"}}' for name in ("IsSuccess", "is_success", "SUCCEEDED", "ok", "Successful")),
        *(f'{{"{name}": "{no}"}}' for name in ("status", "Result") for no in ("error", "Failed", "failure", "no")),
        *(f'{{"{name}": {{"IsSuccess": false, "x": 1}}}}' for name in ("result", "d", "Data", "response")),
        '{"isError": true}',
        '{"hasErrors": "yes"}',
        '{"data": {"result": {"status": "error"}}}',
    ],
)
def test_a_no_in_any_spelling_is_a_refusal(body: str) -> None:
    answer = Answered(200, body.encode())
    assert end(tries().after(answer)) == ("rejected", "rejected", None)
    assert end(tries(repeatable=True, changes=False).after(answer)) == ("rejected", "rejected", None)
    assert end(tries(ambiguous=True).after(answer)) == UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        *('{"success": true}', '{"success": null}', '{"success": {}}', '{"status": 0}', '{"status": "closed"}'),
        *(
            '{"items": [{"status": "failed"}]}',
            '{"name": "failed"}',
            '{"isError": false}',
            "[false]",
            "false",
            '"error"',
        ),
        '{"d": {"d": {"d": {"d": {"success": false}}}}}',
    ],
)
def test_no_no_is_read_into_what_says_none(body: str) -> None:
    answer = Answered(200, body.encode())
    assert tries().after(answer) is answer


def test_an_answer_without_what_a_success_must_hold_is_none() -> None:
    shows: Any = {"shows": lambda answer: b"id" in answer.body}
    portal = Answered(200, b'{"status": "sign in first"}')
    outcome = tries(**shows).after(portal)
    assert end(outcome) == UNKNOWN
    assert isinstance(outcome, Outcome)
    assert outcome.failure is not None
    assert (outcome.failure.vendor_code, outcome.vendor) == (200, {"status": "sign in first"})
    state = tries(repeatable=True, **shows)
    assert end(again(state.after(portal)).otherwise) == REPEATABLE
    assert end(state.after(Answered(404)))[0] == "unknown"
    read = tries(repeatable=True, changes=False, **shows)
    assert end(read.after(portal)) == ("failed", "vendor_unavailable", None)  # it would be answered so again
    good = Answered(200, b'{"id": 1}')
    assert tries(**shows).after(good) is good
    assert tries(changes=False, **shows).after(portal) is portal  # a probe's answer is not read


@pytest.mark.parametrize("changes", [True, False])
def test_an_answer_that_we_cannot_take_is_not_asked_for_again(*, changes: bool) -> None:
    outcome = tries(repeatable=True, changes=changes).after(NoAnswer("an answer of more than 9 bytes", final=True))
    assert end(outcome)[0] == ("unknown" if changes else "failed")


def test_an_ambiguous_status_is_told_with_the_vendors_words() -> None:
    answer = Answered(502, b'{"Message": "Till offline"}')
    rules = Rules(repeatable=False, changes=True)
    outcome = Tries(rules, "s", may_wait=True, can_renew=False, ambiguous=False).after(answer)
    assert isinstance(outcome, Outcome)
    assert outcome.failure is not None
    assert (outcome.failure.vendor_code, outcome.failure.vendor_message) == (502, "Till offline")
    assert outcome.failure.message == "sent, and it may have acted: the vendor answered HTTP 502: Till offline"
    assert outcome.vendor == {"Message": "Till offline"}


def test_an_ambiguous_status_of_a_read_is_no_doubt() -> None:
    rules = Rules(repeatable=False, changes=False)
    outcome = Tries(rules, "s", may_wait=True, can_renew=False, ambiguous=False).after(Answered(502))
    assert end(outcome) == ("failed", "vendor_unavailable", None)
    assert isinstance(outcome, Outcome)
    assert outcome.failure is not None
    assert outcome.failure.vendor_code == 502


@pytest.mark.parametrize(
    ("status", "state", "kind"),
    [
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
    st.builds(Answered, statuses, st.sampled_from([b"{}", b"<html>", b""])),
    st.builds(NotSent, st.just("n")),
    st.builds(NoAnswer, st.just("n")),
)
rules = st.builds(
    Rules,
    repeatable=st.booleans(),
    changes=st.booleans(),
    unavailable_seconds=st.none() | st.just(30.0),
    error_delays=st.sampled_from([(), DELAYS]),
    undone=st.sampled_from([frozenset(), frozenset({503}), frozenset({500, 503})]),
)


def _is_silent(answer: Answered, under: Rules) -> bool:
    """Whether nothing but the status is told, and that leaves open if it acted."""
    if answer.ok:
        return answer.body == b"<html>"
    if answer.status >= 500:
        return answer.status not in under.undone or answer.body != b"{}"
    return answer.status in {408, 425} or (answer.status < 400 and answer.status not in {307, 308})


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
            isinstance(result, Answered) and (_is_silent(result, given_rules) if given_rules.changes else False)
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
        (True, Answered(503, SAID), "vendor_unavailable"),
    ],
)
def test_a_try_for_which_there_was_no_time_takes_nothing_from_what_the_vendor_said(
    *, changes: bool, first: Result, kind: str
) -> None:
    state = tries(repeatable=True, changes=changes)
    assert isinstance(state.after(first), Again)
    assert end(again(state.after(NotSent("no time left", hurried=True))).otherwise)[1] == kind


def test_a_large_answer_does_not_go_with_an_error() -> None:
    large = f'{{"message": "{"x" * 100_000}"}}'.encode()
    for outcome in (refusal(Answered(400, large)), tries(shows=lambda _: False).after(Answered(200, large))):
        assert isinstance(outcome, Outcome)
        assert outcome.vendor is None
        assert outcome.failure is not None
        assert outcome.failure.vendor_code in {200, 400}
