"""What the bench and the zygote say to each other (see ``hil.vm.zygote``)."""

MAX_ORDER = 64 * 1024
FORK, KILL, MAP = b"f", b"k", b"m"  # then: nothing, process ids, a path
BENCH = "/bench"  # where a board's VM has the bench's modules
VM_LINK_FD = 3  # of a VM: its board link
