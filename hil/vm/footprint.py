"""What the bench costs the heap of a board's VM, where a board pays nothing.

``machine``, ``bluetooth``, ``network``, ``select`` and the firmware's chooser are compiled into a board's MicroPython:
their code, names and tables are in its flash. Here they are Python modules in the same heap as the firmware, but for their code
and names (``hil.vm.qstrs``), so a VM gets this much on top of what the description grants the firmware.
"""

BENCH_KIB = 31  # of a door with a reader at its serial port
NETWORK_KIB = 2  # on top, where its connections pass through the bench
PROMPT_KIB = 64  # on top, where a tool has reset a door's board into its raw REPL: all of a bare board's modules, and no firmware
