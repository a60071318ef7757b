#!/bin/sh
# Pushes with h2load, direct. It has no option for a client certificate, so it proves itself with a
# bearer token, and it shows statuses alone. Prints one line for each case, `case<TAB>what was seen`.
set -u
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
printf '{"mdm":"%s"}' "$MAGIC" >"$work/payload"
head -c 5000 /dev/zero | tr '\0' ' ' >"$work/large"

# So many pushes of a payload to a token: connections and streams as given.
load() {
    h2load --requests="$1" --clients="$2" --max-concurrent-streams="$3" --data="$4" \
        --header="authorization: bearer $BEARER" --header="apns-topic: $TOPIC" \
        --connect-to="127.0.0.1:$GATEWAY_PORT" "https://api.push.apple.com/3/device/$5" 2>&1 |
        sed -n -e 's/^requests: .* done, \(.*\)$/\1/p' -e 's/^status codes: \(.*\)$/\1/p' |
        tr '\n' ' ' | sed -e 's/ *$//'
}

say() { printf '%s\t%s\n' "$1" "$2"; }
say accepted "$(load 5000 5 100 "$work/payload" "$TOKEN_GOOD")"
say bad-token "$(load 10 1 1 "$work/payload" "$TOKEN_BAD")"
say gone "$(load 10 1 1 "$work/payload" "$TOKEN_GONE")"
say too-large "$(load 10 1 1 "$work/large" "$TOKEN_GOOD")"
say goaway "$(load 10 1 1 "$work/payload" "$TOKEN_PARTING")"
say reconnect "$(load 10 1 1 "$work/payload" "$TOKEN_PARTING")"
