"""The protocol: clients, a server, and what crosses the wire (docs/method.md, section 1)."""

from pslref.split.client import Client as Client
from pslref.split.clock import Links as Links
from pslref.split.clock import client_costs as client_costs
from pslref.split.clock import draw_links as draw_links
from pslref.split.clock import server_cost as server_cost
from pslref.split.epoch import Epoch as Epoch
from pslref.split.epoch import EpochRecord as EpochRecord
from pslref.split.epoch import Plan as Plan
from pslref.split.faults import Outage as Outage
from pslref.split.faults import draw_outages as draw_outages
from pslref.split.local import local_batches as local_batches
from pslref.split.messages import ClientGradient as ClientGradient
from pslref.split.messages import ClientHalf as ClientHalf
from pslref.split.messages import CutGradient as CutGradient
from pslref.split.messages import SmashedBatch as SmashedBatch
from pslref.split.remote import Remote as Remote
from pslref.split.server import Server as Server
from pslref.split.simulation import Simulation as Simulation
from pslref.split.state import packed as packed
from pslref.split.state import restore as restore
from pslref.split.state import state as state
from pslref.split.state import unpack as unpack
from pslref.split.step import Aborted as Aborted
from pslref.split.step import Diverged as Diverged
from pslref.split.step import Step as Step
from pslref.split.timing import epoch_time as epoch_time
from pslref.split.timing import epoch_time_bound as epoch_time_bound
from pslref.split.timing import step_time as step_time
from pslref.split.timing import step_times as step_times
from pslref.split.timing import straggler_delays as straggler_delays
from pslref.split.traffic import Traffic as Traffic
from pslref.split.traffic import traffic as traffic

# A line a name: what is imported is what the room gives out.
__all__ = [name for name, value in globals().items() if callable(value)]
