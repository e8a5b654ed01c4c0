"""The outcome of a fit as a number, for batches of fits and for programs."""

from __future__ import annotations

import enum

from fastkl.densities.values import Fault


class FitStatus(enum.IntEnum):
    """How a fit has ended: 0 is a success, every other number a reason why it is none.

    Numbers below 20 are those of fits that have a q. From 20 on there is none: p is no density, or the family has no
    member that could stand for it, and every figure of the fit is NaN.

    Attributes
    ----------
    SUCCESS : 0
        The fit has passed every check.
    ESCAPED : 1
        All runs have left the grid, with more than half of q outside.
    AT_STEP : 2
        q has shrunk to the step of the grid, as for a spike of a few nodes.
    NOT_IDENTIFIED : 3
        The counts of a histogram fit many q equally well.
    AT_END : 4
        q would be closer to p if it ended before p does, where it may not be 0.
    AT_LIMIT : 5
        A parameter has passed the end of the family, such as df = 10,000.
    OUT_OF_PASSES : 6
        `max_passes` were not enough.
    FLAT : 7
        The divergence is flat, so that other q are as close, as for a mixture with a component too many.
    STALLED : 8
        The divergence no longer falls at a gradient above `gtol`.
    NOT_RESOLVED : 9
        The nodes of the table do not resolve q.
    NOT_LOWEST : 10
        A q on the grid is closer to p than the best minimum.
    COARSE_GRID : 11
        The grid is too coarse for the formula of p; no batch has it.
    MASS_OUTSIDE : 12
        More than `mass_tol` lies outside the grid: of q in a reverse fit, of p in a forward one.
    INEXACT : 13
        The quadrature error is above ``rtol * divergence + atol``.
    GRIDS_DISAGREE : 14
        Another grid gives another divergence of a formula; no batch has it.
    NAN : 20
        A value of p is NaN.
    INFINITE : 21
        A value of p is infinite.
    NEGATIVE : 22
        A value of p is negative, and these are no logarithms.
    NO_MASS : 23
        All values of p are 0.
    ZERO : 24
        p is 0 where every q is positive, so that KL(q||p) is infinite.
    POSITIVE_AT_END : 25
        p is positive at a node at the end of the family's support, where q may be 0 or infinite.
    OUTSIDE_SUPPORT : 26
        Cells of a histogram outside the family's support are filled.
    NO_SPREAD : 27
        p sits on a single node, or has no moments that a member of the family could have.
    FEW_NODES : 28
        p is positive at too few nodes for the components of a mixture.
    REFUSED : 29
        The fit raises another error, which ``results[index]`` shows.

    Examples
    --------
    >>> import fastkl
    >>> fastkl.FitStatus(22).name, fastkl.FitStatus.NEGATIVE.reason
    ('NEGATIVE', 'p is negative')
    """

    SUCCESS = 0
    ESCAPED = 1
    AT_STEP = 2
    NOT_IDENTIFIED = 3
    AT_END = 4
    AT_LIMIT = 5
    OUT_OF_PASSES = 6
    FLAT = 7
    STALLED = 8
    NOT_RESOLVED = 9
    NOT_LOWEST = 10
    COARSE_GRID = 11
    MASS_OUTSIDE = 12
    INEXACT = 13
    GRIDS_DISAGREE = 14
    NAN = Fault.NAN
    INFINITE = Fault.INFINITE
    NEGATIVE = Fault.NEGATIVE
    NO_MASS = Fault.NO_MASS
    ZERO = 24
    POSITIVE_AT_END = 25
    OUTSIDE_SUPPORT = 26
    NO_SPREAD = 27
    FEW_NODES = 28
    REFUSED = 29

    @property
    def has_fit(self) -> bool:
        """Whether there is a q."""
        return self < Fault.NAN

    @property
    def reason(self) -> str:
        """The reason in words."""
        return REASONS[self]


REASONS = {
    FitStatus.SUCCESS: "success",
    FitStatus.ESCAPED: "no minimum on the grid, all runs left it: is p still falling at its edge, or flat?",
    FitStatus.AT_STEP: "q has shrunk to the step of the grid: pool neighbours, or smooth p",
    FitStatus.NOT_IDENTIFIED: "not identified: the cells fit many q equally well",
    FitStatus.AT_END: "no minimum: q would be closer to p if it ended before p does",
    FitStatus.AT_LIMIT: "no minimum: a parameter has passed the end of the family",
    FitStatus.OUT_OF_PASSES: "not converged: raise max_passes",
    FitStatus.FLAT: "not identified: the divergence is flat",
    FitStatus.STALLED: "not converged: the divergence no longer falls at a gradient above gtol",
    FitStatus.NOT_RESOLVED: "the nodes do not resolve q: pool neighbours, or smooth p",
    FitStatus.NOT_LOWEST: "a q on the grid is closer to p, and falls on towards its end: take a wider range of data",
    FitStatus.COARSE_GRID: "the grid is too coarse for p",
    FitStatus.MASS_OUTSIDE: "the mass outside the range of the data is above mass_tol",
    FitStatus.INEXACT: "the quadrature error is above rtol * divergence + atol; rtol=None accepts it",
    FitStatus.GRIDS_DISAGREE: "another grid gives another divergence",
    FitStatus.NAN: "p is NaN somewhere",
    FitStatus.INFINITE: "p is infinite somewhere",
    FitStatus.NEGATIVE: "p is negative",
    FitStatus.NO_MASS: "p is 0 everywhere",
    FitStatus.ZERO: "p is 0 where every q is positive: take log-densities, a floor or a pseudocount, or fit forward",
    FitStatus.POSITIVE_AT_END: "p is positive at an end of the family's support: take nodes inside of it",
    FitStatus.OUTSIDE_SUPPORT: "p has filled cells outside the support of the family",
    FitStatus.NO_SPREAD: "p sits on a single node, or has no spread or mean that a q has",
    FitStatus.FEW_NODES: "p is positive at too few nodes for n_components",
    FitStatus.REFUSED: "the fit raises an error, which results[index] shows",
}


class RefusedFitError(ValueError):
    """Error for a p that no member of the family can stand for, with the status of a row of a batch that has it."""

    status = FitStatus.REFUSED

    @classmethod
    def of(cls, status: FitStatus, message: str) -> RefusedFitError:
        """The error with a status and a message."""
        error = cls(message)
        error.status = status
        return error
