"""``apa106``: pixels whose colours come in the order red, green, blue."""

from neopixel import NeoPixel


class APA106(NeoPixel):
    ORDER = (0, 1, 2, 3)
