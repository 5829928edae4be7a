"""The broker process: it starts, says why it cannot, comes back on its ports, never outlives its owner."""

import asyncio
import os
import signal
import socket
import stat
import sys
import textwrap
from pathlib import Path

import pytest

from protocol.host.broker import BrokerError, BrokerFiles, NatsBroker
from protocol.host.nats_claims import new_issuer

from .fleet import Fleet


@pytest.fixture
def files(tmp_path: Path) -> BrokerFiles:
    fleet = Fleet(tmp_path / "pki")
    server = fleet.issue("broker", server=True)
    return BrokerFiles(server.certificate, server.key, fleet.ca)


def make(tmp_path: Path, files: BrokerFiles, **options: object) -> NatsBroker:
    settings: dict[str, object] = {"server_name": "test", "auth_issuer": new_issuer()[1], "files": files}
    return NatsBroker(tmp_path / "broker", **{**settings, **options})  # type: ignore[arg-type]


async def test_chooses_free_ports_and_keeps_them_over_a_restart(tmp_path: Path, files: BrokerFiles) -> None:
    broker = make(tmp_path, files)
    await broker.start()
    ports = broker.mqtt_port, broker.nats_port
    assert all(ports)
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    assert await broker.wait_exit() == -signal.SIGKILL
    assert not broker.running
    await broker.start()
    assert (broker.mqtt_port, broker.nats_port) == ports
    await broker.stop()
    assert not broker.running


async def test_two_brokers_on_one_machine_do_not_meet(tmp_path: Path, files: BrokerFiles) -> None:
    first, second = make(tmp_path / "a", files), make(tmp_path / "b", files)
    await asyncio.gather(first.start(), second.start())
    assert len({first.mqtt_port, first.nats_port, second.mqtt_port, second.nats_port}) == 4
    await asyncio.gather(first.stop(), second.stop())


async def test_says_that_a_port_is_taken(tmp_path: Path, files: BrokerFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = make(tmp_path, files, mqtt_port=taken.getsockname()[1])
        with pytest.raises(BrokerError, match="address already in use"):
            await broker.start()
    assert not broker.running


async def test_says_that_a_certificate_is_bad(tmp_path: Path, files: BrokerFiles) -> None:
    files.certificate.write_text("not a certificate")
    with pytest.raises(BrokerError, match="certificate"):
        await make(tmp_path, files).start()


async def test_a_cancelled_start_leaves_no_process(tmp_path: Path, files: BrokerFiles) -> None:
    broker = make(tmp_path, files, on_log=lambda line: starting.cancelling() or starting.cancel())
    starting = asyncio.create_task(broker.start())
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not broker.running


async def test_its_passwords_are_readable_by_the_owner_only(tmp_path: Path, files: BrokerFiles) -> None:
    broker = make(tmp_path, files)
    await broker.start()
    config = broker.directory / "nats-server.conf"
    assert broker.auth_password in config.read_text()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(broker.directory.stat().st_mode) == 0o700
    await broker.stop()


async def test_nothing_that_it_stored_survives_a_restart(tmp_path: Path, files: BrokerFiles) -> None:
    broker = make(tmp_path, files)
    await broker.start()
    left = broker.directory / "jetstream" / "left-over"
    left.write_text("a command of yesterday")
    await broker.stop()
    await broker.start()
    assert not left.exists()
    await broker.stop()


OWNER = """
    import asyncio, sys
    from pathlib import Path
    from protocol.host.broker import BrokerFiles, NatsBroker
    from protocol.host.nats_claims import new_issuer

    async def main():
        files = BrokerFiles(*map(Path, sys.argv[2:5]))
        broker = NatsBroker(Path(sys.argv[1]), server_name="x", auth_issuer=new_issuer()[1], files=files)
        await broker.start()
        print(broker.pid, flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


async def test_dies_with_an_owner_that_is_killed(tmp_path: Path, files: BrokerFiles) -> None:
    arguments = [str(tmp_path / "b"), str(files.certificate), str(files.key), str(files.ca)]
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(OWNER), *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    broker = os.pidfd_open(int(await owner.stdout.readline()))
    owner.kill()
    await owner.wait()
    ended = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(broker, ended.set_result, None)  # a pidfd is readable at exit
    await asyncio.wait_for(ended, 10)
    asyncio.get_running_loop().remove_reader(broker)
    os.close(broker)
