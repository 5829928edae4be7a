"""Who may speak at the site's broker: by the registry's pins, a device on its own topics; and the gateway."""

import structlog
from cryptography import x509

from gateway import metrics
from gateway.registry import Registry
from protocol.host.admission import Refusal, Verdict
from protocol.host.nats_claims import Permissions

log = structlog.get_logger(__name__)


class Doorman:
    """Answers the admission's question, and remembers with which key each device was let in."""

    def __init__(self, gateway_id: str, gateway_pin: str, registry: Registry) -> None:
        self._gateway_id = gateway_id
        self._gateway_pin = gateway_pin
        self._registry = registry
        self._admitted: dict[str, str] = {}

    def decide(self, certificate: x509.Certificate, pin: str, client_id: str) -> Verdict:
        """The fleet CA has signed the certificate, and its common name is the client id."""
        if client_id == self._gateway_id:
            if pin != self._gateway_pin:
                return Refusal("wrong_pin")
            return Permissions(publish=("d/+/down/#",), subscribe=("d/+/up/#",))
        device = self._registry.get(client_id)
        if device is None:
            return Refusal("unknown_device")
        if not device.active:
            return Refusal("revoked_device")
        if pin not in device.pins:
            return Refusal("wrong_pin")
        metrics.ADMITTED.inc()
        log.debug("admission.admitted", who=client_id)
        self._admitted[client_id] = pin
        return Permissions(publish=(f"d/{client_id}/up/#",), subscribe=(f"d/{client_id}/down/#",))

    def no_longer_welcome(self) -> list[str]:
        """Devices that were let in and would not be now. They are forgotten: cut them."""
        gone = []
        for name, pin in self._admitted.items():
            device = self._registry.get(name)
            if device is None or not device.active or pin not in device.pins:
                gone.append(name)
        for name in gone:
            del self._admitted[name]
        return gone
