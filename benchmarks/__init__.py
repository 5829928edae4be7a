"""What it costs: every number of the product that somebody relies on, measured on this machine."""
