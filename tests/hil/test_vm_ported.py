"""Modules that a chip's MicroPython has and the VM's has otherwise: ``select``, ``os``."""

from tests.hil.machine_vm import printed


def test_select_tells_who_can_be_read_and_written_and_knows_no_descriptors() -> None:
    assert printed(
        """
        import select, socket
        one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for port in range(31200, 31300):
            try:
                one.bind(("127.0.0.1", port))
                break
            except OSError:
                pass
        names = {id(one): "one", id(other): "other"}
        def show(*lists):
            print([[names[id(s)] for s in found] for found in select.select(*lists)])
        show([one, other], [one], [other], 0)
        other.sendto(b"x", ("127.0.0.1", port))
        show([one, other], [one, other], [])
        show([other], [], [], 0.01)
        for wrong in (1, object()):
            try:
                select.select([wrong], [], [])
            except OSError as e:
                print(e)
        """
    ) == [
        "[[], ['one'], []]",
        "[['one'], ['one', 'other'], []]",
        "[[], [], []]",
        "stream operation not supported",
        "stream operation not supported",
    ]


def test_a_listing_asks_a_file_system_of_the_program_nothing_else() -> None:
    assert printed(
        """
        import os, vfs
        class Disk:
            def mount(self, readonly, mkfs):
                pass
            def umount(self):
                pass
            def __getattr__(self, name):
                print(name)
                raise AttributeError(name)
            def chdir(self, path):
                pass
            def ilistdir(self, path):
                yield "a", 0, 0
        vfs.mount(Disk(), "/disk")
        os.chdir("/disk")
        print(os.listdir(), os.listdir("/disk"))
        """
    ) == ["['a'] ['a']"]
