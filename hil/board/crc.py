"""Check sums of the simulated devices."""


def crc8_maxim(data: bytes) -> int:
    """CRC-8 of 1-Wire devices (Maxim application note 27)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
