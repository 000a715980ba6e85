"""The protocol: clients, a server, and what crosses the wire (docs/method.md, section 1)."""

from pslref.split.client import Client
from pslref.split.faults import Aborted, FaultyEpoch, FaultySimulation, Outage, draw_outages
from pslref.split.messages import ClientGradient, CutGradient, SmashedBatch
from pslref.split.server import Server
from pslref.split.state import packed, restore, state, unpack
from pslref.split.timing import epoch_time, epoch_time_bound, step_times, straggler_delays
from pslref.split.training import Diverged, EpochRecord, Simulation

__all__ = [
    "Aborted",
    "Client",
    "ClientGradient",
    "CutGradient",
    "Diverged",
    "EpochRecord",
    "FaultyEpoch",
    "FaultySimulation",
    "Outage",
    "Server",
    "Simulation",
    "SmashedBatch",
    "draw_outages",
    "epoch_time",
    "epoch_time_bound",
    "packed",
    "restore",
    "state",
    "step_times",
    "straggler_delays",
    "unpack",
]
