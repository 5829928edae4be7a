"""Who may speak at our broker: nats-server asks here about every MQTT client (its *auth callout*).

The request carries the client's verified certificate chain; the answer is a signed user with the topics it
may use. No answer, a late answer or a broken one is a refusal: nats-server closes the connection.
"""

import asyncio
import base64
import contextlib
import inspect
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import nats
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from protocol.host.broker import NatsBroker
from protocol.host.cancellation import cancellable
from protocol.host.nats_claims import BadFilter, ClaimsSigner, Permissions
from protocol.host.pins import spki_sha256
from protocol.host.presence import CONNECT, DISCONNECT, OnPresence, Presence

AUTH_SUBJECT = "$SYS.REQ.USER.AUTH"
DECIDE_DEADLINE_S = 2.0
KICK_DEADLINE_S = 2.0
CONNECT_DEADLINE_S = 2.0
BACK_OFF_S = (0.05, 5.0)
# Connections that wait for a decision at once. More are refused, and come back after their own back-off.
MAX_PENDING = 256
# An id goes into logs, audit and subjects: nothing longer than our ids is worth keeping.
MAX_CLIENT_ID = 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Refusal:
    """Why a client is turned away; `reason` is a slug that goes to the audit."""

    reason: str


Verdict = Permissions | Refusal
Decide = Callable[[x509.Certificate, str, str], Verdict | Awaitable[Verdict]]
OnRefused = Callable[[str, str, str], None]


@dataclass(frozen=True)
class _Request:
    server_id: str
    user_nkey: str
    client_id: str
    chain: str


class _Refused(Exception):
    """Ends the judging of one client; the text is the reason's slug."""


class Admission:
    """Answers the callout of one broker until cancelled; `run()` is the task, `ready` says that it answers.

    `decide(certificate, pin, client_id)` may be a coroutine function. The certificate already chains to the
    fleet CA (TLS did that), and its common name already equals the client id (checked here).
    `owner` is the client id of the process that serves this broker, and `listening` is set while its session has
    its subscriptions. The others wait for that: what they say before it, such as where they stand, reaches nobody.
    Without an owner nobody waits.
    `on_presence(client_id, present)` tells who comes and goes, and must not block.
    `on_refused(reason, who, pin)` must not block; `who` is the common name where there is one, else the
    client id; `pin` may be empty.
    """

    def __init__(
        self,
        broker: NatsBroker,
        issuer_seed: bytes,
        decide: Decide,
        *,
        owner: str = "",
        listening: asyncio.Event | None = None,
        on_refused: OnRefused | None = None,
        on_presence: OnPresence | None = None,
        max_payload: int = -1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._broker = broker
        self._signer = ClaimsSigner(issuer_seed, broker.account)
        self._decide = decide
        self._owner = owner
        self._listening = listening or _set_event()
        self._on_refused = on_refused or (lambda reason, who, pin: None)
        self.presence = Presence(on_presence or (lambda client_id, present: None))
        self._max_payload = max_payload
        self._clock = clock
        self._system: NatsClient | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._retry = asyncio.Event()
        self.ready = asyncio.Event()

    def retry_now(self) -> None:
        """The broker is back: do not sit out the back-off."""
        self._retry.set()

    async def run(self) -> None:
        """Serve until cancelled; come back with jittered back-off whenever the broker does."""
        delay = BACK_OFF_S[0]
        while True:
            try:
                await self._serve()
                delay = BACK_OFF_S[0]
            except (NatsError, OSError, TimeoutError) as error:
                log.info("admission.broker_unreachable", error=repr(error), retry_in_s=round(delay, 3))
            await pause(delay * random.uniform(0.5, 1.0), self._retry)  # noqa: S311 - jitter, not a secret
            delay = min(delay * 2, BACK_OFF_S[1])

    async def kick(self, client_id: str) -> int:
        """Cut every live session of this client id; how many there were. Its next attempt is judged anew.

        Raises TimeoutError or NatsError when the broker does not answer: whether it was cut is not known.
        """
        async with asyncio.timeout(KICK_DEADLINE_S):
            await self.ready.wait()
        found = await self._ask("$SYS.REQ.SERVER.PING.CONNZ", {"mqtt_client": client_id})
        server = found.get("server", {}).get("id", "")
        connections = [c["cid"] for c in found.get("data", {}).get("connections") or []]
        for connection in connections:
            await self._ask(f"$SYS.REQ.SERVER.{server}.KICK", {"cid": connection})
        return len(connections)

    async def _ask(self, subject: str, request: dict[str, Any]) -> dict[str, Any]:
        if self._system is None:
            raise TimeoutError("the broker is away")
        payload = json.dumps(request).encode()
        answer = await cancellable(self._system.request(subject, payload, timeout=KICK_DEADLINE_S))
        parsed = json.loads(answer.data)
        return parsed if isinstance(parsed, dict) else {}

    async def _serve(self) -> None:
        broker, closed = self._broker, asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            system = await self._connect(broker.system_user, broker.system_password, closed)
            stack.push_async_callback(system.close)
            connection = await self._connect(broker.auth_user, broker.auth_password, closed)
            stack.push_async_callback(connection.close)
            for kind in (CONNECT, DISCONNECT):
                await system.subscribe(f"$SYS.ACCOUNT.{self._broker.account}.{kind}", cb=self._session_event)
            await cancellable(system.flush(timeout=int(CONNECT_DEADLINE_S)))
            await connection.subscribe(AUTH_SUBJECT, cb=self._receive)
            await cancellable(connection.flush(timeout=int(CONNECT_DEADLINE_S)))
            self._system = system
            self.ready.set()
            try:
                await closed.wait()
            finally:
                self.ready.clear()
                self._system = None
                self.presence.broker_lost()

    async def _connect(self, user: str, password: str, closed: asyncio.Event) -> NatsClient:
        async def on_closed() -> None:
            closed.set()

        async def on_error(error: Exception) -> None:
            log.warning("admission.nats_error", error=repr(error))

        return await nats.connect(
            self._broker.nats_url,
            user=user,
            password=password,
            allow_reconnect=False,
            # Else a refused first connection is tried 60 times, every 2 s; the back-off is ours.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=int(CONNECT_DEADLINE_S),
            closed_cb=on_closed,
            error_cb=on_error,
        )

    async def _session_event(self, message: Msg) -> None:
        self.presence.take(message.subject.rpartition(".")[2], message.data)

    async def _receive(self, message: Msg) -> None:
        if len(self._pending) >= MAX_PENDING:
            self._refused("admission_busy", "", "")
            return  # no answer is a refusal
        task = asyncio.create_task(self._answer(message))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _answer(self, message: Msg) -> None:
        try:
            request = _parse_request(message.data)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.warning("admission.bad_request", error=repr(error))
            return
        answer = await self._judge(request)
        with contextlib.suppress(NatsError):  # the broker is gone, and with it the client that waited
            await message.respond(answer)

    async def _judge(self, request: _Request) -> bytes:
        now = int(self._clock())
        who, pin = request.client_id, ""
        try:
            if not request.chain:
                raise _Refused("no_certificate")
            certificate = x509.load_pem_x509_certificate(request.chain.encode())
            pin = spki_sha256(certificate.public_bytes(serialization.Encoding.DER))
            who = _common_name(certificate) or who
            permissions = await self._permissions(certificate, pin, request.client_id, who)
            expires = int(certificate.not_valid_after_utc.timestamp())
            user = self._signer.user(
                who, request.user_nkey, permissions, now=now, expires=expires, payload=self._max_payload
            )
            return self._signer.answer(request.server_id, request.user_nkey, now=now, user=user)
        except _Refused as refused:
            reason = str(refused)
        except BadFilter as error:
            log.error("admission.bad_filter", who=who, topic_filter=str(error))
            reason = "bad_filter"
        except Exception:  # whatever breaks while judging a client is a refusal of that client
            log.exception("admission.decision_failed", who=who)
            reason = "decision_failed"
        self._refused(reason, who, pin)
        return self._signer.answer(request.server_id, request.user_nkey, now=now, error=reason)

    async def _permissions(
        self, certificate: x509.Certificate, pin: str, client_id: str, common_name: str
    ) -> Permissions:
        # A session belongs to its client id, and the broker hands it to whoever is admitted under that id.
        if client_id != common_name:
            raise _Refused("client_id_mismatch")
        try:
            async with asyncio.timeout(DECIDE_DEADLINE_S):
                if client_id != self._owner:
                    await self._listening.wait()
                verdict = self._decide(certificate, pin, client_id)
                if inspect.isawaitable(verdict):
                    verdict = await verdict
        except TimeoutError:
            raise _Refused("decision_late" if self._listening.is_set() else "not_listening") from None
        if isinstance(verdict, Refusal):
            raise _Refused(verdict.reason)
        return verdict

    def _refused(self, reason: str, who: str, pin: str) -> None:
        self._on_refused(reason, who[:MAX_CLIENT_ID], pin)


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def pause(seconds: float, cut_short: asyncio.Event) -> None:
    """Sleep, or less when the event is set meanwhile; the event is then cleared."""
    try:
        async with asyncio.timeout(seconds):
            await cut_short.wait()
    except TimeoutError:
        return
    cut_short.clear()


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def _parse_request(data: bytes) -> _Request:
    """What we use of the server's request (NATS ADR-26). Nobody else can publish in our account."""
    body = data.split(b".")[1]
    nats_part = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))["nats"]
    # Only a chain that TLS has verified counts; `certs` alone is what the client claims.
    chains = (nats_part.get("client_tls") or {}).get("verified_chains") or [[""]]
    return _Request(
        server_id=str(nats_part["server_id"]["id"]),
        user_nkey=str(nats_part["user_nkey"]),
        client_id=str(nats_part["client_info"].get("mqtt_id", "")),
        chain=str(chains[0][0]),
    )
