"""The demonstration: one site with three doors, from provisioning to a thief with the gateway's keys."""
