"""What the interfaces of ``network`` have in common on an ESP32: their addresses, by DHCP or by hand."""


class Nic:
    fixed = None  # ifconfig, by the program
    client = True  # of DHCP; an access point is the server

    def ifconfig(self, config=None):
        if config is None:
            return self.fixed or self.told()
        if isinstance(config, str):
            if config != "dhcp" or not self.client:
                raise ValueError("invalid arguments")
            self.fix(None)
            return
        address, mask, gateway, dns = config
        if isinstance(mask, int):
            bits = 0xFFFFFFFF << (32 - mask) & 0xFFFFFFFF
            mask = ".".join([str(bits >> n & 255) for n in (24, 16, 8, 0)])
        self.fix((address, mask, gateway, dns))

    def fix(self, config):
        self.fixed = config
        self.addressed(config[0] if config else "")

    def addressed(self, address):
        """Tell the network of one that is set by hand; "" is its own."""

    def ipconfig(self, *args, **kwargs):
        if not kwargs:
            if len(args) != 1:
                raise TypeError("must query one param")
            return self.got(args[0])
        if args:
            raise TypeError("can't specify pos and kw args")
        for name, value in kwargs.items():
            self.put(name, value)

    def got(self, name):
        address, mask, gateway, _ = self.ifconfig()
        if name == "addr4":
            return (address, mask)
        if name == "gw4":
            return gateway
        if name == "dhcp4" and self.client:
            return self.fixed is None
        if name == "has_dhcp4" and self.client:
            return self.fixed is None and address != "0.0.0.0"  # noqa: S104
        if name == "addr6":
            return []
        if name in ("autoconf6", "has_autoconf6"):
            return False
        raise ValueError("unexpected key")

    def put(self, name, value):
        address, mask, gateway, dns = self.ifconfig()
        if name == "dhcp4" and self.client:
            self.fix(None if value else (address, mask, gateway, dns))
        elif name == "addr4":
            if isinstance(value, str):
                value, _, bits = value.partition("/")
                value = (value, int(bits) if bits else mask)
            self.ifconfig((value[0], value[1], gateway, dns))
        elif name == "gw4":
            self.ifconfig((address, mask, value, dns))
        else:
            raise ValueError("unexpected key")
