"""Who brings how many samples to which step: the paper's subject (docs/method.md, section 3)."""

from pslref.sampling.fixed import fls as fls
from pslref.sampling.fixed import fpls as fpls
from pslref.sampling.mixing import LdsOptions as LdsOptions
from pslref.sampling.mixing import lds as lds
from pslref.sampling.mixing import lds_steps as lds_steps
from pslref.sampling.mixing import mixing_weights as mixing_weights
from pslref.sampling.schedule import Schedule as Schedule
from pslref.sampling.slowest import slowest_first as slowest_first
from pslref.sampling.targets import targets as targets
from pslref.sampling.targets import targets_steps as targets_steps
from pslref.sampling.uniform import global_batch_sizes as global_batch_sizes
from pslref.sampling.uniform import ugs as ugs
from pslref.sampling.walks import Steps as Steps
from pslref.sampling.walks import fls_steps as fls_steps
from pslref.sampling.walks import fpls_steps as fpls_steps
from pslref.sampling.walks import ugs_steps as ugs_steps
from pslref.sampling.walks import until_empty as until_empty

# A line a name: what is imported is what the room gives out.
__all__ = [name for name, value in globals().items() if callable(value)]
