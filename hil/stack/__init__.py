"""A whole installation on this machine: cloud and gateway as processes, doors as simulated boards."""

from hil.stack.installation import DoorSite, Installation
from hil.stack.service import Service, ServiceError

__all__ = ["DoorSite", "Installation", "Service", "ServiceError"]
