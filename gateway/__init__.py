"""The site gateway: broker admission, routing, durable spool. It holds no key that opens a door."""
