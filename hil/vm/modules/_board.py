"""The VM's end of the board link: calls to the board model, and its interrupts, run like scheduled ones.

Frames are those of hil/vm/wire.py. Interrupts reach firmware where it waits (select, time.sleep_ms,
machine.idle) and where it reads a pin. On a bare board _spin brings them into loops that do neither.
"""

import struct
import sys

import uos as os
import uselect
import usocket  # for those that are loaded when its name is the board's
import utime
from micropython import const

CORE, GPIO, BLE, NET, NVS, UART = range(6)

# const: what others see has an entry in a table of the heap, which on a real board these modules have not.
_POST = const(0)
_CALL = const(1)
_REPLY = const(2)
_ERROR = const(3)
_INTERRUPT = const(4)
_HEAD = const("<BBBBIQ")
_MARK = const(0xB0)
_BREAK = const(1)  # interrupt of CORE
_CLAIM = const(8)  # operation of CORE
_MAX_QUEUE = const(256)  # interrupts that wait while a handler or a call is running
_CALL_MS = const(
    30000
)  # the model answers in microseconds; its first touch of the radio loads a Bluetooth stack
_THREADS_MS = const(5)  # a flag set by a thread wakes no file descriptor

fd = int(os.getenv("LATCHWORK_LINK") or "-1")
if fd < 0:
    raise OSError(19)  # ENODEV: this VM was not started by the bench
bare = (
    os.getenv("LATCHWORK_BARE") == "1"
)  # not a door: memory does not count, and everything is loaded at once
_link = open(fd, "r+b")
_poll = uselect.poll()
_poll.register(fd, uselect.POLLIN)
_head = bytearray(16)
_half = False  # the header in _head is read, its payload is not
_receiving = False
_inside = False  # a call or a pump is at the link: nobody else may read from it
_running = False
_spinning = False
_break = False  # the console wants KeyboardInterrupt
_hello = None
_main = _lock = _ident = None  # on a bare board its first thread, and who is at the link
_queue = []
_handlers = {}
_early = {}
end = 0  # ticks_us: of the last handler of a pin, or of what held all back
alarms = []  # objects with .due (ticks_ms) and .ring(), kept by machine.Timer


def on(channel, handler, stores=None):
    """Run handler(op, payload) for interrupts of channel.

    stores(op, payload), if given, is called as soon as the interrupt is received, even inside another handler:
    it may only store state. The handler then runs if it returned true."""
    _handlers[channel] = handler
    _early[channel] = stores
    if bare and channel == BLE:
        __import__("_spin")  # as machine does


def post(channel, op, payload=b""):
    """Tell the model; there is no answer."""
    _link.write(struct.pack(_HEAD, _POST, channel, op, _MARK, len(payload), utime.ticks_us()) + payload)


def call(channel, op, payload=b""):
    """Ask the model and return its answer; raises OSError(errno) if it refuses."""
    global _inside
    if _lock:
        _lock.acquire()
    _inside = True
    try:
        stamp = utime.ticks_us()
        _link.write(struct.pack(_HEAD, _CALL, channel, op, _MARK, len(payload), stamp) + payload)
        end = utime.ticks_add(utime.ticks_ms(), _CALL_MS)
        while True:
            left = utime.ticks_diff(end, utime.ticks_ms())
            if left <= 0:
                raise OSError(110)
            if not _poll.poll(left):
                continue
            kind, ch, o, at, data = _receive()
            if kind == _INTERRUPT:
                _enqueue(ch, o, data)
            elif at == stamp:  # else the answer to a call that Ctrl-C cut short
                break
    finally:
        _inside = False
        if _lock:
            _lock.release()
    if _is_main():
        if _break and not _running:
            _claim_break()
        if bare and _queue and not _running:
            pump()
    if kind == _ERROR:
        raise OSError(struct.unpack("<i", data)[0])
    return data


def _is_main():
    # Threads of the program may call, but what interrupts runs in the first one, as on the chip.
    return not _lock or _ident() == _main


def _came():
    for _ in _poll.ipoll(0):  # unlike poll(), it takes no heap: a program may have locked it
        return True


def pump(spun=False):
    """Receive what the model has sent and run what is due; never waits. Returns true if something ran.

    ``spun``: in the midst of any code, where what is raised reaches no program. A Ctrl-C is left to the console's signal."""
    global _running, _spinning
    if not _is_main():
        return False
    if spun:
        if _inside or _lock.locked():
            return False
        _spinning = True
        try:
            return pump()
        finally:
            _spinning = False
    _drain()
    if _break and not (_running or _spinning):
        _claim_break()
    if _running or not (_queue or alarms):
        return False
    _running = True
    ran = False
    try:
        while _queue:
            ch, o, data = _queue.pop(0)
            ran = True
            _run(_handlers.get(ch), o, data)
            if not _queue:  # the program must not go on between two that came at once
                _drain()
        now = utime.ticks_ms()
        for a in alarms[:] if alarms else alarms:
            if utime.ticks_diff(a.due, now) <= 0 and a in alarms:
                ran = True
                _run(a.ring)
    finally:
        _running = False
    return ran


def wait(poller, timeout):
    """Block in poller (it watches fd too) for at most timeout ms (-1: no limit), or until a timer is due."""
    if alarms and not _running:
        now = utime.ticks_ms()
        for a in alarms:
            left = utime.ticks_diff(a.due, now)
            if timeout < 0 or left < timeout:
                timeout = left if left > 0 else 0
    if "_thread" in sys.modules and not 0 <= timeout <= _THREADS_MS:
        timeout = _THREADS_MS
    for _ in poller.ipoll(timeout):
        pass


def sleep_ms(ms):
    """Sleep; interrupts and timers run meanwhile. Inside an interrupt, and in another thread, only the time passes."""
    if not _is_main():
        return utime.sleep_ms(ms)
    end = utime.ticks_add(utime.ticks_ms(), ms)
    pump()
    while True:
        left = utime.ticks_diff(end, utime.ticks_ms())
        if left <= 0:
            return
        if _running:
            utime.sleep_ms(left)
        else:
            wait(_poll, left)
            pump()


def wait_ms(ms):
    """Wait for the next interrupt, at most ms."""
    if not _is_main():
        utime.sleep_ms(1)
    elif not pump():
        wait(_poll, ms)
        pump()


def hello():
    """[reset cause, microseconds from ticks_us to the RTC, unique id]; asked for once, RTC keeps it right."""
    global _hello
    if _hello is None:
        _hello = list(struct.unpack("<Bq6s", call(CORE, 0)))
    return _hello


def reset(cause, after_ms=0):
    """Tell the model, which takes this VM's power away; nothing more is executed."""
    if not (os.getenv("LATCHWORK_FLASH") or _spinning):
        raise SystemExit  # a board that lives for one command ends with its reset
    post(CORE, 1, struct.pack("<BI", cause, after_ms))
    while True:
        utime.sleep_ms(60000)


def hold(masked):
    """Hold interrupts back (true) or let them run; returns what was in force."""
    global _running, end
    was, _running = _running, masked
    end = utime.ticks_us()
    return was


def _run(handler, *args):
    if handler is not None:
        try:
            handler(*args)
        except Exception as e:
            sys.print_exception(e)


def _claim_break():
    # The console sends Ctrl-C over the link first: as a signal it could hit in the middle of a frame. It
    # gives up waiting after a while and signals; then it does not grant the claim.
    global _break
    _break = False
    if call(CORE, _CLAIM) == b"\x01":
        raise KeyboardInterrupt


def _drain():
    global _inside
    if not (_receiving or _inside) and (not _lock or _lock.acquire(0)):
        _inside = True
        try:
            while _came():
                kind, channel, op, _, data = _receive()
                if kind == _INTERRUPT:
                    _enqueue(channel, op, data)
        finally:
            _inside = False
            if _lock:
                _lock.release()


def _enqueue(channel, op, data):
    global _break
    if channel == CORE and op == _BREAK:
        _break = True
        return
    early = _early.get(channel)
    if early and not early(op, data):
        return
    if len(_queue) < _MAX_QUEUE:
        _queue.append((channel, op, data))
    else:
        print("board: interrupt lost, channel", channel)


def _receive():
    # A MemoryError or Ctrl-C between header and payload must not lose step with the stream: _half remembers.
    global _half, _receiving
    _receiving = True
    try:
        if not _half:
            if _link.readinto(_head) != 16:
                raise SystemExit("board model lost")
            _half = True
        kind, channel, op, mark, size, stamp = struct.unpack(_HEAD, _head)
        if mark != _MARK:
            while _poll.poll(0):
                _link.read(1)
            size = 0
        data = _link.read(size)
        _half = False
        return (kind, channel, op, stamp, data) if mark == _MARK else (255, 0, 0, 0, b"")
    finally:
        _receiving = False


def threads():
    """The program may have some from now on, and _spin is one."""
    global _main, _lock, _ident
    import _thread

    _ident = _thread.get_ident
    _main, _lock = _ident(), _thread.allocate_lock()


if bare:
    threads()
    import _micropython

    sys.modules["micropython"] = _micropython.module  # a path has no say in what is built in
    if not os.getenv("LATCHWORK_FLASH"):  # else _boot chooses a socket first
        import _alias
