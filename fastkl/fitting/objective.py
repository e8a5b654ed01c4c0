"""The divergence as a function of named parameters, for use with any optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities import Density, Mixture
from fastkl.fitting.charts import family_of
from fastkl.fitting.reading import Reading
from fastkl.fitting.task import task_of
from fastkl.grids import Grid
from fastkl.validation import Floats, as_line

OFF = 1e-18
"""Mass of q on the grid below which q is more than `fastkl.kernels.moments.WINDOW` standard deviations away from it."""


FARTHEST = 300.0
"""Largest size of the logarithm of a parameter: exp(300) squared is still a double."""


class KLObjective:
    """KL(p||q) or KL(q||p) as a function of the parameters of q; made by `kl_objective`.

    Attributes
    ----------
    names : tuple of str
        Names of the parameters, which are unconstrained: the logarithm stands for a parameter that is positive.
    grid : Grid
        The grid of the integrals.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading, self._chart = reading, reading.task.chart
        self.grid: Grid = reading.task.grid
        self.names: tuple[str, ...] = reading.task.chart.parameter_names
        self._last: tuple[bytes, tuple[float, Floats, Floats]] | None = None

    def __call__(self, theta: ArrayLike) -> tuple[float, Floats, Floats]:
        """(value, gradient, Hessian) in nats, of shapes (), (k,) and (k, k); the value is inf for a q off the grid."""
        parameters = self._checked(theta)
        key = parameters.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._evaluate(parameters)
        value, gradient, hessian = self._last[1]
        return value, gradient.copy(), hessian.copy()

    def fun(self, theta: ArrayLike) -> float:
        """The divergence, as `scipy.optimize.minimize` takes it; `jac` and `hess` at the same theta cost no pass."""
        return self(theta)[0]

    def jac(self, theta: ArrayLike) -> Floats:
        """The gradient of the divergence, shape (k,)."""
        return self(theta)[1]

    def hess(self, theta: ArrayLike) -> Floats:
        """The Hessian of the divergence, shape (k, k)."""
        return self(theta)[2]

    def density(self, theta: ArrayLike) -> Any:
        """The density q with the parameters theta."""
        return self._chart.density(self._chart.state_of_parameters(self._checked(theta)))

    def theta(self, q: Density) -> Floats:
        """The parameters of q."""
        parameters: Floats = self._chart.parameters_of_state(self._chart.state(q))
        return parameters

    def _checked(self, theta: ArrayLike) -> Floats:
        parameters = as_line(theta, "theta")
        if parameters.size != len(self.names):
            raise ValueError(f"theta has {len(self.names)} entries, {', '.join(self.names)}, got {parameters.size}")
        return parameters

    def _evaluate(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        k = len(self.names)
        beyond = np.inf, np.full(k, np.nan), np.full((k, k), np.nan)
        if any(abs(x) > FARTHEST for x, name in zip(parameters.tolist(), self.names, strict=True) if "log(" in name):
            return beyond
        state = self._chart.state_of_parameters(parameters)
        local = self._reading.objective(state[np.newaxis])
        if not (np.isfinite(local.value[0]) and local.inside[0] > OFF):
            return beyond
        return float(local.value[0]), *self._chart.in_parameters(state, local.gradient[0], local.hessian[0])


def kl_objective(
    p: Density | ArrayLike,
    family: type[Any] | str,
    grid: Grid | None = None,
    *,
    direction: str | None = None,
    log: bool = False,
    covariance_type: str = "full",
    df: float | None = None,
) -> KLObjective:
    """The divergence that `fit` minimises, as a callable ``theta -> (value, gradient, Hessian)``.

    Parameters
    ----------
    p, family, grid, direction, log, covariance_type, df
        As in `fit`.

    Returns
    -------
    KLObjective
        The callable, with the `names` of theta; `scipy.optimize.minimize` takes its ``fun``, ``jac`` and ``hess``.

    Raises
    ------
    ValueError, TypeError
        As `fit` does; a ValueError also for a mixture, and for a Laplace density without a grid.

    Notes
    -----
    A value is that of `kl_divergence` on the grid, if the sum of q over it is not above 1 (the grid resolves q) and, in
    the forward direction, if the grid holds at least as much of p as of q.

    Examples
    --------
    >>> import fastkl
    >>> from scipy.optimize import minimize
    >>> p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    >>> objective = fastkl.kl_objective(p, "normal", direction="reverse")
    >>> objective.names
    ('loc', 'log(scale)')
    >>> start = objective.theta(fastkl.Normal(1.5, 1))
    >>> found = minimize(objective.fun, start, jac=objective.jac, hess=objective.hess, method="trust-exact")
    >>> round(objective.density(found.x).scale, 4), round(found.fun, 4)
    (0.6049, 0.6918)
    """
    if family_of(family) is Mixture:
        raise ValueError("a mixture has no objective of this kind; fit it with fit(p, 'mixture', ...)")
    task = task_of(p, family, grid, direction, log=log, covariance_type=covariance_type, df=df)
    if task.chosen and task.chart.kinked:
        raise ValueError("the kink of a Laplace moves with loc, and no grid can be chosen for all: give grid=")
    reading = Reading(task)
    if task.direction == "reverse":
        reading.refuse_zeros()
    return KLObjective(reading)
