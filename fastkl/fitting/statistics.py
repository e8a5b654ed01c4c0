"""Statistics of a forward fit to counts, which is maximum likelihood of the binned observations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastkl.densities import Histogram
from fastkl.families.univariate import Univariate

if TYPE_CHECKING:
    from fastkl.fitting.result import FitResult

RARE = 5.0
"""Expected count of a cell below which the chi-square distribution is rough."""


@dataclass(frozen=True)
class CountStatistics:
    """The statistics of a forward fit to a histogram of counts.

    Attributes
    ----------
    n : int
        Number of observations.
    log_likelihood : float
        The sum of count * log(mass of q in the cell), without the multinomial coefficient, which no q changes.
    aic, bic : float
        Akaike's and Schwarz's criterion: 2 k and k log(n), less twice the log-likelihood, for k parameters.
    g : float
        The statistic of the G-test, 2 n KL(p||q).
    df : int
        Degrees of freedom of the test: the number of cells, less 1, less the number of parameters.
    pvalue : float
        Probability of so large a g by chance if q is right, from the chi-square distribution; NaN if df < 1.
    rare : int
        Number of cells in which q expects less than 5 observations; the p-value is rough if they are many.
    standard_errors : dict of str to float
        Standard error of each parameter of a family on the line, from the inverse of n times the Hessian; for other
        families, of each of the `parameter_names`.
    """

    n: int
    log_likelihood: float
    aic: float
    bic: float
    g: float
    df: int
    pvalue: float
    rare: int
    standard_errors: dict[str, float]

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for the table of a result."""
        errors = ", ".join(f"{name} {error:.3g}" for name, error in self.standard_errors.items())
        return [
            ("std. errors", errors),
            ("AIC, BIC", f"{self.aic:.6g}, {self.bic:.6g}  (n = {self.n})"),
            ("G-test", f"2n KL = {self.g:.6g}, df = {self.df}, p = {self.pvalue:.3g}"),
        ]


def count_statistics(result: FitResult) -> CountStatistics | None:
    """The statistics of a fit; None unless it is a forward fit to counts of observations."""
    p = result.p
    if not isinstance(p, Histogram) or p.n is None or result.direction != "forward":
        return None
    from scipy.stats import chi2

    from fastkl.densities.cells import log_masses

    n, k, filled = p.n, len(result.parameter_names), p.probabilities > 0.0
    log_q = log_masses(result.q, p.edges)
    entropy = float(p.probabilities[filled] @ np.log(p.probabilities[filled]))
    log_likelihood = n * (entropy - result.divergence)
    g, df = 2.0 * n * result.divergence, p.counts.size - 1 - k
    return CountStatistics(
        n=n,
        log_likelihood=log_likelihood,
        aic=2.0 * k - 2.0 * log_likelihood,
        bic=k * math.log(n) - 2.0 * log_likelihood,
        g=g,
        df=df,
        pvalue=float(chi2.sf(g, df)) if df > 0 else math.nan,
        rare=int(np.count_nonzero(n * np.exp(log_q) < RARE)),
        standard_errors=_standard_errors(result, n),
    )


def _standard_errors(result: FitResult, n: int) -> dict[str, float]:
    try:
        variances = np.diag(np.linalg.inv(n * result.hessian))
    except np.linalg.LinAlgError:
        variances = np.full(len(result.parameter_names), np.nan)
    with np.errstate(invalid="ignore"):
        errors = dict(zip(result.parameter_names, np.sqrt(variances).tolist(), strict=True))
    if not isinstance(result.q, Univariate):
        return errors
    by_parameter = {}
    for name, error in errors.items():
        parameter = name.removeprefix("log(").removesuffix(")")
        by_parameter[parameter] = error if parameter == name else error * getattr(result.q, parameter)
    return by_parameter
