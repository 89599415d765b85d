#!/usr/bin/env bash
# A kiosk in shell: places one order once, whatever happens. Needs socat and jq. Usage: kiosk.sh SOCKET SESSION REFERENCE
set -euo pipefail
[ $# -eq 3 ] || { echo 'Usage: kiosk.sh SOCKET SESSION REFERENCE' >&2 && exit 2; }
socket=$1 session=$2 reference=$3

# Calls a method and prints every message that comes, until the connection ends.
listen() { # METHOD PARAMS
  exec socat -t 86400 - "UNIX-CONNECT:$socket" <<<"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"$1\", \"params\": $2}"
}

params=$(jq -cn --arg session "$session" --arg reference "$reference" '{
  session: $session, idempotency_key: "create-\($reference)", timeout: 2,
  order: {reference: $reference, table: "14", lines: [{product: "1203", name: "Soup", quantity: 2}]}}')
until
  # No answer: no daemon, or it went away, and the order may have been placed.
  answer=$(listen order.create "$params" 2>/dev/null | jq -c . | grep .) ||
    answer='{"error": {"message": "no answer", "data": {"retryable": true}}}'
  jq -e '.error.data.retryable != true' <<<"$answer" >/dev/null
do
  jq -r '"again, with the same key: \(.error.message)"' <<<"$answer"
  sleep 0.5
done
# Before all other errors: it may have been placed.
if jq -e '.error | .code == -32603 or .data.state == "unknown"' <<<"$answer" >/dev/null; then
  jq -r '"unknown, look at the till before you order anew: \(.error.message)"' <<<"$answer" >&2
  exit 3
fi
if jq -e .error <<<"$answer" >/dev/null; then
  jq -r '"not placed: \(.error.message)"' <<<"$answer" >&2
  exit 1
fi
jq -r '"placed: \(.result.result.order.number)"' <<<"$answer"
command_id=$(jq -r .result.command_id <<<"$answer")
subscription=$(jq -cn --arg session "$session" '{since: 0, sessions: [$session]}')
exec {events}< <(listen event.subscribe "$subscription")
listener=$!
trap 'kill "$listener"' EXIT
while read -r -u "$events" message; do
  jq -r --arg id "$command_id" '.params.event | select(.data.command_id == $id) | "event: \(.seq) \(.kind) \(.data.state)"' \
    <<<"$message"
  jq -e --arg id "$command_id" '.params.event.data | .command_id == $id and .state == "succeeded"' <<<"$message" \
    >/dev/null && break
done
