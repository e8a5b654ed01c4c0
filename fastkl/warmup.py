"""Compilation of all kernels ahead of their use: ``python -m fastkl warmup``, for instance in a container's image."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from typing import Any

import numpy as np

import fastkl
from fastkl.families import FAMILIES
from fastkl.families.univariate import HALF_LINE, UNIT_INTERVAL
from fastkl.fitting.charts import COVARIANCE_TYPES
from fastkl.jit import SMALL_POINTS, report_progress

FEW, MANY = 100, 2 * SMALL_POINTS
"""Points that take a kernel alone, and those that take its parallel driver as well."""

Task = Callable[[], Any]


def warm_up(jobs: int = 1) -> int:
    """Compile the kernels into the cache, in so many processes at once.

    Parameters
    ----------
    jobs : int, default 1
        Number of processes.

    Returns
    -------
    int
        Number of tasks that were run; with a warm cache a task takes a fraction of a second.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    size = len(list(_tasks()))
    report_progress(0, size)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, finished in enumerate(as_completed([pool.submit(_run, k) for k in range(size)]), start=1):
            finished.result()
            report_progress(done, size)
    return size


def _run(number: int) -> None:
    with np.errstate(all="ignore"):
        list(_tasks())[number]()


def _tasks() -> Iterator[Task]:
    """Small calls that use every kernel; a process runs one of them."""
    for name in ("entropy", "jensenshannon", "jeffreys"):
        for kind in ("f8", "f4"):
            yield partial(_reduce, name, kind)
    yield from (partial(_logits, kind) for kind in ("f2", "bfloat16"))
    yield _elements
    yield _matrices
    yield _sparse
    yield partial(fastkl.generalized_jensenshannon, np.ones((2, 2)))
    yield partial(fastkl.generalized_jensenshannon, np.ones((MANY, 2, 2)))
    for name in FAMILIES:
        for direction in ("forward", "reverse"):
            yield partial(_fit_line, name, direction)
    for covariance_type in COVARIANCE_TYPES:
        for direction in ("forward", "reverse"):
            yield partial(_fit_plane, covariance_type, direction)
    yield _fit_mixture
    yield _fit_samples
    yield _fit_histograms
    yield _tables
    yield _batches


def _reduce(name: str, kind: str) -> None:
    reduce = getattr(fastkl, name)
    for shape in ((FEW,), (MANY,), (FEW, FEW), (FEW, 2 * MANY // FEW)):
        p, q = np.ones(shape, kind), np.arange(1, np.prod(shape) + 1, dtype=kind).reshape(shape)
        for axis in range(len(shape)):
            reduce(p, q, axis=axis)
            reduce(-p, -q / q.max(), axis=axis, log=True)
            reduce(p, q, axis=axis, weights=np.ones(shape[axis]) if len(shape) == 1 else None)
        if name == "entropy":
            reduce(p)


def _logits(kind: str) -> None:
    if kind == "bfloat16":
        try:
            import ml_dtypes  # noqa: F401  # with which NumPy knows the name
        except ModuleNotFoundError:
            return
    rows = np.zeros((FEW, FEW)).astype(kind)
    for axis in (0, 1):
        fastkl.entropy(rows, rows, log=True, axis=axis)


def _matrices() -> None:
    for n in (20, 2 * FEW):
        x = np.random.default_rng(0).random((n, 4 * FEW))
        for metric in ("js", "kl", "jeffreys"):
            fastkl.cdist(x, x[::-1], metric)


def _elements() -> None:
    for kind in ("f8", "f4"):
        for size in (FEW, MANY):
            x = np.linspace(0.1, 1, size, dtype=kind)
            for name in ("rel_entr", "kl_div", "log_ratio"):
                getattr(fastkl, name)(x, x[::-1])
                getattr(fastkl, name)(x, 2 * x)
            fastkl.entr(x)


def _sparse() -> None:
    from scipy import sparse

    for kind in ("f8", "f4"):
        for n in (FEW, MANY):
            rows = sparse.csr_array(np.ones((n, 2), kind))
            fastkl.entropy(rows, axis=1)
            for reduce in (fastkl.entropy, fastkl.jensenshannon):
                reduce(rows, rows, axis=1)


def _fit_line(name: str, direction: str) -> None:
    p, lower, upper = fastkl.Mixture([fastkl.Normal(-1.0, 0.7), fastkl.Normal(1.5, 1.0)]), -20.0, 20.0
    support = FAMILIES[name]._common_support
    if support == UNIT_INTERVAL:
        p, lower, upper = fastkl.Mixture([fastkl.Beta(3.0, 2.0), fastkl.Beta(5.0, 4.0)]), 0.01, 0.99
    elif support == HALF_LINE:
        p, lower, upper = fastkl.Mixture([fastkl.Gamma(2.0), fastkl.Gamma(5.0)]), 0.02, 40.0
    for n in (FEW, MANY):
        grid = fastkl.Grid.uniform(lower, upper, n)
        q = fastkl.fit(p, name, grid, direction=direction).q
        fastkl.kl_divergence(p, q, grid)
        fastkl.kl_divergence(q, p, grid)
    if name == "student_t":
        fastkl.fit(p, name, grid, direction=direction, df=4.0)


def _fit_plane(covariance_type: str, direction: str) -> None:
    parts = [fastkl.MultivariateNormal([x, 0.0], [[1.0, 0.3], [0.3, 1.0]]) for x in (-1.0, 1.0)]
    p, family = fastkl.Mixture(parts), "multivariate_normal"
    for n in (30, 400):
        grid = fastkl.Grid.uniform([-8.0] * 2, [8.0] * 2, n)
        q = fastkl.fit(p, family, grid, direction=direction, covariance_type=covariance_type).q
        fastkl.kl_divergence(p, q, grid)


def _fit_mixture() -> None:
    p = fastkl.Mixture([fastkl.Laplace(-2.0, 1.0), fastkl.Normal(2.0, 0.5)])
    fastkl.fit(p, "mixture", direction="forward", n_components=2)


def _fit_samples() -> None:
    p = fastkl.Tabulated.from_samples(np.linspace(-1.0, 1.0, FEW) ** 3)
    for direction in ("forward", "reverse"):
        fastkl.fit(p, "normal", direction=direction)
    fastkl.Tabulated.from_samples(np.linspace(0.0, 1.0, FEW)[1:] ** 3, support=(0.0, np.inf))


def _fit_histograms() -> None:
    counts = np.array([1, 4, 9, 5, 2])
    for families, p in (
        (FAMILIES, fastkl.Tabulated.from_histogram(counts, np.linspace(0.0, 1.0, 6))),
        (["multivariate_normal"], fastkl.Tabulated.from_histogram(np.outer(counts, counts), [np.arange(6.0)] * 2)),
    ):
        for family in families:
            for direction in ("forward", "reverse"):
                fastkl.fit(p, family, direction=direction)


def _tables() -> None:
    for n in (FEW, MANY):
        grid = fastkl.Grid.uniform(-8.0, 8.0, n)
        x = grid.axes[0]
        for log in (False, True):
            values = -0.5 * x**2, -0.5 * (x - 1.0) ** 2
            p, q = (fastkl.Tabulated(grid, v if log else np.exp(v), log=log) for v in values)
            fastkl.kl_divergence(p, q)
            for direction in ("forward", "reverse"):
                fastkl.fit(p, "normal", direction=direction)


def _batches() -> None:
    grid, rng = fastkl.Grid.uniform(-8.0, 8.0, 300), np.random.default_rng(0)
    for kind in ("f8", "f4"):
        for rows in (3, 1000):
            batch = fastkl.Tabulated(grid, rng.random((rows, 300)).astype(kind))
            fastkl.kl_divergence(batch, fastkl.Normal(0.0, 3.0), grid)
