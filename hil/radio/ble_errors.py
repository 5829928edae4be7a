"""What NimBLE returns, and the errno that MicroPython makes of it (ble_hs_err_to_errno of its NimBLE port)."""

import errno

EALREADY = 2
EINVAL = 3
ENOENT = 5
ENOMEM = 6
ENOTCONN = 7
ENOTSUP = 8
EAPP = 9
ETIMEOUT = 13
EDONE = 14
EBUSY = 15
EREJECT = 16
EUNKNOWN = 17
EAUTHEN = 23
EAUTHOR = 24
EENCRYPT = 25
EENCRYPT_KEY_SZ = 26
ATT_BASE = 0x100  # BLE_HS_ERR_ATT_BASE, and the peer's ATT error
HCI_BASE = 0x200

_ERRNO = {
    EALREADY: errno.EALREADY,
    EINVAL: errno.EINVAL,
    ENOENT: errno.ENOENT,
    ENOMEM: errno.ENOMEM,
    ENOTCONN: errno.ENOTCONN,
    ENOTSUP: errno.EOPNOTSUPP,
    ETIMEOUT: errno.ETIMEDOUT,
    EDONE: errno.EIO,
    EBUSY: errno.EBUSY,
}


def host_error(code: int, text: str) -> OSError:
    """What the program catches for a NimBLE code; those without an errno are passed on, negative."""
    return OSError(_ERRNO.get(code, -code), text)
