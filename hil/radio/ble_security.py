"""Security of a board's Bluetooth stack: pairing, bonding and encryption, as NimBLE's security manager under MicroPython."""

import asyncio
import contextlib
import secrets
import struct
from dataclasses import dataclass, replace
from typing import Any

from bumble import att, hci, smp
from bumble.keys import PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate

from hil.log import Log
from hil.radio import ble_errors as errors
from hil.radio import ble_ops as ops
from hil.radio.ble_host import PUBLIC, RPA, BleHost, number_of
from hil.radio.ble_secrets import OUR_SEC, PEER_SEC, Bond, Secrets, key_of

log = Log(__name__)

PAIRING_TIMEOUT = 30.0  # seconds: Core Vol 3 Part H 3.4
REENCRYPT_AFTER = (
    0.5  # seconds in which a program of the central may pair by itself before a bond is used without it
)
ACTION_INPUT, ACTION_DISPLAY, ACTION_COMPARE = 2, 3, 4
MAX_PASSKEY = 999_999
NO_INPUT_NO_OUTPUT = 3
IO_CAPABILITIES = range(5)
KEYS = (
    PairingDelegate.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY
    | PairingDelegate.KeyDistribution.DISTRIBUTE_IDENTITY_KEY
    | PairingDelegate.KeyDistribution.DISTRIBUTE_SIGNING_KEY
)


@dataclass
class PairingSettings:
    """``config`` of bond, mitm, le_secure and io."""

    bond: bool = True
    mitm: bool = False
    le_secure: bool = True
    io: int = NO_INPUT_NO_OUTPUT

    def set(self, name: str, value: int) -> None:
        if name == "io":
            self.io = value if value in IO_CAPABILITIES else NO_INPUT_NO_OUTPUT  # the port takes any number
        else:
            setattr(self, name, bool(value))


@dataclass(frozen=True)
class State:
    """Of one connection, in the order of _IRQ_ENCRYPTION_UPDATE."""

    encrypted: bool = False
    authenticated: bool = False
    bonded: bool = False
    key_size: int = 0


class Passkey(int):
    """A number that is true at 000000 too: Bumble (0.0.236) takes a false one for none."""

    def __bool__(self) -> bool:
        return True


class Delegate(PairingDelegate):  # type: ignore[misc]
    """Asks the program, of one pairing."""

    def __init__(self, security: "Security", connection: Any, settings: PairingSettings) -> None:
        keys = KEYS if settings.bond else PairingDelegate.KeyDistribution(0)
        super().__init__(PairingDelegate.IoCapability(settings.io), keys, keys)
        self._security = security
        self._connection = connection

    async def accept(self) -> bool:
        await self._security.forget_if_bonded(self._connection)
        return True

    async def compare_numbers(self, number: int, digits: int) -> bool:
        return await self._security.action(self._connection, ACTION_COMPARE, number) != 0

    async def get_number(self) -> int | None:
        return Passkey(await self._security.action(self._connection, ACTION_INPUT, 0))

    async def generate_passkey(self) -> int:
        return Passkey(await self._security.action(self._connection, ACTION_DISPLAY, 0))


class Security:
    """``settings`` are read when a pairing begins."""

    def __init__(self, host: BleHost) -> None:
        self._host = host
        self.settings = PairingSettings()
        self._secrets = Secrets(host)
        self._states: dict[int, State] = {}
        self._told: dict[int, float] = {}  # loop time of the last update
        self._busy: set[int] = set()
        self._keeps = (
            False  # the program keeps secrets: another is not asked about each peer that it connects to
        )
        self._actions: dict[int, tuple[int, asyncio.Future[int]]] = {}
        self._bonds: dict[int, Bond] = {}  # that a link is encrypted with
        self._settling: dict[int, list[asyncio.Future[None]]] = {}
        device = host.device
        device.host.long_term_key_provider = self._long_term_key
        device.smp_manager.pairing_config_factory = self._config

    async def load(self) -> None:
        """What the program has stored: bonds, and the key that this board's private addresses come from."""
        bonds = await self._secrets.bonds()
        irk = await self._secrets.irk(secrets.token_bytes(16))
        if irk is not None:
            self._host.device.irk = irk
            self._keeps = True
            bonds = await self._secrets.bonds()  # as NimBLE, whose list of peers goes with its key
        for bond in bonds:
            await self._resolve(bond)

    async def _resolve(self, bond: Bond) -> None:
        """Have the controller know a peer by its private addresses, as long as its list has room."""
        if not bond.irk:
            return
        device = self._host.device
        with contextlib.suppress(hci.HCI_Error):
            await device.send_sync_command(
                hci.HCI_LE_Add_Device_To_Resolving_List_Command(
                    peer_identity_address_type=bond.peer[0] & 1,
                    peer_identity_address=bond.address,
                    peer_irk=bond.irk,
                    local_irk=device.irk,
                )
            )
            await device.send_sync_command(
                hci.HCI_LE_Set_Address_Resolution_Enable_Command(address_resolution_enable=1)
            )

    def connected(self, connection: Any) -> None:
        handle = connection.handle
        self._states[handle] = State()

        def on_pairing(keys: PairingKeys) -> None:
            self._host.spawn(self._paired(connection, keys))

        connection.on(connection.EVENT_PAIRING, on_pairing)
        connection.on(connection.EVENT_PAIRING_FAILURE, lambda _reason: self._failed(connection))
        connection.on(connection.EVENT_SECURITY_REQUEST, lambda _wanted: self._begin(connection))
        connection.on(connection.EVENT_CONNECTION_ENCRYPTION_CHANGE, lambda: self._encrypted(connection))
        connection.on(connection.EVENT_CONNECTION_ENCRYPTION_KEY_REFRESH, lambda: self._encrypted(connection))
        connection.on(connection.EVENT_CONNECTION_ENCRYPTION_FAILURE, lambda _error: self._failed(connection))
        if connection.role == hci.Role.CENTRAL and self.settings.bond and self._keeps:
            self._host.spawn(self._reencrypt(connection))

    def broken(self, connection: Any) -> None:
        for known in (self._states, self._bonds, self._told):
            known.pop(connection.handle, None)
        self._busy.discard(connection.handle)
        self._settle(connection.handle)
        _, future = self._actions.pop(connection.handle, (0, None))
        if future is not None:
            future.cancel()

    async def settled(self, connection: Any) -> None:
        """A pairing whose last key has come is over for the program before what came after that key."""
        session = self._host.device.smp_manager.sessions.get(connection.handle)
        if session is not None and connection.is_encrypted and not session.peer_expected_distributions:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.setdefault(connection.handle, []).append(future)
            await asyncio.wait((future,), timeout=PAIRING_TIMEOUT)
        # What a host that is no faster than a chip's sends then comes an event later: the program goes on in between.
        follows = self._told.get(connection.handle, 0.0) + connection.parameters.connection_interval / 1000
        wait_s = follows - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _settle(self, handle: int) -> None:
        for future in self._settling.pop(handle, ()):
            if not future.done():
                future.set_result(None)

    async def require(self, connection: Any, encrypted: bool, authenticated: bool) -> None:
        """ble_att_svr_check_perms: raises att.ATT_Error."""
        state = self._states.get(connection.handle, State())
        if not state.encrypted:
            bond = await self._secrets.bond(PEER_SEC, connection.peer_address)
            raise att.ATT_Error(
                att.ATT_INSUFFICIENT_ENCRYPTION_ERROR
                if bond is not None and bond.ltk
                else att.ATT_INSUFFICIENT_AUTHENTICATION_ERROR
            )
        if authenticated and not state.authenticated:
            raise att.ATT_Error(att.ATT_INSUFFICIENT_AUTHENTICATION_ERROR)

    def pair(self, payload: bytes) -> None:
        connection = self._host.connection(*struct.unpack("<H", payload))
        if connection.handle in self._busy:
            raise errors.host_error(errors.EALREADY, "pairing")
        if connection.role == hci.Role.CENTRAL:
            self._begin(connection)
        else:
            self._host.device.request_pairing(connection)

    def _begin(self, connection: Any) -> None:
        if connection.handle not in self._busy:
            self._busy.add(connection.handle)
            self._host.spawn(self._secure(connection))

    async def _reencrypt(self, connection: Any) -> None:
        """Use the bond with a peer that has come back, unless the program has begun to."""
        await asyncio.sleep(REENCRYPT_AFTER)
        handle = connection.handle
        if self._host.is_open(connection) and handle not in self._busy and not self._states[handle].encrypted:
            self._busy.add(handle)
            bond = await self._secrets.bond(PEER_SEC, connection.peer_address)
            if bond is not None and bond.ltk and self._host.is_open(connection):
                await self._encrypt(connection, bond)
            else:
                self._busy.discard(handle)

    async def _secure(self, connection: Any) -> None:
        """ble_gap_security_initiate of the central: encrypt with the stored key if it will do, else pair."""
        bond = await self._secrets.bond(PEER_SEC, connection.peer_address)
        if not self._host.is_open(connection):
            return
        if bond is not None and bond.ltk and (bond.authenticated or not self._needs_authentication()):
            await self._encrypt(connection, bond)
            return
        try:
            async with asyncio.timeout(PAIRING_TIMEOUT):
                await self._host.device.smp_manager.pair(connection)
        except TimeoutError:
            self._failed(connection)
        except Exception as error:  # pairing failed or the link broke: that is an event
            if not self._host.is_open(connection):
                return
            log.info("pairing_failed", board=self._host.name, error=str(error))

    def _needs_authentication(self) -> bool:
        return self.settings.mitm and self.settings.io != NO_INPUT_NO_OUTPUT

    async def _encrypt(self, connection: Any, bond: Bond) -> None:
        self._bonds[connection.handle] = bond
        await self._host.device.send_async_command(
            hci.HCI_LE_Enable_Encryption_Command(
                connection_handle=connection.handle,
                random_number=bond.rand,
                encrypted_diversifier=bond.ediv,
                long_term_key=bond.ltk,
            )
        )

    async def _long_term_key(self, handle: int, rand: bytes, ediv: int) -> bytes | None:
        """For the controller of a peripheral: of the pairing that is going on, else of the bond."""
        device = self._host.device
        connection = device.lookup_connection(handle)
        if connection is None:
            return None
        session_key: bytes | None = device.smp_manager.get_long_term_key(connection, rand, ediv)
        if session_key is not None:
            return session_key
        bond = await self._secrets.bond(OUR_SEC, connection.peer_address)
        if bond is None or not bond.ltk or (bond.ediv, bond.rand) != (ediv, rand):
            return None
        self._bonds[handle] = bond
        return bond.ltk

    def _config(self, connection: Any) -> PairingConfig:
        settings = replace(self.settings)
        identity = PUBLIC if self._host.addr_mode in (PUBLIC, RPA) else 1
        return PairingConfig(
            sc=settings.le_secure,
            mitm=settings.mitm,
            bonding=settings.bond,
            delegate=Delegate(self, connection, settings),
            identity_address_type=PairingConfig.AddressType(identity),
        )

    async def forget_if_bonded(self, connection: Any) -> None:
        """A peer pairs again: MicroPython deletes the old bond and lets it (BLE_GAP_EVENT_REPEAT_PAIRING)."""
        self._busy.add(connection.handle)
        if await self._secrets.bond(PEER_SEC, connection.peer_address) is not None:
            await self._secrets.forget(connection.peer_address)

    def _encrypted(self, connection: Any) -> None:
        """By a bond, or by a pairing: that is told when its keys are there too, but counts at once."""
        handle = connection.handle
        bond = self._bonds.pop(handle, None)
        session = self._host.device.smp_manager.sessions.get(handle)
        if not connection.is_encrypted:
            return
        if bond is not None:
            self._update(connection, State(True, bond.authenticated, True, bond.key_size))
        elif session is not None:
            self._states[handle] = State(True, _authenticates(session), False, _key_size(session))

    async def _paired(self, connection: Any, keys: PairingKeys) -> None:
        session = self._host.device.smp_manager.sessions.get(connection.handle)
        if session is None:
            return
        bonded = bool(session.bonding)
        if bonded:
            ours, theirs = _bonds_of(connection, session, keys)
            await self._secrets.keep(ours, theirs)
            self._keeps = True
            await self._resolve(theirs)
        session.on_disconnection(0)  # Bumble keeps it until the link is gone, and cannot pair again on it
        if self._host.is_open(connection):
            self._update(connection, State(True, _authenticates(session), bonded, _key_size(session)))

    def _failed(self, connection: Any) -> None:
        session = self._host.device.smp_manager.sessions.get(connection.handle)
        if session is not None:
            session.on_disconnection(0)
        self._bonds.pop(connection.handle, None)
        if self._host.is_open(connection):
            self._update(connection, self._states.get(connection.handle, State()))

    def _update(self, connection: Any, state: State) -> None:
        self._busy.discard(connection.handle)
        self._states[connection.handle] = state
        self._told[connection.handle] = asyncio.get_running_loop().time()
        fields = state.encrypted, state.authenticated, state.bonded, state.key_size
        self._host.tell(ops.IRQ_ENCRYPTION_UPDATE, "HBBBB", number_of(connection), *map(int, fields))
        self._settle(connection.handle)

    async def action(self, connection: Any, action: int, number: int) -> int:
        """What the program gives to gap_passkey. TimeoutError."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._actions[connection.handle] = action, future
        self._host.tell(ops.IRQ_PASSKEY_ACTION, "HBI", number_of(connection), action, number)
        try:
            return await asyncio.wait_for(future, PAIRING_TIMEOUT)
        finally:
            self._actions.pop(connection.handle, None)

    def passkey(self, payload: bytes) -> None:
        number, wanted, passkey = struct.unpack("<HBi", payload)
        if wanted not in (ACTION_INPUT, ACTION_DISPLAY, ACTION_COMPARE):
            raise errors.host_error(errors.EINVAL, "action")
        connection = self._host.connection(number)
        action, future = self._actions.get(connection.handle, (0, None))
        if future is None:
            raise errors.host_error(errors.ENOENT, "no passkey is asked for")
        if action != wanted or (wanted != ACTION_COMPARE and not 0 <= passkey <= MAX_PASSKEY):
            raise errors.host_error(errors.EINVAL, "passkey")
        if future.done():
            raise errors.host_error(errors.EALREADY, "passkey given")
        future.set_result(passkey)


def _authenticates(session: Any) -> bool:
    return bool(session.pairing_method != smp.PairingMethod.JUST_WORKS)


def _key_size(session: Any) -> int:
    return int(session.maximum_encryption_key_size)


def _bonds_of(connection: Any, session: Any, keys: PairingKeys) -> tuple[Bond, Bond]:
    """(our keys, the peer's) of a pairing that is complete."""
    if keys.ltk is not None:
        ours = theirs = keys.ltk
    elif session.is_initiator:
        ours, theirs = keys.ltk_peripheral, keys.ltk_central
    else:
        ours, theirs = keys.ltk_central, keys.ltk_peripheral

    def bond(key: Any, irk: bytes, csrk: bytes) -> Bond:
        return Bond(
            peer=key_of(connection.peer_address),
            key_size=_key_size(session),
            ediv=key.ediv or 0,
            rand=key.rand or bytes(8),
            ltk=key.value,
            irk=irk,
            csrk=csrk,
            authenticated=_authenticates(session),
            secure=bool(session.sc),
        )

    irk = keys.irk.value if keys.irk is not None else b""
    csrk = keys.csrk.value if keys.csrk is not None else b""
    return bond(ours, session.manager.device.irk, b""), bond(theirs, irk, csrk)
