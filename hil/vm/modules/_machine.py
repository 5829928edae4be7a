"""The names of ``machine`` that the firmware of a door does not use, and on a bare board all of them."""

from _adc import ADC, ADCBlock
from _analog import DAC, TouchPad
from _count import Counter, Encoder
from _i2c import I2C, SoftI2C
from _i2c_target import I2CTarget
from _i2s import I2S
from _masked import disable_irq, enable_irq
from _pin import Pin
from _pulse import bitstream, time_pulse_us
from _pwm import PWM
from _rtc import RTC
from _signals import Signal
from _sleep import deepsleep, lightsleep, wake_reason
from _spi import SPI, SoftSPI
from _timer import Timer
from _uart_more import UART
from _wdt import WDT

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = range(1, 6)
SLEEP, DEEPSLEEP = 2, 4
PIN_WAKE, EXT0_WAKE, EXT1_WAKE, TIMER_WAKE, TOUCHPAD_WAKE, ULP_WAKE = 2, 2, 3, 4, 5, 6
sleep = lightsleep


def dht_readinto(pin, buf):
    __import__("_dht").read(pin, buf)


def SDCard(**how):
    return __import__("_sdcard").SDCard(**how)
