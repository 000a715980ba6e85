"""A linear program, written sum by sum."""

from typing import Any

import numpy as np

from pslref.check import FloatArray, IntArray


class Linear:
    """Minimise a sum of costs over variables of 0 or more, of which some sums have limits."""

    def __init__(self) -> None:
        self.costs, self.limits, self.is_equal = np.zeros(0), np.zeros(0), np.zeros(0, bool)
        self.named: dict[str, slice] = {}
        self.terms: list[tuple[IntArray, IntArray, FloatArray]] = []

    def variables(self, number: int, costs: FloatArray | float = 0.0) -> IntArray:
        """The numbers of so many variables more."""
        self.costs = np.append(self.costs, np.broadcast_to(costs, number))
        return np.arange(self.costs.size - number, self.costs.size)

    def sums(
        self,
        name: str,
        limits: IntArray,
        *terms: tuple[IntArray, IntArray, FloatArray | float],
        equal: bool = False,
    ) -> None:
        """Sums that are at most, or equal, `limits`; a term is its sums, variables and factors."""
        first = self.limits.size
        self.limits = np.append(self.limits, limits)
        self.named[name] = slice(first, self.limits.size)
        self.is_equal = np.append(self.is_equal, np.full(limits.size, equal))
        for row, variable, factor in terms:
            self.terms.append((first + row, variable, np.broadcast_to(factor, row.shape)))

    def solve(self) -> tuple[FloatArray, dict[str, FloatArray]]:
        """The variables, and the prices of the sums: what one more of the limit costs."""
        # Here, since they take longer to import than all else together.
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        row, variable, factor = map(np.concatenate, zip(*self.terms, strict=True))
        shape, equal = (self.limits.size, self.costs.size), self.is_equal
        matrix: Any = csr_array((factor, (row, variable)), shape=shape)
        solved = linprog(
            self.costs,
            A_ub=matrix[~equal],
            b_ub=self.limits[~equal],
            A_eq=matrix[equal],
            b_eq=self.limits[equal],
            method="highs-ipm",
        )
        if solved.x is None:
            raise ArithmeticError(f"the linear program of the epoch: {solved.message}")
        price = np.zeros(equal.size)
        price[equal], price[~equal] = solved.eqlin.marginals, solved.ineqlin.marginals
        return solved.x, {name: price[rows] for name, rows in self.named.items()}
