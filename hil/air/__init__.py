"""One air for many processes: the boards of separate commands that name the same air hear each other.

An air is a server process that owns a radio medium (``server``). The first member starts it, it ends when its last one is
gone, and a killed member is gone at once: its socket closes. ``client.join(air, identity, kind)`` makes a process a member;
what a member of a kind can ask for are channels (``ops``), and a new kind or channel is a line in ``server.CHANNELS``.
"""
