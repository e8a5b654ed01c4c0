"""Divergences that have a formula: KL(p||q) by the classes of p and q.

The formulas stand in the files of the families; `fastkl.families.differences` says how they keep their digits.
"""

from __future__ import annotations

import math

from fastkl.densities import Density, Tabulated
from fastkl.families import FORMULAS


def closed_form(p: Density, q: Density) -> float | None:
    """KL(p, q) = E_p[log p(x) - log q(x)] in nats, by a formula.

    Parameters
    ----------
    p, q : Density

    Returns
    -------
    float or None
        The divergence, >= 0 and 0.0 for equal p and q. inf if p has mass off the support of q, or tails
        that are too heavy. None if there is no formula.

    Examples
    --------
    >>> from fastkl import Normal
    >>> from fastkl.closed_forms import closed_form
    >>> from fastkl import Gamma, Logistic
    >>> closed_form(Normal(0, 1), Normal(1, 1))
    0.5
    >>> closed_form(Normal(0, 1), Gamma(2))
    inf
    >>> closed_form(Normal(0, 1), Logistic(0, 1)) is None
    True
    """
    if p == q:
        return 0.0
    if p.ndim == q.ndim == 1 and _leaves(p, q):
        return math.inf
    formula = FORMULAS.get((type(p), type(q)))
    return None if formula is None else formula(p, q)


def _leaves(p: Density, q: Density) -> bool:
    """Whether p has mass off the support of q; a table has zeros of its own, which only a sum can see."""
    if isinstance(p, Tabulated) or isinstance(q, Tabulated):
        return False
    return p.support[0] < q.support[0] or p.support[1] > q.support[1]
