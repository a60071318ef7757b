"""Pushes with httpx over HTTP/2, by the proxy, with a certificate.

Prints one line for each case, `case<TAB>what was seen`.
"""

import json
import os
import ssl

import httpx

connections = 0


def trace(event: str, _info: object) -> None:
    """httpcore calls this for what happens below a request."""
    global connections
    if event == "http2.send_connection_init.complete":
        connections += 1


def push(client: httpx.Client, token: str, padding: int = 0) -> str:
    message = {"mdm": os.environ["MAGIC"]}
    if padding:
        message["padding"] = "x" * padding
    try:
        answer = client.post(
            f"https://api.push.apple.com/3/device/{os.environ[token]}",
            content=json.dumps(message),
            headers={"apns-topic": os.environ["TOPIC"], "apns-push-type": "mdm"},
            extensions={"trace": trace},
        )
    except httpx.TransportError as error:
        return f"failed: {error!r}"
    if answer.http_version != "HTTP/2":
        return f"{answer.status_code} over {answer.http_version}"
    if answer.status_code == 200 and not answer.content:
        return "200"
    said = answer.json()
    seen = [answer.status_code, said["reason"], said.get("timestamp")]
    return " ".join(str(part) for part in seen if part)


def say(case: str, seen: str) -> None:
    print(f"{case}\t{seen}", flush=True)


context = ssl.create_default_context(cafile=os.environ["CA"])
context.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
proxy = f"http://127.0.0.1:{os.environ['PROXY_PORT']}"
with httpx.Client(http1=False, http2=True, verify=context, proxy=proxy, trust_env=False) as client:
    say("accepted", push(client, "TOKEN_GOOD"))
    say("bad-token", push(client, "TOKEN_BAD"))
    say("gone", push(client, "TOKEN_GONE"))
    say("too-large", push(client, "TOKEN_GOOD", 5000))
    # After GOAWAY the library pushes again by itself, on a new connection, and does not say why.
    before = connections
    again = push(client, "TOKEN_PARTING")
    say("goaway", f"{connections - before} new connection")
    say("reconnect", again)
