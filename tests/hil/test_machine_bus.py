"""I2C, SPI, 1-Wire and the converter of a bare board, with the devices that its description attaches."""

from pathlib import Path

import pytest

from hil.board.board import Board
from hil.board.description import DescriptionError, load_description
from hil.vm.spawner import Zygote
from tests.hil.board_rig import DEADLINE, program
from tests.hil.machine_vm import REFUSED, printed

BOARD = """
name = "bus"
[[i2c]]
scl = 18
sda = 19
devices = [{ kind = "eeprom", address = 0x50 }, { kind = "thermometer", address = 0x48, celsius = -10.5 }]
[[spi]]
sck = 14
mosi = 13
miso = 12
devices = [{ cs = 15, kib = 64 }]
[[onewire]]
pin = 4
devices = [{ serial = 0x010203, celsius = 25.0625 }, { serial = 0x010201, celsius = -3.5 }]
[[dht]]
pin = 21
kind = "dht11"
celsius = -4.0
humidity = 55.0
[[dht]]
pin = 22
celsius = -10.4
humidity = 99.9
"""


@pytest.fixture
def board(tmp_path: Path) -> str:
    path = tmp_path / "bus.toml"
    path.write_text(BOARD)
    return str(path)


@pytest.mark.parametrize("bus", ["I2C(0)", "SoftI2C(18, 19)"])
def test_devices_answer_on_their_bus_only(board: str, bus: str) -> None:
    source = f"""
    from machine import I2C, SoftI2C
    i2c = {bus}
    print([hex(a) for a in i2c.scan()], I2C(1).scan())
    print(i2c.writeto_mem(0x50, 6, b"abcd"), i2c.readfrom_mem(0x50, 0, 8))
    print(i2c.writevto(0x50, (b"\\x10", b"x", bytearray(b"yz"))), i2c.writeto(0x50, b"\\x10", False), i2c.readfrom(0x50, 3))
    buf = bytearray(2)
    i2c.readfrom_mem_into(0x48, 0, buf)
    print(int.from_bytes(buf, "big") >> 7 & 511)
    try:
        i2c.readfrom(0x51, 1)
    except OSError as e:
        print(e)
    """
    assert printed(source, LATCHWORK_BOARD=board) == [
        "['0x48', '0x50'] []",
        "None b'cd\\xff\\xff\\xff\\xffab'",
        "4 1 b'xyz'",
        str(-21 & 511),
        "[Errno 19] ENODEV",
    ]


def test_the_primitives_are_those_of_the_soft_bus(board: str) -> None:
    source = """
    from machine import I2C, Pin, SoftI2C
    i2c = SoftI2C(scl=18, sda=19)
    i2c.start()
    print(i2c.write(b"\\xa0\\x20hi"))
    i2c.stop()
    print(i2c.readfrom_mem(0x50, 0x20, 2))
    i2c.start()
    print(i2c.write(b"\\x20"))
    i2c.stop()
    try:
        I2C(0).start()
    except OSError as e:
        print(e)
    """
    lines = printed(source, LATCHWORK_BOARD=board)
    assert lines == ["4", "b'hi'", "0", "I2C operation not supported"]


def test_an_spi_memory_listens_while_it_is_selected(board: str) -> None:
    source = """
    from machine import Pin, SPI
    spi, cs = SPI(1, 10000000), Pin(15, Pin.OUT, value=1)
    def command(data, count=0):
        cs(0)
        spi.write(data)
        answer = spi.read(count) if count else b""
        cs(1)
        return answer
    print(command(b"\\x9f", 3), spi.read(2))
    command(b"\\x02\\0\\0\\x10lost")
    command(b"\\x06")
    command(b"\\x02\\0\\0\\x10kept")
    print(command(b"\\x03\\0\\0\\x0f", 6))
    command(b"\\x06")
    command(b"\\x20\\0\\0\\0")
    print(command(b"\\x03\\0\\0\\x10", 4))
    """
    assert printed(source, LATCHWORK_BOARD=board) == [
        "b'\\xef@\\x14' b'\\x00\\x00'",
        "b'\\xffkept\\xff'",
        "b'\\xff\\xff\\xff\\xff'",
    ]


def test_a_wire_from_mosi_to_miso_is_a_loop_and_takes_its_time() -> None:
    assert printed(
        """
        import time
        from machine import SPI, SoftSPI
        spi, buf = SPI(1, 100000), bytearray(250)
        t = time.ticks_ms()
        spi.write_readinto(b"0123456789" * 25, buf)
        print(bytes(buf) == b"0123456789" * 25, time.ticks_diff(time.ticks_ms(), t) >= 19)
        print(spi.read(3, 0x55), SPI(1, 1000000, firstbit=SPI.LSB).read(1, 0x0f), SPI(2).read(2))
        soft = SoftSPI(sck=18, mosi=12, miso=13)
        print(soft.read(2, 7), SPI(1, 1000000), soft)
        """
    ) == [
        "True True",
        "b'UUU' b'\\x0f' b'\\x00\\x00'",
        "b'\\x07\\x07' SPI(id=1, baudrate=1000000, polarity=0, phase=0, bits=8, firstbit=0, sck=14, mosi=13, miso=12) "
        "SoftSPI(baudrate=500000, polarity=0, phase=0, firstbit=0, sck=18, mosi=12, miso=13)",
    ]


def test_thermometers_are_found_on_a_1_wire_bus(board: str) -> None:
    source = """
    import ds18x20, onewire
    from machine import Pin
    bus = onewire.OneWire(Pin(4))
    ds = ds18x20.DS18X20(bus)
    roms = sorted(bytes(rom) for rom in ds.scan())
    print([rom[1:4] for rom in roms], [bus.crc8(rom) for rom in roms])
    print(ds.read_temp(roms[0]))
    ds.convert_temp()
    print([ds.read_temp(rom) for rom in roms], onewire.OneWire(Pin(5)).reset(), onewire.OneWire(Pin(5)).scan())
    """
    assert printed(source, LATCHWORK_BOARD=board) == [
        "[b'\\x01\\x02\\x01', b'\\x03\\x02\\x01'] [0, 0]",
        "85.0",
        "[-3.5, 25.0625] False []",
    ]


def test_temperature_and_humidity_are_read_from_one_wire(board: str) -> None:
    source = """
    import dht
    from machine import Pin
    for kind, pin in ((dht.DHT11, 21), (dht.DHT22, 22), (dht.DHT22, 23)):
        sensor = kind(Pin(pin))
        try:
            sensor.measure()
            print("%.1f %.1f" % (sensor.temperature(), sensor.humidity()))
        except OSError as e:
            print(e)
    """
    assert printed(source, LATCHWORK_BOARD=board) == ["-4.0 55.0", "-10.4 99.9", "[Errno 110] ETIMEDOUT"]


def test_the_port_s_refusals() -> None:
    assert printed(
        REFUSED
        + """
from machine import ADC, ADCBlock, I2C, SPI, SoftSPI, Counter, Encoder
closed = SPI(1)
closed.deinit()
for act in (
    lambda: I2C(2), lambda: I2C(0).readfrom_mem(1, 1, 1, addrsize=7), lambda: SPI(3), lambda: SoftSPI(sck=1),
    lambda: SoftSPI(bits=7), lambda: SPI(1).write_readinto(b"1", bytearray(2)), lambda: closed.read(1),
    lambda: SPI(1, bits=16).read(1), lambda: ADC(5), lambda: ADC(32, atten=4), lambda: ADCBlock(3),
    lambda: ADC(32).width(13), lambda: Counter(8, 5), lambda: Encoder(0, 4, 5, phases=3),
):
    refused(act)
"""
    ) == [
        "ValueError I2C(2) doesn't exist",
        "ValueError invalid addrsize",
        "ValueError SPI(3) doesn't exist",
        "ValueError must specify all of sck/mosi/miso",
        "ValueError bits must be 8",
        "ValueError buffers must be the same length",
        "OSError transfer on deinitialized SPI",
        "ValueError buffer too short",
        "ValueError invalid pin",
        "ValueError invalid atten",
        "ValueError invalid block id",
        "ValueError invalid bits",
        "ValueError invalid id",
        "ValueError phases",
    ]


async def test_a_voltage_from_the_bench_is_converted(tmp_path: Path) -> None:
    source = """
    import time
    from machine import ADC, ADCBlock, Pin
    adc = ADC(Pin(32), atten=ADC.ATTN_11DB)
    print("ready", adc, adc.block())
    while Pin(0, Pin.IN).value():
        time.sleep_ms(5)
    print("got", adc.read(), adc.read_u16(), adc.read_uv(), ADCBlock(1).connect(4) is adc)
    adc.atten(ADC.ATTN_0DB)
    adc.width(ADC.WIDTH_9BIT)
    print("over", adc.read(), adc.read_u16(), adc.read_uv())
    """
    path = tmp_path / "bus.toml"
    path.write_text(BOARD)
    async with Zygote() as zygote:
        rom = program(tmp_path / "src", source)
        board = Board(load_description(path), "analog", tmp_path / "board", vm=zygote, firmware=rom)
        try:
            board.pins.set_input(0, 1)
            board.peripherals.adc.set_volts(32, 1.9515)
            await board.start()
            await board.console.wait_for(r"ready ADC\(Pin\(32\), atten=3\) ADCBlock\(1, bits=12\)", DEADLINE)
            board.pins.set_input(0, 0)
            await board.console.wait_for(r"got 2048 32776 1951000 True\n.*over 511 65535 1100000", DEADLINE)
            with pytest.raises(ValueError, match="destroy"):
                board.peripherals.adc.set_volts(32, 5)
        finally:
            await board.stop()


def test_a_board_is_a_target_on_its_own_wires() -> None:
    assert printed(
        """
        from machine import I2C, I2CTarget, SoftI2C
        i2c, mem = SoftI2C(scl=4, sda=12), bytearray(b"01234567")
        target = I2CTarget(0, 67, mem=mem, scl=5, sda=13)
        print(i2c.scan(), target)
        i2c.writeto_mem(67, 6, b"test")
        print(mem, i2c.readfrom_mem(67, 4, 6), target.memaddr, I2C(1).scan())
        target.deinit()
        target, events, buf = I2CTarget(1, addr=66, scl=5, sda=13), [], bytearray(1)
        def handler(t):
            events.append(t.irq().flags())
            if events[-1] == t.IRQ_READ_REQ:
                t.write(b"Y")
            if events[-1] == t.IRQ_WRITE_REQ:
                events.append((t.readinto(buf), bytes(buf)))
        target.irq(handler, 63)
        i2c.writeto(66, b"X", False)
        print(i2c.readfrom(66, 2), events)
        print(i2c.scan())
        target.deinit()
        print(i2c.scan())
        """
    ) == [
        "[67] I2CTarget(0, addr=67, scl=5, sda=13)",
        "bytearray(b'st2345te') b'45test' 4 []",
        "b'YY' [2, 8, (1, b'X'), 32, 1, 4, 4, 16]",
        "[66]",
        "[]",
    ]


def test_the_converters_meet_on_a_wire_and_a_pad_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "wired.toml"
    path.write_text('name = "wired"\n[[wire]]\npins = [25, 32]\n')
    assert printed(
        REFUSED
        + """
from machine import ADC, DAC, Pin, TouchPad
dac, adc, pad = DAC(Pin(25)), ADC(Pin(32), atten=ADC.ATTN_11DB), TouchPad(Pin(4))
dac.write(128)
print(dac, adc.read_uv(), pad.read() > 300)
for act in (lambda: DAC(Pin(4)), lambda: dac.write(256), lambda: TouchPad(Pin(5))):
    refused(act)
""",
        LATCHWORK_BOARD=str(path),
    ) == [
        "DAC(Pin(25)) 1656000 True",
        "ValueError invalid pin",
        "ValueError value out of range",
        "ValueError invalid pin for touchpad",
    ]


def test_a_peripheral_takes_its_pins_from_what_they_were(board: str) -> None:
    source = """
    from machine import ADC, I2C, Pin, SoftI2C, SPI, UART
    Pin(18, Pin.OUT, value=0), Pin(19, Pin.OUT, value=0)
    i2c = SoftI2C(18, 19)
    print(len(i2c.scan()), Pin(18)())
    Pin(19, Pin.OUT, value=0)
    try:
        i2c.scan()
    except OSError as e:
        print(e)
    print(len(I2C(0).scan()))
    Pin(32, Pin.OUT, value=1)
    print(ADC(32).read_u16())
    spi, uart = SPI(2, polarity=1, sck=21, mosi=22, miso=23), UART(1, tx=25, rx=26)
    print(Pin(21)(), Pin(22)(), Pin(25)(), Pin(26)())
    """
    assert printed(source, LATCHWORK_BOARD=board) == ["2 1", "[Errno 110] ETIMEDOUT", "2", "0", "1 0 1 1"]


def test_a_card_is_formatted_mounted_and_found_again(tmp_path: Path) -> None:
    (tmp_path / "card.img").write_bytes(bytes(512 * 4096))
    (tmp_path / "board.toml").write_text('name = "card"\nsdcard = "card.img"\n')
    where = str(tmp_path / "board.toml")
    assert printed(
        """
        import machine, os, vfs
        sd = machine.SDCard(slot=2)
        print(sd.info())
        vfs.VfsFat.mkfs(sd)
        vfs.mount(sd, "/sd")
        with open("/sd/note.txt", "w") as f:
            f.write("kept")
        vfs.umount("/sd")
        print(sd.writeblocks(4095, bytearray(1024)), sd.ioctl(6, 0))
        """,
        LATCHWORK_BOARD=where,
    ) == ["(2097152, 512)", "-5 -1"]
    assert printed(
        """
        import machine, os, vfs
        vfs.mount(machine.SDCard(), "/sd")
        print(os.listdir("/sd"), open("/sd/note.txt").read())
        """,
        LATCHWORK_BOARD=where,
    ) == ["['note.txt'] kept"]


def test_a_slot_without_a_card_and_wrong_slots() -> None:
    assert printed(
        REFUSED
        + """
import machine, vfs
refused(machine.SDCard().info)
refused(lambda: vfs.mount(machine.SDCard(), "/sd"))
refused(lambda: machine.SDCard(slot=0))
refused(lambda: machine.SDCard(miso=2))
refused(lambda: machine.SDCard(width=8))
"""
    ) == [
        "OSError (-263, 'ESP_ERR_TIMEOUT')",
        "OSError 16",
        "ValueError invalid slot number",
        "ValueError invalid config: SDMMC slot with SPI pin arguments",
        "ValueError width must be 1 or 4 (or 8 on slot 0)",
    ]


def test_a_description_whose_card_is_missing_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text('name = "card"\nsdcard = "card.img"\n')
    with pytest.raises(DescriptionError, match=r"no file .*card\.img; make one: truncate"):
        load_description(tmp_path / "board.toml")
    (tmp_path / "card.img").write_bytes(bytes(700))
    with pytest.raises(DescriptionError, match="whole blocks of 512 bytes"):
        load_description(tmp_path / "board.toml")
