"""A controller's accept list and resolving list: who is let through, and whose private addresses are known."""

from typing import Any

from bumble import hci
from bumble.controller import Controller
from bumble.smp import AddressResolver

LIST_SIZE = 12  # of either list

Error = hci.HCI_ErrorCode


class AddressLists(Controller):  # type: ignore[misc]
    """The lists, and what an address on the air means by them."""

    filter_accept_list_size = resolving_list_size = LIST_SIZE

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._accepted: set[hci.Address] = set()
        self._resolving: dict[hci.Address, tuple[bytes, bytes]] = {}

    def on_hci_reset_command(self, command: Any) -> Any:
        self._accepted.clear()
        self._resolving.clear()
        return super().on_hci_reset_command(command)

    def accepts(self, address: hci.Address) -> bool:
        """Whether an address, or the identity behind it, is on the accept list."""
        return _plain(address) in self._accepted or _plain(self.resolved(address)) in self._accepted

    def on_hci_le_clear_filter_accept_list_command(self, _command: Any) -> Any:
        self._accepted.clear()
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_add_device_to_filter_accept_list_command(self, command: Any) -> Any:
        if len(self._accepted) >= LIST_SIZE:
            return hci.HCI_StatusReturnParameters(Error.MEMORY_CAPACITY_EXCEEDED_ERROR)
        self._accepted.add(_plain(command.address))
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_remove_device_from_filter_accept_list_command(self, command: Any) -> Any:
        self._accepted.discard(_plain(command.address))
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_clear_resolving_list_command(self, _command: Any) -> Any:
        self._resolving.clear()
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_add_device_to_resolving_list_command(self, command: Any) -> Any:
        if len(self._resolving) >= LIST_SIZE:
            return hci.HCI_StatusReturnParameters(Error.MEMORY_CAPACITY_EXCEEDED_ERROR)
        self._resolving[_plain(command.peer_identity_address)] = (command.peer_irk, command.local_irk)
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def on_hci_le_remove_device_from_resolving_list_command(self, command: Any) -> Any:
        self._resolving.pop(_plain(command.peer_identity_address), None)
        return hci.HCI_StatusReturnParameters(Error.SUCCESS)

    def resolved(self, address: hci.Address) -> hci.Address:
        """The identity behind a resolvable private address, if the resolving list knows it."""
        if not (self.le_address_resolution and address.is_resolvable):
            return address
        keys = [(peer, identity) for identity, (peer, _) in self._resolving.items() if any(peer)]
        found = AddressResolver(keys).resolve(address)
        if found is None:
            return address
        kind = hci.AddressType.PUBLIC_IDENTITY if found.is_public else hci.AddressType.RANDOM_IDENTITY
        return hci.Address(bytes(found), kind)

    def is_same(self, wanted: hci.Address, address: hci.Address) -> bool:
        """Whether an address on the air is the one wanted, or resolves to it."""
        return _plain(wanted) in (_plain(address), _plain(self.resolved(address)))

    def is_meant(self, target: hci.Address) -> bool:
        """Whether a directed advertisement is for this station, also by a private address made with its own key."""
        if target in (self.public_address, self.random_address):
            return True
        if not (self.le_address_resolution and target.is_resolvable):
            return False
        keys = [(local, identity) for identity, (_, local) in self._resolving.items() if any(local)]
        return AddressResolver(keys).resolve(target) is not None


def _plain(address: hci.Address) -> hci.Address:
    """An identity address as the device address that it is."""
    kind = hci.AddressType.PUBLIC_DEVICE if address.is_public else hci.AddressType.RANDOM_DEVICE
    return hci.Address(bytes(address), kind)
