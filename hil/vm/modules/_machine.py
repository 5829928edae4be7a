"""The names of ``machine`` that the firmware of a door does not use, and on a bare board all of them."""

from _signal import Signal

from _adc import ADC, ADCBlock
from _analog import DAC, TouchPad
from _count import Counter, Encoder
from _i2c import I2C, SoftI2C
from _i2c_target import I2CTarget
from _i2s import I2S
from _pulse import bitstream, time_pulse_us
from _pwm import PWM
from _rtc import RTC
from _sleep import deepsleep, lightsleep, wake_reason
from _spi import SPI, SoftSPI
from _timer import Timer
from _uart import UART
from _wdt import WDT

sleep = lightsleep
