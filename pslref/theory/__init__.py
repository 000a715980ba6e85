"""What a schedule must do: the law of a batch, derived (docs/method.md, sections 2 and 4)."""

from pslref.theory.bounds import deviation_bound as deviation_bound
from pslref.theory.bounds import deviation_eps as deviation_eps
from pslref.theory.bounds import hoeffding as hoeffding
from pslref.theory.bounds import hoeffding_batch_size as hoeffding_batch_size
from pslref.theory.bounds import hoeffding_eps as hoeffding_eps
from pslref.theory.bounds import serfling as serfling
from pslref.theory.bounds import serfling_batch_size as serfling_batch_size
from pslref.theory.bounds import serfling_eps as serfling_eps
from pslref.theory.counts import class_count_mean as class_count_mean
from pslref.theory.counts import class_count_pmf as class_count_pmf
from pslref.theory.counts import class_count_variance as class_count_variance
from pslref.theory.counts import expected_deviation as expected_deviation
from pslref.theory.counts import participation_bias as participation_bias
from pslref.theory.hypergeometric import hypergeometric_pmf as hypergeometric_pmf
from pslref.theory.least_time import least_epoch_time as least_epoch_time
from pslref.theory.measured import batch_deviation as batch_deviation
from pslref.theory.uniform import expected_uniform_deviation as expected_uniform_deviation
from pslref.theory.uniform import uniform_deviation_std as uniform_deviation_std

# A line a name: what is imported is what the room gives out.
__all__ = [name for name, value in globals().items() if callable(value)]
