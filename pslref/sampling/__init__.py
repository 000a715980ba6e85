"""Who brings how many samples to which step: the paper's subject (docs/method.md, section 3)."""

from pslref.sampling.dirichlet import lds
from pslref.sampling.fixed import fls, fpls, until_empty
from pslref.sampling.mixing import LdsOptions, mixing_weights
from pslref.sampling.schedule import Schedule, Steps
from pslref.sampling.slowest import slowest_first
from pslref.sampling.targets import targets
from pslref.sampling.uniform import global_batch_sizes, ugs
from pslref.sampling.walks import fls_steps, fpls_steps, lds_steps, ugs_steps

__all__ = [
    "LdsOptions",
    "Schedule",
    "Steps",
    "fls",
    "fls_steps",
    "fpls",
    "fpls_steps",
    "global_batch_sizes",
    "lds",
    "lds_steps",
    "mixing_weights",
    "slowest_first",
    "targets",
    "ugs",
    "ugs_steps",
    "until_empty",
]
