"""The protocol: clients, a server, and what crosses the wire (docs/method.md, section 1)."""

from pslref.split.client import Client
from pslref.split.epoch import Epoch, EpochRecord, Plan
from pslref.split.faults import Outage, draw_outages
from pslref.split.local import local_batches
from pslref.split.messages import ClientGradient, ClientHalf, CutGradient, SmashedBatch
from pslref.split.remote import Remote
from pslref.split.server import Server
from pslref.split.simulation import Simulation
from pslref.split.state import packed, restore, state, unpack
from pslref.split.step import Aborted, Diverged, Step
from pslref.split.timing import (
    epoch_time,
    epoch_time_bound,
    step_time,
    step_times,
    straggler_delays,
)
from pslref.split.traffic import Traffic, traffic

__all__ = [
    "Aborted",
    "Client",
    "ClientGradient",
    "ClientHalf",
    "CutGradient",
    "Diverged",
    "Epoch",
    "EpochRecord",
    "Outage",
    "Plan",
    "Remote",
    "Server",
    "Simulation",
    "SmashedBatch",
    "Step",
    "Traffic",
    "draw_outages",
    "epoch_time",
    "epoch_time_bound",
    "local_batches",
    "packed",
    "restore",
    "state",
    "step_time",
    "step_times",
    "straggler_delays",
    "traffic",
    "unpack",
]
