"""The attribute table of a board as NimBLE builds it, on top of Bumble's GATT server.

NimBLE's GAP and GATT services come first, so the firmware's first value handle is 16, as on an ESP32; a CCCD
stands before other descriptors. Values live here, by the rules of MicroPython's gatts_db:
a buffer of 20 bytes, client writes cut to it, local writes enlarge it, append buffers emptied by reading.
"""

import errno
from collections.abc import Awaitable, Callable
from typing import Any

from bumble import att, gatt
from bumble.core import UUID

from hil.radio.ble_ops import CharacteristicDefinition, DescriptorDefinition, ServiceDefinition

DEFAULT_BUFFER = 20
MAX_VALUE = 512  # Core Vol 3 Part F 3.2.9

FLAG_READ = 0x0002
FLAG_WRITES = 0x0004 | 0x0008
FLAG_NOTIFY = 0x0010
FLAG_INDICATE = 0x0020
FLAG_READ_ENCRYPTED, FLAG_READ_AUTHENTICATED = 0x0200, 0x0400
FLAG_WRITE_ENCRYPTED, FLAG_WRITE_AUTHENTICATED = 0x1000, 0x2000

_CCCD = gatt.GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR
_OPEN = att.Attribute.Permissions.READABLE | att.Attribute.Permissions.WRITEABLE

ReadHook = Callable[[Any, "Value"], Awaitable[None]]  # (connection, value), before a client's read
WriteHook = Callable[
    [Any, "Value", bytes], Awaitable[None]
]  # (connection, value, data): stores a client's write


# (connection, must be encrypted, must be authenticated): raises att.ATT_Error if it is not
SecurityHook = Callable[[Any, bool, bool], Awaitable[None]]


class Value:
    """One characteristic or descriptor value of the firmware."""

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.handle = 0
        self.data = b""
        self.size = DEFAULT_BUFFER
        self.append = False

    def take(self, data: bytes) -> None:
        """A client's write: cut to the buffer."""
        kept = self.data if self.append else b""
        self.data = (kept + data)[: self.size]

    def write(self, data: bytes) -> None:
        """The firmware's own write: the buffer grows with it."""
        self.size = max(self.size, len(data))
        self.data = data

    def read(self) -> bytes:
        """The firmware's own read: empties an append buffer."""
        data = self.data
        if self.append:
            self.data = b""
        return data

    def resize(self, size: int, append: bool) -> None:
        self.size, self.append, self.data = size, append, b""


class GattTable:
    """The hooks are awaited at a client's access that the flags allow; they may raise att.ATT_Error."""

    def __init__(self, server: Any, on_read: ReadHook, on_write: WriteHook, on_access: SecurityHook) -> None:
        self._server = server
        self._on_access = on_access
        self._on_read = on_read
        self._on_write = on_write
        self.name = Value(FLAG_READ)
        self.values: dict[int, Value] = {}
        self.register([])

    def value(self, handle: int) -> Value:
        try:
            return self.values[handle]
        except KeyError:
            raise OSError(errno.EINVAL, "no such value handle") from None

    def attribute(self, handle: int) -> Any:
        self.value(handle)
        return self._server.get_attribute(handle)

    def register(self, services: list[ServiceDefinition]) -> list[int]:
        """Replace all services; returns the value handles in the order of the definition."""
        server = self._server
        server.attributes.clear()
        server.attributes_by_handle.clear()
        server.services.clear()
        server.subscribers.clear()
        self.values.clear()
        server.add_services(self._own_services())
        ordered: list[tuple[Value, Any]] = []
        server.add_services([self._service(service, ordered) for service in services])
        for value, attribute in ordered:
            value.handle = attribute.handle
            self.values[value.handle] = value
        return [value.handle for value, _ in ordered]

    def _own_services(self) -> list[Any]:
        def fixed(uuid: int, data: bytes) -> Any:
            return gatt.Characteristic(
                UUID.from_16_bits(uuid),
                gatt.Characteristic.Properties.READ,
                att.Attribute.Permissions.READABLE,
                data,
            )

        name = fixed(0x2A00, b"")
        name.value = att.AttributeValue(read=lambda _connection: self.name.data)
        changed = fixed(0x2A05, bytes(4))
        changed.properties = gatt.Characteristic.Properties.INDICATE
        features = fixed(0x2B29, bytes(1))
        features.properties |= gatt.Characteristic.Properties.WRITE
        return [
            gatt.Service(UUID.from_16_bits(0x1800), [name, fixed(0x2A01, bytes(2))]),
            gatt.Service(UUID.from_16_bits(0x1801), [changed, fixed(0x2B3A, bytes(1)), features]),
        ]

    def _service(self, definition: ServiceDefinition, ordered: list[tuple[Value, Any]]) -> Any:
        characteristics = [self._characteristic(c, ordered) for c in definition.characteristics]
        return gatt.Service(UUID.from_bytes(definition.uuid), characteristics)

    def _characteristic(self, definition: CharacteristicDefinition, ordered: list[tuple[Value, Any]]) -> Any:
        value = Value(definition.flags)
        characteristic = gatt.Characteristic(
            UUID.from_bytes(definition.uuid),
            gatt.Characteristic.Properties(definition.flags & 0x7F),
            _OPEN,
            self._access(value),
        )
        ordered.append((value, characteristic))
        descriptors = [self._descriptor(d, ordered) for d in definition.descriptors]
        if definition.flags & (FLAG_NOTIFY | FLAG_INDICATE):
            cccd = gatt.Descriptor(_CCCD, _OPEN, self._server.make_descriptor_value(characteristic))
            descriptors.insert(0, cccd)
        characteristic.descriptors = descriptors
        return characteristic

    def _descriptor(self, definition: DescriptorDefinition, ordered: list[tuple[Value, Any]]) -> Any:
        value = Value(definition.flags)
        descriptor = gatt.Descriptor(UUID.from_bytes(definition.uuid), _OPEN, self._access(value))
        ordered.append((value, descriptor))
        return descriptor

    def _access(self, value: Value) -> Any:
        """Bumble checks neither readability nor writability of a value: do it as NimBLE does."""

        async def read(connection: Any) -> bytes:
            if not value.flags & FLAG_READ:
                raise att.ATT_Error(att.ATT_READ_NOT_PERMITTED_ERROR)
            await self._require(connection, value.flags, FLAG_READ_ENCRYPTED, FLAG_READ_AUTHENTICATED)
            await self._on_read(connection, value)
            return value.data

        async def write(connection: Any, data: bytes) -> None:
            if not value.flags & FLAG_WRITES:
                raise att.ATT_Error(att.ATT_WRITE_NOT_PERMITTED_ERROR)
            await self._require(connection, value.flags, FLAG_WRITE_ENCRYPTED, FLAG_WRITE_AUTHENTICATED)
            await self._on_write(connection, value, data)

        return att.AttributeValue(read=read, write=write)

    async def _require(self, connection: Any, flags: int, encrypted: int, authenticated: int) -> None:
        if flags & (encrypted | authenticated):
            await self._on_access(connection, bool(flags & encrypted), bool(flags & authenticated))
