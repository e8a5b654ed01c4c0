"""The work that is timed: one table for the gate, the asv suite, pytest-benchmark and the static figures.

A test holds every case against its definition (`tests/bench/test_cases.py`). Nothing here imports fastkl before a case
is made, and then only by public names, so that the same table runs on older versions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tests.arrays.strata import STRATA

Call = Callable[[], Any]

DATA = {stratum.name: stratum for stratum in STRATA}
DENSE, ZEROS, COUNTS, TAILS = "dense", "50 % zeros in p", "counts against smoothed counts", "two Normals on ±60 sigma"

ELEMENTS = ("rel_entr", "kl_div", "entr")
FUNCTIONS = ("entropy(p, q)", "entropy(p)", "jensenshannon", *ELEMENTS)
"""The drop-in functions of arrays."""

VECTOR = 2**14
"""Numbers of which two arrays are well within the second cache of any processor, wherever their pages lie."""
ROWS, POINTS = 2**16, 2**18
"""Numbers in a matrix and points of a grid that take the kernels much longer than all around them."""


class Case(NamedTuple):
    """A piece of work."""

    make: Callable[[int], Call]
    """``make(size)``: the data of that size and what is called; the size counts numbers, or points of a grid."""
    size: int = VECTOR
    threads: int = 1
    calls: int = 1
    """Calls in a sample, where one is too short to be timed."""
    by_scipy: Callable[[int], Call] | None = None
    """``by_scipy(size)``: SciPy's call on the same data."""

    def prepare(self) -> Call:
        """A sample: so many calls on data that are made now."""
        call = self.make(self.size)
        if self.calls == 1:
            return call

        def sample() -> None:
            for _ in range(self.calls):
                call()

        return sample


class Array(NamedTuple):
    """A function of arrays and its data: vectors, or the rows or columns of a matrix."""

    function: str
    data: str = DENSE
    kind: str = "f8"
    row: int | None = None
    axis: int = 0

    def given(self, size: int) -> tuple[Any, ...]:
        """The arrays."""
        shape = (size,) if self.row is None else (max(size // self.row, 1), self.row)
        p, q = DATA[self.data].pair(shape, self.kind)
        if self.row is not None and self.axis == 0:
            p, q = np.ascontiguousarray(p.T), np.ascontiguousarray(q.T)
        given = (p,) if self.function in ("entropy(p)", "entr") else (p, q)
        return tuple(_aligned(values) for values in given)

    @property
    def name(self) -> str:
        """The function's name without its arguments."""
        return self.function.partition("(")[0]

    def make(self, size: int) -> Call:
        """The call of fastkl."""
        import fastkl

        return self._call(getattr(fastkl, self.name), self.given(size))

    def by_scipy(self, size: int) -> Call:
        """The call of SciPy, without its warnings."""
        from scipy import spatial, special, stats

        theirs = {"entropy": stats.entropy, "jensenshannon": spatial.distance.jensenshannon}
        call = self._call(theirs.get(self.name) or getattr(special, self.name), self.given(size))

        def quietly() -> Any:
            with np.errstate(all="ignore"):
                return call()

        return quietly

    def _call(self, compute: Callable[..., Any], given: tuple[Any, ...]) -> Call:
        axis = self.axis
        return (lambda: compute(*given)) if self.name in ELEMENTS else (lambda: compute(*given, axis=axis))

    def case(self, **settings: Any) -> Case:
        """The case that is timed."""
        return Case(self.make, by_scipy=self.by_scipy, **settings)


def _aligned(values: Any) -> Any:
    """A copy that begins with a line of the cache: where it does not, the time depends on where it does begin."""
    room = np.empty(values.nbytes + 63, np.uint8)
    first = -room.ctypes.data % 64
    copy = room[first : first + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


class Logits(NamedTuple):
    """Rows of logits, as many as there are numbers for: a bulk, and noise on the second of each pair."""

    kind: str
    """Name of a type; that of bfloat16 is known to NumPy once `ml_dtypes` is imported."""
    row: int = 2**13

    def given(self, size: int) -> tuple[Any, ...]:
        """The arrays."""
        import ml_dtypes  # noqa: F401

        rng = np.random.default_rng(0)
        a = 3.0 * rng.standard_normal((max(size // self.row, 1), min(size, self.row)))
        return tuple(_aligned(x.astype(self.kind)) for x in (a, a + 0.1 * rng.standard_normal(a.shape)))

    def make(self, size: int) -> Call:
        """The call of fastkl."""
        import fastkl

        a, b = self.given(size)
        return lambda: fastkl.entropy(a, b, log=True, axis=-1)

    def by_scipy(self, size: int) -> Call:
        """The divergences by `softmax` and `entropy` of SciPy."""
        from scipy.special import softmax
        from scipy.stats import entropy

        a, b = self.given(size)
        return lambda: entropy(softmax(a, axis=-1), softmax(b, axis=-1), axis=-1)


def _two_bumps() -> Any:
    import fastkl

    return fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])


def _integral(size: int) -> Call:
    import fastkl

    p, q, grid = _two_bumps(), fastkl.Normal(0, 2.08806), fastkl.Grid.uniform(-20, 20, size)
    return lambda: fastkl.kl_divergence(p, q, grid)


def _plane(size: int) -> Call:
    import fastkl

    parts = ([-2, 0], [[1, 0.5], [0.5, 1]]), ([2, 1], [[0.5, -0.2], [-0.2, 1]])
    p = fastkl.Mixture([fastkl.MultivariateNormal(*part) for part in parts])
    q = fastkl.MultivariateNormal(p.mean, p.cov)
    grid = fastkl.Grid.uniform([-12.0] * 2, [12.0] * 2, max(round(size**0.5), 100))
    return lambda: fastkl.kl_divergence(p, q, grid)


def _tables(size: int) -> Call:
    import fastkl

    x = np.linspace(-20, 20, size)
    grid = fastkl.Grid.uniform(-20, 20, size)
    logs = np.logaddexp(-0.5 * ((x + 2) / 0.6) ** 2, -0.5 * ((x - 2) / 0.6) ** 2), -0.5 * (x / 2.08806) ** 2
    p, q = (fastkl.Tabulated(grid, values, log=True) for values in logs)
    return lambda: fastkl.kl_divergence(p, q)


def _batch(size: int, data: str = DENSE) -> Call:
    import fastkl

    values, _ = DATA[data].pair((max(size // 300, 2), 300), "f4")
    grid = fastkl.Grid.uniform(-8.0, 8.0, 300)
    batch, q = fastkl.Tabulated(grid, values), fastkl.Normal(0.0, 3.0)
    return lambda: fastkl.kl_divergence(batch, q, grid)


def _fit(size: int, direction: str, family: str = "normal") -> Call:
    import fastkl

    if family == "gamma":
        p, grid = (
            fastkl.Mixture([fastkl.Gamma(3, 0, 1), fastkl.Gamma(9, 0, 1)]),
            fastkl.Grid.uniform(60 / size, 60, size),
        )
    else:
        p, grid = _two_bumps(), fastkl.Grid.uniform(-20, 20, size)
    return lambda: fastkl.fit(p, family, grid, direction=direction)


def _fit_of_table(size: int) -> Call:
    import fastkl

    x = np.linspace(-8, 8, size)
    p = fastkl.Tabulated(
        fastkl.Grid.uniform(-8, 8, size), np.logaddexp(-0.5 * x**2, -1.0 - 0.5 * (x - 1) ** 2), log=True
    )
    return lambda: fastkl.fit(p, "normal", direction="forward")


def _fits_of_rows(size: int, direction: str) -> Call:
    import fastkl
    from bench.suite.fits import FLOOR, survey, survey_grid

    p = fastkl.Tabulated(survey_grid(), survey(max(size // 301, 2)), floor=FLOOR)
    fastkl.FitResults  # noqa: B018  # missing in versions that fit no batches
    return lambda: fastkl.fit(p, "normal", direction=direction)


CASES: dict[str, Case] = {
    "entropy(p, q)": Array("entropy(p, q)").case(calls=200),
    "entropy(p, q), f4": Array("entropy(p, q)", kind="f4").case(calls=200),
    "entropy(p, q), half of p empty": Array("entropy(p, q)", ZEROS).case(calls=200),
    "entropy(p, q), counts": Array("entropy(p, q)", COUNTS).case(calls=160),
    "entropy(p)": Array("entropy(p)").case(calls=240),
    "entropy(p), half of p empty": Array("entropy(p)", ZEROS).case(calls=240),
    "jensenshannon": Array("jensenshannon").case(calls=100),
    "jensenshannon, f4": Array("jensenshannon", kind="f4").case(calls=100),
    "jensenshannon, tails": Array("jensenshannon", TAILS).case(calls=100),
    "rel_entr": Array("rel_entr").case(calls=120),
    "rel_entr, half of p empty": Array("rel_entr", ZEROS).case(calls=120),
    "kl_div": Array("kl_div").case(calls=80),
    "entr": Array("entr").case(calls=120),
    "entropy(p, q), rows of 64": Array("entropy(p, q)", row=64, axis=1).case(size=ROWS, calls=8),
    "entropy(p, q), rows of 300": Array("entropy(p, q)", row=300, axis=1).case(size=ROWS, calls=8),
    "entropy(p, q), columns of 300": Array("entropy(p, q)", row=300).case(size=ROWS, calls=8),
    "jensenshannon, rows of 300": Array("jensenshannon", row=300, axis=1).case(size=ROWS, calls=8),
    "entropy(p, q), N = 100": Array("entropy(p, q)").case(size=100, calls=1000),
    "jensenshannon, N = 100": Array("jensenshannon").case(size=100, calls=1000),
    "entropy(p, q), N = 10^6, two threads": Array("entropy(p, q)").case(size=10**6, threads=2, calls=8),
    "jensenshannon, N = 10^6, two threads": Array("jensenshannon").case(size=10**6, threads=2, calls=4),
    **{
        f"entropy of logits, {kind}": Case(logits.make, size=ROWS, calls=20, by_scipy=logits.by_scipy)
        for kind in ("f8", "f4")
        for logits in (Logits(kind),)
    },
    "KL(mixture||Normal)": Case(_integral, size=POINTS, calls=15),
    "KL(mixture||Normal), two axes": Case(_plane, size=POINTS, calls=8),
    "KL of two tables of logs": Case(_tables, size=2**15, calls=60),
    "KL of a batch of tables": Case(_batch, size=2**17, calls=10),
    "forward fit of a table of 100": Case(_fit_of_table, size=100, calls=12),
    "forward fit": Case(partial(_fit, direction="forward"), size=10_000, calls=2),
    "reverse fit": Case(partial(_fit, direction="reverse"), size=10_000),
    "forward fit of a Gamma": Case(partial(_fit, direction="forward", family="gamma"), size=100_000),
    "reverse fit of a Gamma": Case(partial(_fit, direction="reverse", family="gamma"), size=100_000),
    "forward fits of rows": Case(partial(_fits_of_rows, direction="forward"), size=ROWS, calls=4),
    "reverse fits of rows": Case(partial(_fits_of_rows, direction="reverse"), size=2**15, calls=4),
}
"""The named list of the gate; a sample of each takes some milliseconds."""

MISSING = (AttributeError, TypeError, ValueError)
"""What an older version raises that does not have a function, a keyword or a family yet."""

SMALL = 1000
"""Numbers that are enough to compile all that a case uses."""


def compile_all() -> None:
    """Run every case, and logits of other types, on few numbers; what a version does not have yet is left out."""
    for make in (*(case.make for case in CASES.values()), *(Logits(kind).make for kind in ("f2", "bfloat16"))):
        try:
            make(SMALL)()
        except MISSING:
            continue
