"""Who holds which samples: the training set split over K clients (docs/method.md, section 9)."""

from pslref.partition.held import Partition, iid
from pslref.partition.uneven import dirichlet, extended_dirichlet, from_owners, shards

__all__ = ["Partition", "dirichlet", "extended_dirichlet", "from_owners", "iid", "shards"]
