"""Threads of a program on a bare board, and the heap that a program locks."""

from tests.hil.machine_vm import printed


def test_threads_sleep_and_use_pins_while_the_first_one_does() -> None:
    assert printed(
        """
        import _thread, time
        from machine import ADC, Pin, Timer
        done, rang, first = [], [], _thread.get_ident()
        def work(pin, n):
            led, adc = Pin(pin, Pin.OUT), ADC(36)
            for _ in range(n):
                led.toggle()
                led.value(1)
                adc.read_u16()
                time.sleep_ms(1)
            done.append(pin)
        Timer(0).init(period=2, callback=lambda t: rang.append(_thread.get_ident()))
        for pin in (12, 14, 18):
            _thread.start_new_thread(work, (pin, 30))
        work(21, 30)
        while len(done) < 4:
            time.sleep_ms(5)
        print(sorted(done), set(rang) == {first})
        """
    ) == ["[12, 14, 18, 21] True"]


def test_a_thread_sleeps_as_long_as_it_says_while_the_first_one_sleeps_longer() -> None:
    assert printed(
        """
        import _thread, time
        took = []
        def nap():
            start = time.ticks_ms()
            time.sleep(0.05)
            took.append(time.ticks_diff(time.ticks_ms(), start) >= 50)
            print("awake")
        _thread.start_new_thread(nap, ())
        time.sleep(0.5)
        print(took)
        """
    ) == ["awake", "[True]"]


def test_disabled_interrupts_keep_other_threads_out() -> None:
    assert printed(
        """
        import _thread, machine, time
        count, done = 0, False
        def add(times):
            global count
            for _ in range(times):
                state = machine.disable_irq()
                inner = machine.disable_irq()
                was = count
                for _ in range(20):
                    pass
                count = was + 1
                machine.enable_irq(inner)
                machine.enable_irq(state)
        def other():
            global done
            add(500)
            done = True
        _thread.start_new_thread(other, ())
        add(500)
        while not done:
            time.sleep_ms(1)
        print(count)
        """
    ) == ["1000"]


def test_asyncio_waits_while_the_heap_is_locked() -> None:
    assert printed(
        """
        import asyncio, micropython, machine
        async def other():
            for _ in range(3):
                await asyncio.sleep_ms(5)
        async def main():
            task = asyncio.create_task(other())
            micropython.heap_lock()
            await asyncio.sleep_ms(40)
            micropython.heap_unlock()
            print(task.done())
        asyncio.run(main())
        """
    ) == ["True"]


def test_an_exception_under_a_locked_heap_keeps_its_number_only_where_room_was_laid_up() -> None:
    assert printed(
        """
        import machine, micropython
        from esp32 import Partition
        boot = Partition.find(type=Partition.TYPE_DATA)[0].set_boot
        def locked():
            micropython.heap_lock()
            try:
                boot()
            except OSError as e:
                raised = e
            micropython.heap_unlock()
            print("raised:", raised)
        try:
            boot()
        except OSError as e:
            print(e)
        locked()
        micropython.alloc_emergency_exception_buf(100)
        locked()
        """
    ) == ["(-5379, 'ESP_ERR_OTA_VALIDATE_FAILED')", "raised: ", "raised: -5379"]
