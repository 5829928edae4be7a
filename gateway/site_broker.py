"""The site's broker under supervision: started again whenever it ends, and its admission with it; before it the gate."""

import asyncio
import random
from collections.abc import Callable

import structlog

from gateway import metrics
from gateway.broker_log import BrokerLog
from gateway.doorman import Doorman
from gateway.gate import Gate
from gateway.settings import Folder, Settings
from protocol.host.admission import Admission, OnRefused
from protocol.host.broker import BrokerError, BrokerFiles, NatsBroker
from protocol.host.nats_claims import new_issuer
from protocol.host.presence import OnPresence

LOCALHOST = "127.0.0.1"
BACK_OFF_S = (0.05, 10.0)
# It ran for so long: what ended it is not how it was started.
STEADY_S = 30.0
# Envelopes and batches of records: nothing that a device sends or gets is larger.
MAX_PAYLOAD = 64 * 1024

log = structlog.get_logger(__name__)


class SiteBroker:
    """Gate, broker and admission of a site. Devices are let in while `listening`; `on_end(status)` tells of every end."""

    def __init__(
        self,
        folder: Folder,
        settings: Settings,
        doorman: Doorman,
        listening: asyncio.Event,
        on_refused: OnRefused,
        on_presence: OnPresence,
        on_violation: Callable[[str, str], None],
        on_end: Callable[[int], None],
    ) -> None:
        self._on_end = on_end
        seed, issuer = new_issuer()
        self.gate = Gate(settings.listen, settings.port, lambda: (LOCALHOST, self.broker.mqtt_port))
        self.broker = broker = NatsBroker(
            folder.broker,
            server_name=settings.gateway_id,
            auth_issuer=issuer,
            files=BrokerFiles(folder.broker_certificate, folder.broker_key, folder.ca),
            mqtt_host=LOCALHOST,
            max_payload=MAX_PAYLOAD,
            on_log=BrokerLog(lambda: self.broker.pid, on_refused, on_violation, self.gate.address_of).take,
        )
        self.admission = Admission(
            broker,
            seed,
            doorman.decide,
            owner=settings.gateway_id,
            listening=listening,
            on_refused=on_refused,
            on_presence=on_presence,
            max_payload=MAX_PAYLOAD,
        )

    async def start(self) -> None:
        """The first start: raises BrokerError and OSError, for somebody is there to read it."""
        await self.gate.start()
        await self.broker.start()
        metrics.BROKER_STARTS.inc()

    async def run(self) -> None:
        """Keep it running until cancelled."""
        loop = asyncio.get_running_loop()
        delay, started = BACK_OFF_S[0], loop.time()
        while True:
            if self.broker.running:
                status = await self.broker.wait_exit()
                log.error("broker.ended", status=status, tail=self.broker.log_tail[-5:])
                self._on_end(status)
                if loop.time() - started > STEADY_S:
                    delay = BACK_OFF_S[0]
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay = min(delay * 2, BACK_OFF_S[1])
            started = loop.time()
            await self._restart()

    async def stop(self) -> None:
        """Harmless when nothing of it runs."""
        await self.gate.close()
        await self.broker.stop()

    async def _restart(self) -> None:
        try:
            await self.broker.start()
        except (BrokerError, OSError) as error:  # its port is taken, the disk is full: that may pass
            log.error("broker.not_started", error=str(error))
            return
        metrics.BROKER_STARTS.inc()
        self.admission.retry_now()
