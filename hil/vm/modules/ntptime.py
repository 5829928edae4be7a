"""``ntptime``: the time of an SNTP server (RFC 4330), and the RTC set to it."""

import socket
import struct
import time as clock

_FROM_1900 = {1970: 2208988800, 2000: 3155673600}
_ERA = 1 << 32  # of a timestamp: 136 years, that of now is the second one from 2036 on

host = "pool.ntp.org"
timeout = 1  # seconds


def time():
    """Seconds since the epoch of ``time``; raises OSError."""
    query = bytearray(48)
    query[0] = 0x1B  # version 3, client
    where = socket.getaddrinfo(host, 123)[0][-1]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.settimeout(timeout)
        s.sendto(query, where)
        answer = s.recv(48)
    finally:
        s.close()
    seconds = struct.unpack("!I", answer[40:44])[0]
    if seconds < _FROM_1900[2000]:
        seconds += _ERA
    return seconds - _FROM_1900[clock.gmtime(0)[0]]


def settime():
    from machine import RTC

    t = clock.gmtime(time())
    RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))
