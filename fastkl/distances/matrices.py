"""`cdist` and `pdist`: the divergences between all rows of two matrices, or of one."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.arrays.containers import as_array, checked_pseudocount, checked_weights, in_the_type_of, is_sparse
from fastkl.distances.entries import Matrix, fill_from_entries, suits
from fastkl.distances.pairs import Counts, Metric, fill_matrix
from fastkl.distances.table import Options, Table
from fastkl.kernels.pairs import JEFFREYS, JS, KL, REVERSE_KL
from fastkl.validation import nats_per_unit

METRICS: dict[str, Metric] = {
    "jensenshannon": JS,
    "js": JS,
    "kl": KL,
    "reverse_kl": REVERSE_KL,
    "jeffreys": JEFFREYS,
    "psi": JEFFREYS,
}
SYMMETRIC = JS, JEFFREYS


def cdist(
    XA: ArrayLike,
    XB: ArrayLike,
    metric: str = "jensenshannon",
    *,
    out: NDArray[np.float64] | None = None,
    base: float | None = None,
    normalize: bool = True,
    weights: ArrayLike | None = None,
    pseudocount: float = 0.0,
    log: bool = False,
) -> Any:
    """The divergence of each row of XA from each row of XB, as `scipy.spatial.distance.cdist`.

    Parameters
    ----------
    XA : array_like, shape (n_a, n)
        Distributions, one in each row; they are normalised.
    XB : array_like, shape (n_b, n)
        Distributions, one in each row.
    metric : str, default 'jensenshannon'
        'jensenshannon' or 'js', the Jensen-Shannon distance, a square root; 'kl', KL(row of XA||row of XB);
        'reverse_kl', KL(row of XB||row of XA); 'jeffreys' or 'psi', the sum of both. Upper case is taken too.
    out : ndarray of float64, shape (n_a, n_b), optional
        C-contiguous array that is filled in and given back.
    base : float, optional
        Base of the logarithm, > 0; by default the divergences are in nats.
    normalize : bool, default True
        Whether to normalise the rows; if not, which goes with 'kl' and 'reverse_kl', a result is the sum of the terms,
        and may be negative.
    weights : array_like, shape (n,), optional
        Cell widths, >= 0: the rows are densities, and sums become sum(w * term). Cell widths are not weights of
        observations.
    pseudocount : float, default 0
        A number >= 0 that is added to every entry before the rows are normalised, as in `entropy`.
    log : bool, default False
        Whether the rows are log-densities; -inf stands for 0.

    Returns
    -------
    ndarray of float64, shape (n_a, n_b)
        A tensor or a JAX array if XA or XB is one. Every entry is what `entropy`, `jensenshannon` or `jeffreys` give
        for the pair of rows in double precision, to a relative 1e-13: 0 for equal rows, never negative, inf where 'kl'
        meets a 0 in the second row alone, and NaN for a row without mass or with a NaN. Its last digits may depend on
        the other rows, but not on the number of threads.

    Raises
    ------
    ValueError
        If the shapes do not fit, the metric is unknown, an argument is out of its range, or two arguments exclude each
        other.
    TypeError
        If the input is not real numbers of at most double precision, is masked, or `out` has another type.
    MemoryError
        If the result is larger than the memory of the machine.

    Notes
    -----
    The rows are read in blocks: beside the result and the input, at most 64 MiB are taken. ``docs/distances.md`` says
    how the digits are kept.

    Examples
    --------
    >>> import fastkl
    >>> fastkl.cdist([[1, 1], [1, 3]], [[1, 1], [0, 1]], "kl").round(6)
    array([[0.      ,      inf],
           [0.130812,      inf]])
    """
    own = in_the_type_of(XA, XB)
    number, name = _metric(metric)
    a, b = _matrix(XA, "XA"), _matrix(XB, "XB")
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"XA and XB must have the same number of columns, got shapes {a.shape} and {b.shape}: rows are compared"
        )
    result = _result(out, (a.shape[0], b.shape[0]))
    _evaluate(a, b, number, name, result, base, normalize, weights, pseudocount, log)
    return result if out is not None else own(result)


def pdist(
    X: ArrayLike,
    metric: str = "jensenshannon",
    *,
    out: NDArray[np.float64] | None = None,
    base: float | None = None,
    normalize: bool = True,
    weights: ArrayLike | None = None,
    pseudocount: float = 0.0,
    log: bool = False,
) -> Any:
    """The divergences of all pairs of rows of X, as `scipy.spatial.distance.pdist`.

    Parameters
    ----------
    X : array_like, shape (m, n)
        Distributions, one in each row; they are normalised.
    metric : str, default 'jensenshannon'
        'jensenshannon' or 'js', or 'jeffreys' or 'psi', as in `cdist`.
    out : ndarray of float64, shape (m * (m - 1) / 2,), optional
        C-contiguous array that is filled in and given back.
    base, normalize, weights, pseudocount, log
        As in `cdist`.

    Returns
    -------
    ndarray of float64, shape (m * (m - 1) / 2,)
        The entries i < j of ``cdist(X, X, metric)``, row after row: `scipy.spatial.distance.squareform` makes a square
        of them, and `scipy.cluster.hierarchy.linkage` takes them as they are.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As `cdist`; also for 'kl' and 'reverse_kl', which are not symmetric.

    Examples
    --------
    >>> import fastkl
    >>> fastkl.pdist([[1, 0], [1, 1], [0, 1]], base=2).round(6)
    array([0.557923, 1.      , 0.557923])
    """
    own = in_the_type_of(X)
    number, name = _metric(metric)
    if number not in SYMMETRIC:
        raise ValueError(
            f"pdist gives one number for each pair of rows, and metric {name!r} is not symmetric; "
            f"cdist(X, X, {name!r}) gives both"
        )
    a = _matrix(X, "X")
    m = a.shape[0]
    result = _result(out, (m * (m - 1) // 2,))
    _evaluate(a, None, number, name, result, base, normalize, weights, pseudocount, log)
    return result if out is not None else own(result)


def _evaluate(
    a: NDArray[Any],
    b: NDArray[Any] | None,
    metric: Metric,
    name: str,
    out: NDArray[np.float64],
    base: float | None,
    normalize: bool,
    weights: ArrayLike | None,
    pseudocount: float,
    log: bool,
) -> Counts:
    """Fill in *out*; without b, with the pairs of rows of a in condensed form."""
    unit = nats_per_unit(base)
    if not normalize and metric in SYMMETRIC:
        raise ValueError(f"normalize=False goes with the metrics 'kl' and 'reverse_kl', got {name!r}")
    pseudocount = checked_pseudocount(pseudocount, log=log, normalize=normalize, weights=weights)
    widths, exponent = _widths(weights, a.shape[1])
    options = Options(bool(normalize), widths, pseudocount, bool(log))
    if out.size == 0 or a.shape[1] == 0:
        out.fill(0.0)
        return Counts()
    counts = Counts()
    if is_sparse(a) or is_sparse(b):
        _check_options_of_sparse(options, "XA and XB" if b is not None else "X")
        first = Matrix(a, "X" if b is None else "XA")
        fill_from_entries(first, first if b is None else Matrix(b, "XB"), metric, out, pseudocount, b is None)
    else:
        table = Table(a, options)
        other = table if b is None else Table(b, options)
        if suits(table, other, metric):
            first = Matrix(a, "XA")
            fill_from_entries(first, first if b is None else Matrix(b, "XB"), metric, out, pseudocount, b is None)
        else:
            counts = fill_matrix(table, other, metric, out, symmetric=b is None)
    with np.errstate(divide="ignore", invalid="ignore"):  # base 1 gives inf and NaN, a base below 1 NaN
        if exponent and not normalize:
            np.ldexp(out, exponent, out=out)
        if unit != 1.0:
            np.divide(out, unit, out=out)
        if metric == JS:
            np.sqrt(out, out=out)
    return counts


def _check_options_of_sparse(options: Options, names: str) -> None:
    """Refuse options with which cells without an entry would count by more than their number."""
    for is_given, option in (
        (options.log, "log=True"),
        (not options.normalize, "normalize=False"),
        (options.weights is not None, "weights="),
    ):
        if is_given:
            raise ValueError(f"{option} does not go with sparse rows; pass {names} as dense arrays, by .toarray()")


def _metric(metric: Any) -> tuple[Metric, str]:
    """(number of the metric, its name in lower case)."""
    if not isinstance(metric, str):
        raise TypeError(f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}")
    name = metric.lower()
    if name not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}")
    return METRICS[name], name


def _matrix(values: Any, name: str) -> NDArray[Any]:
    """*values* as an array of two dimensions."""
    if np.ma.is_masked(values):
        raise TypeError(f"{name} must not be masked: all rows are compared by the same columns; pass {name}.filled(0)")
    array = values if is_sparse(values) else as_array(values, name)
    if array.ndim != 2:
        remedy = f"pass {name}.reshape(-1, {array.shape[-1]})" if array.ndim > 2 else f"pass {name}[numpy.newaxis]"
        raise ValueError(
            f"{name} must be a 2-dimensional array with a distribution in each row, got shape {array.shape}; {remedy}"
        )
    return array


def _widths(weights: ArrayLike | None, columns: int) -> tuple[NDArray[np.float64] | None, int]:
    """(cell widths, a number for each column, or None; exponent of the power of two that divides them)."""
    if weights is None:
        return None, 0
    widths, exponent = checked_weights(weights)
    if widths.shape not in ((1,), (columns,)):
        raise ValueError(f"weights must have a number for each of the {columns} columns, got shape {np.shape(weights)}")
    return np.broadcast_to(widths, (columns,)), exponent


def _result(out: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """*out*, checked, or a new array."""
    if out is None:
        size = 8 * int(np.prod(shape, dtype=object))
        if size > _memory():
            raise MemoryError(
                f"the result of shape {shape} takes {size / 1e9:,.0f} GB, and this machine has "
                f"{_memory() / 1e9:,.0f} GB: compute some rows at a time, or pass a numpy.memmap as out"
            )
        return np.empty(shape)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array of float64, got {out!r}")
    if out.dtype != np.float64:
        raise ValueError(f"out must be an array of float64, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not (out.flags.c_contiguous and out.flags.writeable and out.dtype.isnative):
        raise ValueError("out must be a C-contiguous array that can be written to, in the machine's byte order")
    return out


def _memory() -> float:
    """Bytes of memory that the machine has; inf where that is not known."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # systems without sysconf, or without these names
        return np.inf
