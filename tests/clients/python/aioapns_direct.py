"""Pushes with aioapns, unmodified: direct, with a certificate.

Its own proxy mode does not work with Python 3.11, so it is pointed here by host and port. Prints one
line for each case, `case<TAB>what was seen`.
"""

import asyncio
import logging
import os
import ssl

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol

APNsProductionClientProtocol.APNS_SERVER = "127.0.0.1"
APNsProductionClientProtocol.APNS_PORT = int(os.environ["GATEWAY_PORT"])


class Log(logging.Handler):
    """The library tells its log, and nobody else, of connections and of GOAWAY."""

    connections = 0
    goaway = ""

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line.startswith("Connection established"):
            self.connections += 1
        if "terminated: code=" in line:
            self.goaway = line


async def main() -> None:
    log = Log()
    logger = logging.getLogger("aioapns")
    logger.setLevel(logging.INFO)
    logger.addHandler(log)
    client = APNs(
        client_cert=os.environ["CERTIFICATE_AND_KEY"],
        topic=os.environ["TOPIC"],
        ssl_context=ssl.create_default_context(cafile=os.environ["CA"]),
        max_connections=1,
    )

    async def push(token: str, padding: int = 0) -> str:
        message = {"mdm": os.environ["MAGIC"]}
        if padding:
            message["padding"] = "x" * padding
        request = NotificationRequest(
            device_token=os.environ[token], message=message, push_type=PushType.MDM
        )
        answer = await client.send_notification(request)
        seen = [answer.status, answer.description, answer.timestamp]
        return " ".join(str(part) for part in seen if part)

    def say(case: str, seen: str) -> None:
        print(f"{case}\t{seen}", flush=True)

    say("accepted", await push("TOKEN_GOOD"))
    say("bad-token", await push("TOKEN_BAD"))
    say("gone", await push("TOKEN_GONE"))
    say("too-large", await push("TOKEN_GOOD", 5000))
    # After GOAWAY the library pushes again by itself, on a new connection.
    before = log.connections
    again = await push("TOKEN_PARTING")
    say("goaway", log.goaway)
    say("reconnect", again if log.connections > before else f"{again} on the old connection")


asyncio.run(main())
