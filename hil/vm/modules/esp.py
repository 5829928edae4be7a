"""``esp``: what a board of this bench can tell of its flash, and the log that it does not write."""

LOG_NONE, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_VERBOSE = range(6)


def osdebug(uart, level=LOG_INFO):
    pass


def flash_size():
    return 0x400000


def flash_user_start():
    return 0x200000
