"""Who calls whom, how often and how fast: ServiceMap, of any entries; and what it takes to ask nodes for one."""

from pysniff.services.graph import ServiceMap

__all__ = ["ServiceMap"]
