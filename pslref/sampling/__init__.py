"""Who brings how many samples to which step: the paper's subject (docs/method.md, section 3)."""

from pslref.sampling.fixed import fls, fpls
from pslref.sampling.mixing import LdsOptions, lds, lds_steps, mixing_weights
from pslref.sampling.schedule import Schedule
from pslref.sampling.slowest import slowest_first
from pslref.sampling.targets import targets, targets_steps
from pslref.sampling.uniform import global_batch_sizes, ugs
from pslref.sampling.walks import Steps, fls_steps, fpls_steps, ugs_steps, until_empty

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
    "targets_steps",
    "ugs",
    "ugs_steps",
    "until_empty",
]
