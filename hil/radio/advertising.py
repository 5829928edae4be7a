"""A controller's commands for advertising, legacy and in sets; the schedules are ``hil.radio.advertiser``'s."""

from typing import Any

from bumble import hci
from bumble.controller import Controller

from hil.radio.advertiser import CONNECTABLE, RadioAdvertiser, RadioAdvertisingSet, Timed

Error = hci.HCI_ErrorCode


class Advertising(Controller):  # type: ignore[misc]
    """Its own advertisers in the place of Bumble's, which are refused while no more connections fit."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.le_legacy_advertiser = RadioAdvertiser(self)

    def on_hci_reset_command(self, command: Any) -> Any:
        for advertiser in self.advertisers():
            advertiser.stop()
        self.advertising_sets.clear()
        return super().on_hci_reset_command(command)

    def advertisers(self) -> list[Timed]:
        return [self.le_legacy_advertiser, *self.advertising_sets.values()]

    def advertiser_at(self, address: hci.Address) -> Timed | None:
        """Which of them takes connections at an address."""
        for advertiser in self.advertisers():
            if advertiser.enabled and advertiser.properties & CONNECTABLE and advertiser.address == address:
                return advertiser
        return None

    def on_hci_le_set_advertising_enable_command(self, command: Any) -> Any:
        if (
            command.advertising_enable
            and self._is_full
            and self.le_legacy_advertiser.properties & CONNECTABLE
        ):
            return hci.HCI_StatusReturnParameters(Error.CONNECTION_LIMIT_EXCEEDED_ERROR)
        return super().on_hci_le_set_advertising_enable_command(command)

    def _set(self, handle: int) -> None:
        """Make an advertising set before Bumble makes one of its own."""
        if handle not in self.advertising_sets:
            self.advertising_sets[handle] = RadioAdvertisingSet(controller=self, handle=handle)

    def on_hci_le_set_advertising_set_random_address_command(self, command: Any) -> Any:
        self._set(command.advertising_handle)
        return super().on_hci_le_set_advertising_set_random_address_command(command)

    def on_hci_le_set_extended_advertising_parameters_command(self, command: Any) -> Any:
        self._set(command.advertising_handle)
        return super().on_hci_le_set_extended_advertising_parameters_command(command)

    def on_hci_le_set_extended_advertising_enable_command(self, command: Any) -> Any:
        if not command.enable:
            return super().on_hci_le_set_extended_advertising_enable_command(command)
        for handle, duration in zip(command.advertising_handles, command.durations, strict=True):
            wanted = self.advertising_sets.get(handle)
            if wanted is None:
                return hci.HCI_StatusReturnParameters(Error.UNKNOWN_ADVERTISING_IDENTIFIER_ERROR)
            if wanted.properties & CONNECTABLE and self._is_full:
                return hci.HCI_StatusReturnParameters(Error.CONNECTION_LIMIT_EXCEEDED_ERROR)
            wanted.start(duration / 100)
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def advertising_timed_out(self, advertiser: Timed) -> None:
        """Tell the host: Core Vol 4 Part E 7.7.65.1 and 7.7.65.18."""
        if isinstance(advertiser, RadioAdvertisingSet):
            self._set_terminated(advertiser, Error.ADVERTISING_TIMEOUT_ERROR, 0)
        else:
            peer = self.le_legacy_advertiser.peer_address
            self._complete(Error.ADVERTISING_TIMEOUT_ERROR, 0, hci.Role.PERIPHERAL, peer)

    def _set_terminated(self, advertiser: RadioAdvertisingSet, status: int, handle: int) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Advertising_Set_Terminated_Event(
                status=status,
                advertising_handle=advertiser.handle,
                connection_handle=handle,
                num_completed_extended_advertising_events=0,
            )
        )
