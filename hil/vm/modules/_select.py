"""``select.select`` over the bench's ``poll``; loaded when a program asks for it."""

from select import POLLERR, POLLHUP, POLLIN, POLLOUT, poll


def select(rlist, wlist, xlist, timeout=None):
    """Seconds; None and less than zero wait without end."""
    wanted = {}
    for objects, events in ((rlist, POLLIN), (wlist, POLLOUT), (xlist, POLLERR | POLLHUP)):
        for obj in objects:
            wanted[id(obj)] = obj, events | wanted.get(id(obj), (obj, 0))[1]
    poller = poll()
    for obj, events in wanted.values():
        poller.register(obj, events)
    ready = poller.poll(-1 if timeout is None or timeout < 0 else int(timeout * 1000))
    return (
        [obj for obj, events in ready if events & POLLIN],
        [obj for obj, events in ready if events & POLLOUT],
        [obj for obj, events in ready if events & ~(POLLIN | POLLOUT)],
    )
