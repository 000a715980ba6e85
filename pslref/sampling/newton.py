"""The mixing weights of many clients, found anew when some have run out. (method.md 3.3)"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pslref.check import Array, FloatArray, IntArray
from pslref.sampling.dirichlet import LEAST_WEIGHT

if TYPE_CHECKING:
    from pslref.sampling.mixing import Posterior

AT_ONCE = 2**18  # of the K · M numbers, which the CPU's cache holds
MOST_STEPS = 30


class Newton:
    """Newton's method for what `em` climbs, from the weights of clients to those of fewer.

    At the top π_k = α_k / (λ − Σ_m β_km v_m), with v_m = S_m / Σ_k π_k β_km and
    λ = Σ_m S_m + Σ_k α_k: these are M unknowns v for K weights. An EM step would change π by
    Σ_m |S_m − v_m Σ_k π_k β_km| / λ at most (L1), and if that is below `tol` the search ends, as EM
    would. [derived] (method.md 3.3)

    Args:
        posterior: α, β, S_m; and EM, for the first clients and where Newton's method goes astray.
    """

    def __init__(self, posterior: "Posterior") -> None:
        self.by_em, self.tol = posterior.weights, posterior.tol
        self.alpha, self.labels = posterior.alpha.copy(), posterior.label_counts
        self.beta = posterior.client_class_probs
        self.clients = np.arange(self.alpha.size)  # of each row; some have left, and α = 0
        self.v: FloatArray | None = None
        self.inverse: Array | None = None  # of the Hessian, at this v or one before

    def weights(self, clients: IntArray, start: FloatArray) -> FloatArray:
        """π over these clients, all of them among those of the call before."""
        v = self._without(clients)
        pi = None if v is None else self._found(v)
        if pi is None:
            weights = self.by_em(clients, start)
            mixture = weights @ self.beta[self._among(clients)]
            self.labels = np.where(mixture > 0, self.labels, 0.0)
            self.v = self.labels / np.where(mixture > 0, mixture, 1.0)
            self.inverse = None
        else:
            weights = pi[self._among(clients)]
            weights = np.maximum(weights / weights.sum(), LEAST_WEIGHT)
        return weights

    def _without(self, clients: IntArray) -> FloatArray | None:
        """Let the others go; v then, to first order."""
        stay, v = self._among(clients), self.v
        if v is not None and self.inverse is not None:
            gone = np.flatnonzero(~stay & (self.alpha > 0))
            mixture = self.mixture - self.pi[gone] @ self.beta[gone]
            mixture += self.alpha[gone].sum() * self.slope  # λ falls, and all π rise
            v = self._moved(v, mixture)
        self.alpha[~stay] = 0.0
        if clients.size < 0.9 * self.clients.size:
            self.clients, self.alpha, self.beta = clients, self.alpha[stay], self.beta[stay]
        return v

    def _found(self, v: FloatArray) -> FloatArray | None:
        """π, one for each row; None if it is not found from this v."""
        last = np.inf
        for _ in range(MOST_STEPS):
            total = self.labels.sum() + self.alpha.sum()
            if (v < 0).any() or not self._evaluate(v, total):
                return None
            nobodys = (self.mixture == 0) & (self.labels > 0)
            if nobodys.any():  # the last holder of a class has left
                self.labels[nobodys], v[nobodys], self.inverse = 0.0, 0.0, None
                continue
            change = float(np.abs(self.labels - v * self.mixture).sum()) / total
            if change < self.tol:
                self.v, self.slope = v, (self.pi / self.slack) @ self.beta
                return self.pi
            if self.inverse is None or change > 0.1 * last:
                self.inverse = np.linalg.inv(self._hessian(v))
            v, last = self._moved(v, self.mixture), change
        return None

    def _moved(self, v: FloatArray, mixture: FloatArray) -> FloatArray:
        """v after a step of Newton's method; the Hessian may be that of some steps before."""
        held, moved = self.labels > 0, v.copy()
        assert self.inverse is not None
        moved[held] += self.inverse @ (self.labels[held] / v[held] - mixture[held])
        return moved

    @np.errstate(all="ignore")  # where a π is not positive
    def _evaluate(self, v: FloatArray, total: float) -> bool:
        """Find π and its mixture Σ_k π_k β_km; False if a π is negative."""
        self.slack, self.pi = np.empty((2, self.alpha.size))
        self.mixture = np.zeros(v.size)
        for rows in self._blocks():  # each of them is read once from memory
            self.slack[rows] = total - self.beta[rows] @ v
            self.pi[rows] = self.alpha[rows] / self.slack[rows]
            self.mixture += self.pi[rows] @ self.beta[rows]
        return not ((self.slack <= 0) & (self.alpha > 0)).any()

    def _hessian(self, v: FloatArray) -> FloatArray:
        """Σ_k π_k² / α_k β_k β_kᵀ + diag(S_m / v_m²), over the classes that somebody holds."""
        held, hessian = self.labels > 0, np.zeros((v.size, v.size))
        for rows in self._blocks():
            beta, scale = self.beta[rows], self.pi[rows] / self.slack[rows]
            hessian += (beta * scale[:, np.newaxis]).T @ beta
        return hessian[np.ix_(held, held)] + np.diag(self.labels[held] / v[held] ** 2)

    def _blocks(self) -> list[slice]:
        size = max(1, AT_ONCE // self.labels.size)
        return [slice(i, i + size) for i in range(0, self.alpha.size, size)]

    def _among(self, clients: IntArray) -> NDArray[np.bool_]:
        """Which rows are of these clients."""
        among = np.zeros(self.clients[-1] + 1, bool)
        among[clients] = True
        return among[self.clients]
