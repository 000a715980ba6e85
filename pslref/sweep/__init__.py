"""A grid of runs on any executor, which can be stopped at any point and started again."""

from pslref.sweep.grid import checked, configs, read
from pslref.sweep.running import run, summary, varying
from pslref.sweep.workers import cluster, processes

__all__ = ["checked", "cluster", "configs", "processes", "read", "run", "summary", "varying"]
