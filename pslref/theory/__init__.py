"""What a schedule must do: the law of a batch, derived (docs/method.md, sections 2 and 4)."""

from pslref.theory.bounds import (
    deviation_bound,
    deviation_eps,
    hoeffding,
    hoeffding_batch_size,
    hoeffding_eps,
    serfling,
    serfling_batch_size,
    serfling_eps,
)
from pslref.theory.counts import (
    class_count_mean,
    class_count_pmf,
    class_count_variance,
    expected_deviation,
    participation_bias,
)
from pslref.theory.hypergeometric import hypergeometric_pmf
from pslref.theory.least_time import least_epoch_time
from pslref.theory.measured import batch_deviation
from pslref.theory.uniform import expected_uniform_deviation, uniform_deviation_std

__all__ = [
    "batch_deviation",
    "class_count_mean",
    "class_count_pmf",
    "class_count_variance",
    "deviation_bound",
    "deviation_eps",
    "expected_deviation",
    "expected_uniform_deviation",
    "hoeffding",
    "hoeffding_batch_size",
    "hoeffding_eps",
    "hypergeometric_pmf",
    "least_epoch_time",
    "participation_bias",
    "serfling",
    "serfling_batch_size",
    "serfling_eps",
    "uniform_deviation_std",
]
