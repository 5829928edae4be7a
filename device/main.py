"""What runs at boot: lock the door, then the agent if this board is provisioned, else the REPL for
provisioning.

Copied to a board as `/main.py`, or run as `device.main`.
"""


def lock_first() -> None:
    """De-energise the strike before anything that could fail or take time: also after a brownout in mid-
    pulse.
    """
    from machine import Pin

    from device import pinmap

    role = pinmap.load()["relay"]
    Pin(role.number, Pin.OUT, value=1 if role.invert else 0)


def main() -> None:
    """Run the agent; it does not return. Whatever ends it leaves a door whose exit button works, and resets the board
    with the strike locked.
    """
    lock_first()
    import gc

    # Collect often: garbage that is left until the heap is full scatters what stays, and then no block is large
    # enough for a TLS record or a flash block.
    gc.threshold(GC_EVERY)
    from device.identity import is_provisioned

    if not is_provisioned():
        print("latchwork: not provisioned")
        return
    import sys

    import machine

    from device.agent import run_agent
    from device.bare_door import serve_exit

    try:
        run_agent()
    except Exception as e:
        sys.print_exception(e)
        serve_exit(RESTART_S)
    finally:
        lock_first()
    machine.reset()


GC_EVERY = 8192
RESTART_S = 30  # a board that cannot start must not wear its flash by counting boots

if __name__ == "__main__":
    main()
