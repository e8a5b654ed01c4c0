"""The command line: ``fastkl fit [TARGET]``, ``fastkl kl P Q``, ``fastkl surface [TARGET]`` and ``fastkl warmup``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import fastkl
from fastkl.fitting import FitResult
from fastkl.fitting.charts import FITTED
from fastkl.fitting.result import short
from fastkl.jit import progress
from fastkl.output import json_text, require_folder, write_whole
from fastkl.targets import GRAMMAR, parse_target

REFERENCE = "0.5*N(-2,0.6) + 0.5*N(2,0.6)"
"""Textbook example of a target: two bumps, and one Normal to stand in for both."""

BAR_AFTER = 1.0
"""Seconds of work after which a progress bar appears."""

SUCCESS, NO_SUCCESS, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
STATUS = "exit status: 0, or 1 if a printed fit is no success; 2 and one line on stderr for bad input; 130 after Ctrl-C"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `STATUS`."""
    arguments = _parser().parse_args(_with_grid_joined(sys.argv[1:] if argv is None else argv))
    run: Callable[[argparse.Namespace], tuple[str, int]] = arguments.run
    try:
        for path in (arguments.json, getattr(arguments, "plot", None)):
            if path is not None:
                require_folder(path)
        with _progress_bar(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            text, status = run(arguments)
        print(text)
        for warning in caught:
            print(f"fastkl: warning: {warning.message}", file=sys.stderr)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"fastkl: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("fastkl: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def _with_grid_joined(argv: Sequence[str]) -> list[str]:
    """Arguments with ``--grid -9:9:99`` as ``--grid=-9:9:99``: argparse takes a word with a leading - for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in ("--grid", "--loc"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line on stderr, without the usage that argparse would print above it."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastkl", description="Kullback-Leibler divergences and fits on grids.", epilog=STATUS)
    parser.add_argument("--version", action="version", version=f"fastkl {fastkl.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    fit = commands.add_parser("fit", help="fit one density to another, in both directions")
    fit.add_argument("target", nargs="?", help=f'{GRAMMAR}; by default "{REFERENCE}"')
    fit.add_argument("--samples", metavar="COLUMN", help="TARGET is a .csv file of raw observations in this column")
    fit.add_argument("--bandwidth", default="scott", help="of --samples: scott, silverman or a number [scott]")
    fit.add_argument("--family", help=f"{', '.join(FITTED)} [a Normal of TARGET's axes]")
    fit.add_argument(
        "--covariance-type", default="full", help="of a multivariate_normal: full, diag or spherical [full]"
    )
    fit.add_argument("--components", type=int, metavar="N", help="of a mixture, which is fitted forward")
    fit.add_argument("--df", type=float, help="hold the degrees of freedom of a student_t")
    fit.add_argument("--direction", default="both", choices=("both", "forward", "reverse"), help="[both]")
    _add_common(fit)
    fit.add_argument("--plot", metavar="FILE", type=Path, help="draw the fits into a .png, .svg or .pdf file")
    fit.set_defaults(run=_fit)

    surface = commands.add_parser("surface", help="the divergence of TARGET and every Normal of a range")
    surface.add_argument("target", nargs="?", default=REFERENCE, help=f'{GRAMMAR}; by default "{REFERENCE}"')
    surface.add_argument("--direction", required=True, choices=("forward", "reverse"))
    surface.add_argument("--loc", metavar="LO:HI:N", type=_range, help="means [3 standard deviations of TARGET, 61]")
    surface.add_argument("--scale", metavar="LO:HI:N", type=_range, help="standard deviations, in equal ratios")
    _add_common(surface)
    surface.add_argument("--plot", metavar="FILE", type=Path, help="draw the surface into a .png, .svg or .pdf file")
    surface.set_defaults(run=_surface)

    kl = commands.add_parser("kl", help="the divergence KL(P||Q)")
    kl.add_argument("p", metavar="P", help=GRAMMAR)
    kl.add_argument("q", metavar="Q", help="second density, given like the first one")
    kl.add_argument("--base", type=float, help="base of the logarithm [e]")
    _add_common(kl)
    kl.set_defaults(run=_kl)

    warmup = commands.add_parser("warmup", help="compile all kernels into the cache, for instance in an image")
    warmup.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at once [1]")
    warmup.set_defaults(run=_warmup, json=None)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    grid_help = "N points from LO to HI, for each axis, separated by commas [chosen from TARGET]"
    parser.add_argument("--grid", metavar="LO:HI:N", type=_grid, help=grid_help)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result to a file")


Range = tuple[float, float, int]


def _range(text: str) -> Range:
    parts = text.split(":")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"expected LO:HI:N, got {text!r}")
    try:
        return float(parts[0]), float(parts[1]), int(parts[2])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} in {text!r}") from None


def _grid(text: str) -> fastkl.Grid:
    lower, upper, n = zip(*map(_range, text.split(",")), strict=True)
    try:
        return fastkl.Grid.uniform(lower, upper, n) if len(n) > 1 else fastkl.Grid.uniform(lower[0], upper[0], n[0])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} in {text!r}") from None


def _fit(arguments: argparse.Namespace) -> tuple[str, int]:
    if arguments.plot is not None:
        _need_matplotlib(arguments.plot)
    if arguments.target is None and arguments.samples is not None:
        raise ValueError("--samples needs a TARGET, the .csv file that has this column")
    arguments.target = arguments.target or REFERENCE
    target = parse_target(
        arguments.target, samples=arguments.samples, bandwidth=_bandwidth(arguments.bandwidth), grid=arguments.grid
    )
    directions = ("forward", "reverse") if arguments.direction == "both" else (arguments.direction,)
    family = arguments.family or ("normal" if target.ndim == 1 else "multivariate_normal")
    options = {
        "covariance_type": arguments.covariance_type,
        "n_components": arguments.components,
        "df": arguments.df,
    }
    results = [fastkl.fit(target, family, arguments.grid, direction=d, **options) for d in directions]
    grid = results[0].grid
    column = f", column {arguments.samples}" if arguments.samples else ""
    sides = " x ".join(f"{axis.n} points from {axis.lower:.6g} to {axis.upper:.6g}" for axis in grid._parts)
    header = f"p     {arguments.target}{column}\ngrid  {sides}"
    if arguments.json is not None:
        content = {"target": arguments.target, "samples": arguments.samples, "results": [_as_dict(r) for r in results]}
        write_whole(arguments.json, lambda path: path.write_text(json_text(content)))
    if arguments.plot is not None:
        _save(fastkl.plot_fits(*results)[0].figure, arguments.plot)
    status = SUCCESS if all(result.success for result in results) else NO_SUCCESS
    return "\n\n".join([header, *map(str, results)]), status


def _surface(arguments: argparse.Namespace) -> tuple[str, int]:
    if arguments.plot is not None:
        _need_matplotlib(arguments.plot)
    target = parse_target(arguments.target, grid=arguments.grid)
    if target.ndim > 1:
        raise ValueError(f"a surface is of the Normals of one dimension, got a target of {target.ndim}")
    mean, std = target.mean, target.std
    loc = arguments.loc or (mean - 3.0 * std, mean + 3.0 * std, 61)
    low, high, n = arguments.scale or (0.1 * std, 2.0 * std, 61)
    if not 0.0 < low <= high:
        raise ValueError(f"--scale needs 0 < LO <= HI, got {low!r} and {high!r}")
    scales = np.geomspace(low, high, n)
    surface = fastkl.kl_surface(target, np.linspace(*loc), scales, arguments.grid, direction=arguments.direction)
    lines = [
        f"p         {arguments.target}",
        f"surface   {arguments.direction}, {loc[2]} means from {loc[0]:.6g} to {loc[1]:.6g}, "
        f"{n} standard deviations from {low:.6g} to {high:.6g}",
        f"lowest    {surface.divergence.min():.6g}",
        f"minima    {len(surface.minima)}",
        *(f"  {m.divergence:<12.6g}{short(m.q)}" for m in surface.minima),
    ]
    if arguments.json is not None:
        content = {
            "target": arguments.target,
            "direction": arguments.direction,
            "loc": surface.loc.tolist(),
            "scale": surface.scale.tolist(),
            "divergence": surface.divergence.tolist(),
            "minima": [{"q": _numbers(m.q), "divergence": m.divergence} for m in surface.minima],
        }
        write_whole(arguments.json, lambda path: path.write_text(json_text(content)))
    if arguments.plot is not None:
        _save(surface.plot().figure, arguments.plot)
    return "\n".join(lines), SUCCESS


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    try:
        write_whole(path, lambda path: figure.savefig(path, dpi=150))
    finally:
        pyplot.close(figure)


def _kl(arguments: argparse.Namespace) -> tuple[str, int]:
    p, q = parse_target(arguments.p), parse_target(arguments.q)
    result = fastkl.kl_divergence(p, q, arguments.grid, base=arguments.base, full_output=True)
    unit = "nats" if arguments.base is None else f"units of log({arguments.base:g})"
    lines = [
        f"KL(P||Q)      {result.value:.15g} {unit}",
        f"error         {result.error:.1e}",
        f"mass outside  {result.mass_outside_p:.1e} of P, {result.mass_outside_q:.1e} of Q",
        f"method        {result.method}, {result.n_evaluated} points",
    ]
    if result.first_infinite is not None:
        where = ", ".join(f"{x:.6g}" for x in np.atleast_1d(result.first_infinite))
        lines.append(f"infinite      Q is 0 where P is not, first at x = {where}")
    if arguments.json is not None:
        content = {"p": arguments.p, "q": arguments.q, "base": arguments.base, **vars(result)}
        write_whole(arguments.json, lambda path: path.write_text(json_text(content)))
    return "\n".join(lines), SUCCESS


def _warmup(arguments: argparse.Namespace) -> tuple[str, int]:
    from fastkl.warmup import warm_up

    return f"{warm_up(arguments.jobs)} tasks are compiled, and so is all that they use", SUCCESS


def _bandwidth(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _numbers(q: Any) -> dict[str, Any]:
    """The parameters of a density."""
    if isinstance(q, fastkl.Mixture):
        return {"weights": list(q.weights), "components": [_numbers(part) for part in q.components]}
    if isinstance(q, fastkl.MultivariateNormal):
        return {"mean": q.mean.tolist(), "cov": q.cov.tolist()}
    return dict(vars(q))


def _as_dict(result: FitResult) -> dict[str, Any]:
    sides = {"lower": result.grid.lower, "upper": result.grid.upper, "n": result.grid.shape}
    return {
        "direction": result.direction,
        "q": _numbers(result.q),
        "forward": result.forward,
        "reverse": result.reverse,
        "minima": [{"q": _numbers(m.q), "divergence": m.divergence} for m in result.minima],
        "grid": {name: ends[0] if len(ends) == 1 else list(ends) for name, ends in sides.items()},
        "log_normalizer": result.log_normalizer,
        "elbo": result.elbo,
        "quadrature_error": result.quadrature_error,
        "mass_outside": result.mass_outside,
        "gradient_norm": result.gradient_norm,
        "min_eigenvalue": result.min_eigenvalue,
        "converged": result.converged,
        "success": result.success,
        "message": result.message,
    }


def _need_matplotlib(path: Path) -> None:
    """Fail before the work, not after it, if matplotlib is missing or cannot write *path*."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--plot needs matplotlib: pip install 'fastkl[plot]'") from None
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise ValueError(f"--plot cannot write {path.name!r}: expected a name that ends in {', '.join(sorted(known))}")


@contextlib.contextmanager
def _progress_bar() -> Iterator[None]:
    """A progress bar on a terminal's stderr once the work has lasted a second."""
    from tqdm import tqdm

    with tqdm(
        total=0, unit="point", unit_scale=True, delay=BAR_AFTER, disable=None, leave=False, file=sys.stderr
    ) as bar:
        seen = 0

        def report(done: int, size: int) -> None:
            nonlocal seen
            if done < seen or not bar.total:  # another pass has begun
                seen = 0
                bar.total = bar.n + size
            bar.update(done - seen)
            seen = done

        with progress(report):
            yield


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
