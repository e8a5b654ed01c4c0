"""Accuracy as a figure that is tracked like time: the worst error in units of the last place, against 60 digits."""

from __future__ import annotations

import mpmath as mp
import numpy as np

from bench.cases import DATA
from tests import naive
from tests.arrays import exact
from tests.strata import STRATA as PLANE

from . import fastkl

ELEMENTS = {"rel_entr": naive.p_log_ratio, "kl_div": naive.kl_term, "log_ratio": naive.log_ratio}
POINTS, NUMBERS = 200, 300


def public(name):
    """A function of fastkl, or asv's way to say that this version does not have it."""
    try:
        return getattr(fastkl, name)
    except AttributeError as reason:
        raise NotImplementedError(str(reason)) from None


class Elements:
    """Elementwise functions on samples of the plane of (p, q)."""

    params = (tuple(ELEMENTS), tuple(sample.__name__ for sample in PLANE))
    param_names = ("function", "sample")

    def track_ulps(self, function, sample):
        compute = public(function)
        p, q = next(s for s in PLANE if s.__name__ == sample)(np.random.default_rng(1), POINTS)
        with np.errstate(all="ignore"):
            values = compute(p, q)
        true = [ELEMENTS[function](a, b) for a, b in zip(p, q, strict=True)]
        return float(max(naive.ulps(v, t) for v, t in zip(values, true, strict=True) if np.isfinite(v)))

    track_ulps.unit = "ulp"


class Sums:
    """Sums over data as people have them, where they are finite."""

    params = (("entropy(p, q)", "entropy(p)", "jensenshannon"), tuple(DATA))
    param_names = ("function", "data")

    def setup(self, function, data):
        if function == "entropy(p, q)" and not DATA[data].finite:
            raise NotImplementedError(f"{function} of {data} is infinite")

    def track_ulps(self, function, data):
        compute = public(function.partition("(")[0])
        p, q = DATA[data].pair((NUMBERS,), seed=3)
        a, b = exact.numbers(p), exact.numbers(q)
        if function == "entropy(p)":
            found, true = compute(p), exact.entropy(a)
        elif function == "entropy(p, q)":
            found, true = compute(p, q), exact.kl(a, b)
        else:
            found, true = compute(p, q), exact.jensenshannon(a, b)
        return float(naive.ulps(float(found), true))

    track_ulps.unit = "ulp"


def bumps(scale):
    """A mixture of two Normals, and a Normal that covers both."""
    return fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)]), fastkl.Normal(0, scale)


def true_kl(direction, scale):
    """The divergence of `bumps`."""

    def log_p(x):
        return mp.log((naive.normal_pdf(x, -2, 0.6) + naive.normal_pdf(x, 2, 0.6)) / 2)

    def log_q(x):
        return mp.log(naive.normal_pdf(x, 0, scale))

    def term(x):
        a, b = (log_p(x), log_q(x)) if direction == "forward" else (log_q(x), log_p(x))
        return mp.exp(a) * (a - b)

    with mp.workdps(40):
        return mp.quad(term, mp.linspace(-26, 26, 53))


class Integrals:
    """Divergences over a uniform grid on which the trapezoidal rule is exact."""

    params = (("forward", "reverse", "Normals"),)
    param_names = ("divergence",)

    def track_ulps(self, divergence):
        compute, grid = public("kl_divergence"), fastkl.Grid.uniform(-24, 24, 20_001)
        if divergence == "Normals":
            found = compute(fastkl.Normal(0.5, 1), fastkl.Normal(0, 2), grid)
            true = mp.log(2) + mp.mpf(1.25) / 8 - mp.mpf("0.5")
        else:
            p, q = bumps(2.25)
            found = compute(p, q, grid) if divergence == "forward" else compute(q, p, grid)
            true = true_kl(divergence, 2.25)
        return float(naive.ulps(float(found), true))

    track_ulps.unit = "ulp"


class Fits:
    """The scale that a fit finds: by the moments of a mixture, and of a Normal itself."""

    params = (("forward", "reverse"),)
    param_names = ("direction",)

    def track_ulps(self, direction):
        fit, grid = public("fit"), fastkl.Grid.uniform(-24, 24, 20_001)
        if direction == "forward":
            found, true = fit(bumps(1)[0], "normal", grid, direction="forward"), mp.sqrt(4 + mp.mpf(0.6) ** 2)
        else:
            found, true = fit(fastkl.Normal(0.3, 1.7), "normal", grid, direction="reverse"), mp.mpf(1.7)
        return float(naive.ulps(float(found.q.scale), true))

    track_ulps.unit = "ulp"
