#!/bin/sh
# Pushes with curl over HTTP/2, by the proxy, with a certificate. Prints one line for each case,
# `case<TAB>what was seen`. Each call is a connection of its own, except within the case goaway.
set -u
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
printf '{"mdm":"%s"}' "$MAGIC" >"$work/payload"
head -c 5000 /dev/zero | tr '\0' ' ' >"$work/large"

# A push: payload, then a path for each push on the connection. After each answer a line of our own.
push() {
    payload=$1
    shift
    for token in "$@"; do
        set -- "$@" "https://api.push.apple.com/3/device/$token"
        shift
    done
    curl --http2 --silent --show-error --noproxy '' --proxy "http://127.0.0.1:$PROXY_PORT" \
        --cacert "$CA" --cert "$CERTIFICATE" --key "$KEY" --max-time 20 \
        --header "apns-topic: $TOPIC" --header 'apns-push-type: mdm' --data-binary "@$payload" \
        --write-out ' %{http_code} HTTP/%{http_version} %{num_connects}\n' "$@" 2>&1
}

# "400 BadDeviceToken" out of `{"reason":"BadDeviceToken"} 400 HTTP/2 1`.
short() {
    sed -e 's/^{"reason":"\([A-Za-z]*\)"\(,"timestamp":\([0-9]*\)\)*} \([0-9]*\) HTTP\/2 [0-9]*$/\4 \1 \3/' \
        -e 's/^ \([0-9]*\) HTTP\/2 [0-9]*$/\1/' -e 's/ *$//' | tr '\n' ' ' | sed -e 's/ *$//'
}

say() { printf '%s\t%s\n' "$1" "$2"; }
say accepted "$(push "$work/payload" "$TOKEN_GOOD" | short)"
say bad-token "$(push "$work/payload" "$TOKEN_BAD" | short)"
say gone "$(push "$work/payload" "$TOKEN_GONE" | short)"
say too-large "$(push "$work/large" "$TOKEN_GOOD" | short)"
# curl does not show what a GOAWAY says. Its connection ends; the push fails, or curl pushes again.
say goaway "$(push "$work/payload" "$TOKEN_GOOD" "$TOKEN_PARTING" | tr '\n' ' ')"
say reconnect "$(push "$work/payload" "$TOKEN_PARTING" | short)"
