"""A controller's commands that change a connection: its parameters, PHY and data length."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from bumble import hci, ll
from bumble.controller import Connection, Controller

from hil.radio.connecting import RadioConnection

# Of a data PDU with data length extension, which all chips since Bluetooth 4.2 agree on at once.
MAX_OCTETS = 251
_PHYS = ((2, 2), (4, 3), (1, 1))  # bit of a preference, PHY: the fastest first

Error = hci.HCI_ErrorCode


@dataclass
class PhyUpdateInd(ll.ControlPdu):  # type: ignore[misc]
    """LL_PHY_UPDATE_IND, of one PHY for both directions."""

    opcode = ll.ControlPdu.Opcode.LL_PHY_UPDATE_IND
    phy: int


class LinkControl(Controller):  # type: ignore[misc]
    """What both ends of a connection agree on by control PDUs; it holds when the peer has them."""

    le_acl_data_packet_length = MAX_OCTETS
    supported_max_tx_octets = supported_max_rx_octets = MAX_OCTETS
    suggested_max_tx_octets = MAX_OCTETS

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        connection = self.le_connections.get(sender_address)
        if isinstance(packet, PhyUpdateInd) and connection is not None:
            self._phy_updated(connection, packet.phy)
        else:
            super().on_ll_control_pdu(sender_address, packet)

    def on_hci_le_connection_update_command(self, command: Any) -> None:
        """The new parameters hold for both ends when the peer has them."""
        connection = self._asked(command)
        if connection is None:
            return
        update = ll.ConnectionUpdateInd(
            interval=command.connection_interval_max,
            latency=command.max_latency,
            timeout=command.supervision_timeout,
        )
        event = hci.HCI_LE_Connection_Update_Complete_Event(
            status=Error.SUCCESS,
            connection_handle=connection.handle,
            connection_interval=update.interval,
            peripheral_latency=update.latency,
            supervision_timeout=update.timeout,
        )
        connection.control(update, partial(self.send_hci_packet, event))

    def _asked(self, command: Any) -> RadioConnection | None:
        """The connection that a command is about; answers the command with its status."""
        connection = self.find_le_connection_by_handle(command.connection_handle)
        if not isinstance(connection, RadioConnection):
            self._send_hci_command_status(Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, command.op_code)
            return None
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, command.op_code)
        return connection

    def on_hci_le_set_phy_command(self, command: Any) -> None:
        connection = self._asked(command)
        if connection is None:
            return
        wanted = int(command.tx_phys) & int(command.rx_phys) or 1
        phy = next(phy for bit, phy in _PHYS if wanted & bit) if not int(command.all_phys) else 1
        connection.control(PhyUpdateInd(phy), partial(self._phy_updated, connection, phy))

    def _phy_updated(self, connection: Connection, phy: int) -> None:
        link = self.link.link_of(connection)
        if link is not None:
            link.phy = phy
            self.send_hci_packet(
                hci.HCI_LE_PHY_Update_Complete_Event(
                    status=Error.SUCCESS, connection_handle=connection.handle, tx_phy=phy, rx_phy=phy
                )
            )

    def on_hci_le_read_phy_command(self, command: Any) -> Any:
        connection = self.find_le_connection_by_handle(command.connection_handle)
        link = self.link.link_of(connection) if connection else None
        status = Error.SUCCESS if link else Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        phy = link.phy if link else 1
        return hci.HCI_LE_Read_PHY_ReturnParameters(
            status=status, connection_handle=command.connection_handle, tx_phy=phy, rx_phy=phy
        )

    def on_hci_le_set_data_length_command(self, command: Any) -> Any:
        connection = self.find_le_connection_by_handle(command.connection_handle)
        link = self.link.link_of(connection) if connection else None
        status = Error.SUCCESS
        if link is None:
            status = Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        elif not 27 <= command.tx_octets <= MAX_OCTETS:
            status = Error.INVALID_HCI_COMMAND_PARAMETERS_ERROR
        else:
            self.link.set_octets(link, command.tx_octets)
        return hci.HCI_StatusAndConnectionHandleReturnParameters(
            status=status, connection_handle=command.connection_handle
        )

    def octets_changed(self, connection: Connection, octets: int) -> None:
        """Tell the host how long data PDUs are from now on."""
        us = (octets + 14) * 8
        self.send_hci_packet(hci.HCI_LE_Data_Length_Change_Event(connection.handle, octets, us, octets, us))
