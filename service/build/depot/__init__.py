"""Depot: builders of images for hire. A project keeps a cache, a build gets a machine with BuildKit (04 · 7)."""

from service.build.depot.depot import Depot, DepotBuild
from service.build.depot.machine import Certificates, Machine
from service.build.depot.timing import Timing

__all__ = ["Certificates", "Depot", "DepotBuild", "Machine", "Timing"]
