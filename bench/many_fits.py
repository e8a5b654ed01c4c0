"""Times of a fit of every row, beside its peers: ``python -m bench.many_fits [--quick] [--rows N]``.

The rows are in single precision on 301 points: one to four bumps with noise, and stored zeros, which a floor raises. A
call that would take longer than ``--seconds`` gets as many of the rows as fit into that. Peers, each in blocks of its
own that alternate with the others':

- `kl_divergence` of the same batch and one Normal;
- a loop of SciPy's BFGS with an analytic gradient of KL(q||p), from the moments of a row, and from all the starts that
  a fit takes;
- 30 damped Newton steps from the moments, with derivatives by JAX, as ``jit(vmap(...))``, if JAX is installed;
- least squares of `astropy.modeling.fitting.parallel_fit_dask`, if astropy is installed.

Without ``--quick`` the table goes into ``docs/many_fits.md``. ``--peak DIRECTION`` prints the memory that a fit takes
beside its input and its output, in MiB, and nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import timeit
import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

import fastkl
from bench.figures import machine
from bench.pages import write_part
from bench.suite.blocks import medians
from bench.suite.fits import FLOOR, survey, survey_grid
from bench.suite.peak import peak
from fastkl.fitting.reading import Reading
from fastkl.fitting.starts import starts
from fastkl.fitting.task import task_of

FROM_BFGS = 200
"""Number of rows that the loop of BFGS takes."""
TRIAL = 20
"""Number of rows that show how many fit into the time."""
NEWTON_STEPS, TOGETHER = 30, 5_000
"""Steps of JAX's Newton's method, and rows that it takes together."""
SAME = 1e-6
"""Difference of divergences up to which a peer has found the minimum of fastkl's fit, or a lower one."""

Q = fastkl.Normal(0.0, 3.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="longest call [20]")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each competitor [5]")
    parser.add_argument("--quick", action="store_true", help="a hundred rows, one block")
    parser.add_argument("--peak", choices=("forward", "reverse"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rows, arguments.seconds, arguments.blocks = min(arguments.rows, 100), 2.0, 1
    if arguments.peak:
        print(extra_memory(arguments.rows, arguments.peak))
        return
    print(f"load {', '.join(f'{load:.2f}' for load in os.getloadavg())}\n")
    values = survey(arguments.rows)
    results = measured(values, arguments.seconds, arguments.blocks)
    (unit,) = (seconds for name, _, seconds, _ in results if name.startswith("kl_divergence"))
    lines = ["| work | rows | µs a row | in units of kl_divergence | |", "|---|---|---|---|---|"]
    for name, rows, seconds, note in results:
        lines.append(f"| {name} | {rows:,} | {1e6 * seconds:.3g} | {seconds / unit:.3g} | {note} |")
    lines.append("")
    for direction in ("forward", "reverse"):
        rows = min(arguments.rows, next(count for name, count, *_ in results if direction in name))
        command = [sys.executable, "-m", "bench.many_fits", "--peak", direction, "--rows", str(rows)]
        found = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        alone = single_fit(values[0], direction, 20 if arguments.quick else 300)
        lines.append(
            f"- {direction}: {found:.0f} MiB beside input and output for {rows:,} rows; a single fit, with every field "
            f"read, takes {1e3 * alone:.2f} ms"
        )
    lines += ["", machine("python -m bench.many_fits")]
    print("\n".join(lines))
    if not arguments.quick:
        write_part("many_fits.md", "speed", "\n".join(lines))
    print(f"\nload at the end {', '.join(f'{load:.2f}' for load in os.getloadavg())}")


def single_fit(row: Any, direction: str, calls: int) -> float:
    """Seconds that the fit of a single table takes, with all of its fields."""
    p = fastkl.Tabulated(survey_grid(), row, floor=FLOOR)

    def fit_and_read() -> None:
        result = fastkl.fit(p, "normal", direction=direction)
        for name in (*(field.name for field in fields(result)), "forward", "reverse", "elbo", "statistics"):
            getattr(result, name)

    return float(np.median([timeit.timeit(fit_and_read, number=1) for _ in range(calls)]))


def measured(values: Any, seconds: float, blocks: int) -> list[tuple[str, int, float, str]]:
    """The name of each competitor, its number of rows, the seconds that a row takes, and a note."""
    reverse = fastkl.fit(batch(values[:FROM_BFGS]), "normal", direction="reverse")
    logs = [log_values(row) for row in values[:FROM_BFGS]]
    calls: list[tuple[str, Callable[[Any], Any], int]] = [
        ("kl_divergence of the batch", lambda rows: fastkl.kl_divergence(batch(rows), Q), len(values)),
        ("fit, forward", lambda rows: fastkl.fit(batch(rows), "normal", direction="forward"), len(values)),
        ("fit, reverse", lambda rows: fastkl.fit(batch(rows), "normal", direction="reverse"), len(values)),
        ("SciPy's BFGS, from the moments", partial(by_bfgs, several=False), FROM_BFGS),
        ("SciPy's BFGS, from the starts of a fit", partial(by_bfgs, several=True), FROM_BFGS),
    ]
    absent = []
    for name, make in (("JAX, Newton steps from the moments", jax_newton), ("astropy, parallel_fit_dask", by_astropy)):
        try:
            calls.append((name, make(), len(values)))
        except ModuleNotFoundError as error:
            absent.append(f"{name}: {error.name} is not installed")
    timed = []
    for name, call, most in calls:
        call(values[:TRIAL])  # compiles what there is to compile
        began = time.perf_counter()
        call(values[:TRIAL])
        rows = int(np.clip(seconds / (time.perf_counter() - began) * TRIAL, TRIAL, min(most, len(values))))
        timed.append((name, rows, partial(call, values[:rows])))
    times = medians(*(call for _, _, call in timed), blocks=blocks, calls=1)
    lowest = {name: call(values[: len(logs)]) for name, call, _ in calls if "BFGS" in name or "JAX" in name}
    for line in absent:
        print(line)
    notes = {name: f"as low as the fit in {as_low(found, reverse):.0%} of rows" for name, found in lowest.items()}
    return [
        (name, rows, found / rows, notes.get(name, "")) for (name, rows, _), found in zip(timed, times, strict=True)
    ]


def batch(rows: Any) -> fastkl.Tabulated:
    return fastkl.Tabulated(survey_grid(), rows, floor=FLOOR)


def as_low(found: Any, reverse: fastkl.FitResults) -> float:
    """The share of rows in which a peer's divergence is at most that of a fit."""
    return float(np.mean(np.asarray(found) <= reverse.divergence + SAME))


def extra_memory(count: int, direction: str) -> float:
    """MiB at the peak of a fit, beside its rows and its result."""
    values = survey(count)
    fastkl.fit(batch(values[:TRIAL]), "normal", direction=direction)
    before = peak()
    results = fastkl.fit(batch(values), "normal", direction=direction)
    kept = [*vars(results).values(), *results.q.parameters.values(), *results.runner_up_q.parameters.values()]
    return (peak() - before - sum(array.nbytes for array in kept if isinstance(array, np.ndarray))) / 2**20


# Peers: KL(q||p) of a Normal q, conditioned on the grid, as fastkl defines it

GRID = survey_grid()
X, W = GRID.axes[0], GRID.weights[0]


def log_values(row: Any) -> Any:
    """The logarithm of a row, raised to the floor and normalised."""
    p = np.maximum(row.astype(np.float64), FLOOR * float(row.max()))
    return np.log(p / (W @ p))


def value_and_gradient(theta: Any, log_p: Any) -> tuple[float, Any]:
    """KL(q||p) and its gradient by loc and log(scale), from the moments of G = log(q/p) and the scores under q."""
    scale = np.exp(theta[1])
    z = (X - theta[0]) / scale
    q = W * np.exp(-0.5 * z * z)
    mass = q.sum()
    if not mass > 0.0:  # a trial step of the search that has left the grid
        return np.inf, np.zeros(2)
    q /= mass
    G = -0.5 * z * z - np.log(mass) - log_p
    value = q @ G
    return value, np.array([(q * (z / scale)) @ (G - value), (q * z * z) @ (G - value)])


def moments(row: Any) -> tuple[float, float]:
    """The mean and the standard deviation of a row."""
    p = W * np.exp(log_values(row))
    mean = p @ X
    return float(mean), float(np.sqrt(p @ (X - mean) ** 2))


def by_bfgs(rows: Any, *, several: bool) -> list[float]:
    """The lowest divergences that BFGS finds, row by row."""
    from scipy.optimize import minimize

    found = []
    for row in rows:
        log_p = log_values(row)
        pairs = [moments(row)]
        if several:
            reading = Reading(task_of(batch(row), "normal", None, "reverse"))
            pairs = [tuple(state) for state in starts(reading)]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            ends = [
                minimize(value_and_gradient, [loc, np.log(scale)], (log_p,), jac=True, method="BFGS")
                for loc, scale in pairs
            ]
        found.append(min(end.fun for end in ends if abs(end.x[0]) < X[-1]) if ends else np.nan)
    return found


def jax_newton() -> Callable[[Any], Any]:
    """Newton's method for rows side by side, from their moments, in double precision."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, w = jnp.asarray(X), jnp.asarray(W)

    def divergence(theta: Any, log_p: Any) -> Any:
        z = (x - theta[0]) / jnp.exp(theta[1])
        q = w * jnp.exp(-0.5 * z * z)
        q = q / q.sum()
        return jnp.sum(q * (-0.5 * z * z - jnp.log(jnp.sum(w * jnp.exp(-0.5 * z * z))) - log_p))

    slope, bend = jax.grad(divergence), jax.hessian(divergence)

    def descend(row: Any) -> Any:
        p = jnp.maximum(row.astype(jnp.float64), FLOOR * row.max())
        p = p / (w @ p)
        log_p, mean = jnp.log(p), (w * p) @ x
        start = jnp.array([mean, 0.5 * jnp.log((w * p) @ (x - mean) ** 2)])

        def step(theta: Any, _: Any) -> Any:
            unit = jnp.array([jnp.exp(theta[1]), 1.0])  # a step of 1 is a scale, or a factor of e
            g, H = unit * slope(theta, log_p), unit[:, None] * bend(theta, log_p) * unit
            eigenvalues, vectors = jnp.linalg.eigh(H)
            newton = vectors @ ((vectors.T @ g) / jnp.maximum(jnp.abs(eigenvalues), 1e-8))
            return theta - unit * newton / jnp.maximum(jnp.abs(newton).max(), 1.0), None

        theta, _ = jax.lax.scan(step, start, None, length=NEWTON_STEPS)
        return divergence(theta, log_p)

    compiled = jax.jit(jax.vmap(descend))
    return lambda rows: np.concatenate(
        [np.asarray(compiled(rows[k : k + TOGETHER])) for k in range(0, len(rows), TOGETHER)]
    )


def by_astropy() -> Callable[[Any], Any]:
    """Least squares of a Gaussian to every spectrum of a cube."""
    from astropy.modeling.fitting import TRFLSQFitter, parallel_fit_dask
    from astropy.modeling.models import Gaussian1D

    def call(rows: Any) -> Any:
        cube = np.ascontiguousarray(rows.T[:, :, np.newaxis], dtype=np.float64)
        return parallel_fit_dask(
            model=Gaussian1D(amplitude=1.0, mean=0.0, stddev=2.0), fitter=TRFLSQFitter(), data=cube,
            fitting_axes=0, world=(X,), scheduler="threads",
        )  # fmt: skip

    return call


if __name__ == "__main__":
    main()
