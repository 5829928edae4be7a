"""``tls`` of an ESP32 over the VM's own, which is of a later release: a server of DTLS need not say who its client is."""

import tls as _tls
from tls import *

_COOKIE_SENT = (
    -0x6A80
)  # MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED: the client says hello once more, with the cookie


class SSLContext:
    def __init__(self, protocol):
        self._context = _tls.SSLContext(protocol)
        self._named = protocol == _tls.PROTOCOL_DTLS_SERVER

    def __getattr__(self, name):
        return getattr(self._context, name)

    @property
    def verify_mode(self):
        return self._context.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._context.verify_mode = mode

    @property
    def verify_callback(self):
        return self._context.verify_callback

    @verify_callback.setter
    def verify_callback(self, callback):
        self._context.verify_callback = callback

    def wrap_socket(self, sock, **kwargs):
        if getattr(sock, "_streams", False):
            sock = sock._native  # which select knows beneath
        if not self._named:
            return self._context.wrap_socket(sock, **kwargs)
        while True:
            try:
                return self._context.wrap_socket(sock, client_id=b"client", **kwargs)
            except OSError as e:
                if e.errno != _COOKIE_SENT:
                    raise
