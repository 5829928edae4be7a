"""CPython-only code that gateway, cloud and bench share: models of the messages, pins, certificates, the broker."""
