"""The command line: ``fastkl fit [TARGET]``, ``fastkl kl P Q``, ``fastkl surface [TARGET]`` and ``fastkl warmup``."""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np

import fastkl
from fastkl import Density, Grid, Histogram, bar
from fastkl.densities.dictionaries import parameters, plain
from fastkl.files import is_file, title
from fastkl.fitting import FitResult
from fastkl.fitting.charts import FITTED
from fastkl.fitting.result import TITLE, Direction, short
from fastkl.output import json_text, require_folder, write_whole
from fastkl.targets import GRAMMAR, Target, read_target

REFERENCE = "0.5*N(-2,0.6) + 0.5*N(2,0.6)"
"""Textbook example of a target: two bumps, and one Normal to stand in for both."""

SUCCESS, NO_SUCCESS, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
STATUS = (
    "exit status: 0, or 1 if a fit (of --family all: the best fit of a direction) is no success or one of two "
    "directions is refused; 2 and one line on stderr for bad input; 130 after Ctrl-C"
)

STANDARD_OUTPUT = Path("-")
"""File of --json that stands for standard output, on which only JSON is written then."""

NATS, UNITS = "nats", {2.0: "bits", 10.0: "hartleys"}
"""Units of divergences: by the natural logarithm, and by base."""


T = TypeVar("T")


class Report(NamedTuple):
    """A command's answer."""

    text: str
    status: int
    content: dict[str, Any] | None = None
    """Answer for --json."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `STATUS`."""
    arguments = _parser().parse_args(_with_grid_joined(sys.argv[1:] if argv is None else argv))
    run: Callable[[argparse.Namespace], Report] = arguments.run
    to_stdout = arguments.json == STANDARD_OUTPUT
    try:
        for path in (None if to_stdout else arguments.json, getattr(arguments, "plot", None)):
            if path is not None:
                require_folder(path)
        with fastkl.progress(delay=bar.DELAY, disable=None), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            report = run(arguments)
        if arguments.json is not None and not to_stdout:
            write_whole(arguments.json, lambda path: path.write_text(json_text(report.content)))
        print(json_text(report.content) if to_stdout else report.text, end="" if to_stdout else "\n")
        for warning in caught:
            print(f"fastkl: warning: {warning.message}", file=sys.stderr)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"fastkl: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("fastkl: interrupted", file=sys.stderr)
        return INTERRUPTED
    return report.status


def _with_grid_joined(argv: Sequence[str]) -> list[str]:
    """Arguments with ``--grid -9:9:99`` as ``--grid=-9:9:99``: argparse takes a word with a leading - for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in ("--grid", "--loc", "--support"):
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
    fit.add_argument("--samples", metavar="COLUMN", help="TARGET is a file of raw observations in this column")
    fit.add_argument("--bandwidth", help="of --samples: scott, silverman or a number [scott]")
    fit.add_argument(
        "--support", metavar="A:B", type=_support, help="of --samples: the ends of possible values, such as 0:inf"
    )
    fit.add_argument("--family", help=f"{', '.join(FITTED)}, or all, ranked [a Normal of TARGET's axes]")
    fit.add_argument(
        "--covariance-type", default="full", help="of a multivariate_normal: full, diag or spherical [full]"
    )
    fit.add_argument("--components", type=int, metavar="N", help="of a mixture, which is fitted forward")
    fit.add_argument("--df", type=float, help="hold the degrees of freedom of a student_t")
    fit.add_argument(
        "--direction", choices=("both", "forward", "reverse"), help="[both; forward for a mixture, which has no other]"
    )
    fit.add_argument("--rtol", type=float, help="largest quadrature error of a success, relative to the divergence")
    fit.add_argument("--mass-tol", type=float, help="largest mass outside the grid of a success")
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
    kl.add_argument("--base", type=_base, help="base of the logarithm: 2 for bits, 10 for hartleys [e, for nats]")
    _add_common(kl)
    kl.set_defaults(run=_kl)

    warmup = commands.add_parser("warmup", help="compile all kernels into the cache, for instance in an image")
    warmup.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at once [1]")
    warmup.set_defaults(run=_warmup, json=None)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    grid_help = "N points from LO to HI, for each axis, separated by commas [chosen from TARGET]"
    parser.add_argument("--grid", metavar="LO:HI:N", type=_grid, help=grid_help)
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="write the result to a file; with -, only it to stdout",
    )
    columns = parser.add_argument_group("columns of files")
    columns.add_argument(
        "--x", metavar="COL", action="append", default=[], help="column of an axis; again for each other axis [x, y, z]"
    )
    values = columns.add_mutually_exclusive_group()
    values.add_argument("--p", dest="p_column", metavar="COL", help="column of densities [p]")
    values.add_argument("--logp", dest="logp_column", metavar="COL", help="column of log-densities [logp]")
    columns.add_argument("--floor", type=float, help="share of the largest density to which smaller ones are raised")
    columns.add_argument("--pseudocount", type=float, help="number added to every count of a histogram")
    columns.add_argument("--drop-nan", action="store_true", help="leave out rows in which a number is missing")


Range = tuple[float, float, int]


def _range(text: str) -> Range:
    parts = text.split(":")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"expected LO:HI:N, got {text!r}")
    try:
        return float(parts[0]), float(parts[1]), int(parts[2])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} in {text!r}") from None


def _support(text: str) -> tuple[float, float]:
    try:
        lower, upper = map(float, text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected A:B, such as 0:inf, got {text!r}") from None
    return lower, upper


def _base(text: str) -> float | None:
    """The base of a logarithm; None for e."""
    return None if text == "e" else float(text)


def _grid(text: str) -> Grid:
    lower, upper, n = zip(*map(_range, text.split(",")), strict=True)
    try:
        return Grid.uniform(lower, upper, n) if len(n) > 1 else Grid.uniform(lower[0], upper[0], n[0])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} in {text!r}") from None


def _read(arguments: argparse.Namespace, *texts: str, **options: Any) -> list[Target]:
    """The densities that *texts* name; the options of files go to those that are files, of which there must be one."""
    of_files = {
        "x": arguments.x,
        "p": arguments.p_column,
        "logp": arguments.logp_column,
        "floor": arguments.floor,
        "pseudocount": arguments.pseudocount,
        "drop_nan": arguments.drop_nan,
    }
    given = [name for name, value in of_files.items() if value not in ([], None, False)]
    if given and not (options.get("samples") or any(map(is_file, texts))):
        raise ValueError(f"--{given[0].replace('_', '-')} is for a file, got the formula {texts[0]!r}")
    return [read_target(text, **options, **(of_files if is_file(text) else {})) for text in texts]


def _account(text: str, target: Target) -> str:
    """The name of a target, with the number of rows of its file that were left out."""
    return f"{text}, {target.n_dropped} of {target.n_rows} rows dropped" if target.n_dropped else text


def _fit(arguments: argparse.Namespace) -> Report:
    if arguments.plot is not None:
        _need_matplotlib(arguments.plot)
    if arguments.target is None and arguments.samples is not None:
        raise ValueError("--samples needs a TARGET, the file that has this column")
    for option in ("support", "bandwidth"):
        if getattr(arguments, option) is not None and arguments.samples is None:
            raise ValueError(f"--{option} is that of the observations of --samples")
    if arguments.family == "mixture" and arguments.components is None:
        raise ValueError("--family mixture takes --components N, the number of its components")
    name = arguments.target or REFERENCE
    (read,) = _read(
        arguments,
        name,
        samples=arguments.samples,
        bandwidth="scott" if arguments.bandwidth is None else _bandwidth(arguments.bandwidth),
        grid=arguments.grid,
        support=arguments.support,
    )
    if arguments.family == "all":
        return _comparison(name, read, arguments)
    results, refused = _fits(read.density, arguments)
    grid = next(iter(results.values())).grid
    column = f", column {arguments.samples}" if arguments.samples else ""
    header = f"p     {_account(title(name) + column, read)}\ngrid  {_sides(read.density, grid)}"
    content = {
        "target": name,
        "samples": arguments.samples,
        "n_dropped": read.n_dropped,
        "results": [result.to_dict() for result in results.values()],
        "refused": refused,
    }
    if arguments.plot is not None:
        _save(fastkl.plot_fits(*results.values())[0].figure, arguments.plot)
    success = not refused and all(result.success for result in results.values())
    text = "\n\n".join([header, *map(str, results.values()), *_refusals(refused)])
    return Report(text, SUCCESS if success else NO_SUCCESS, content)


def _comparison(name: str, read: Target, arguments: argparse.Namespace) -> Report:
    """All families, ranked, in each direction that was asked for."""
    given = _given({"rtol": arguments.rtol, "mass_tol": arguments.mass_tol})
    found, refused = _in_directions(
        arguments,
        ("forward", "reverse"),
        lambda direction: fastkl.compare(read.density, None, arguments.grid, direction=direction, **given),
    )
    ranked = [f"{TITLE[direction]}\n{comparison}" for direction, comparison in found.items()]
    content = {
        "target": name,
        "n_dropped": read.n_dropped,
        "results": [result.to_dict() for comparison in found.values() for result in comparison],
        "refused": {**{direction: comparison.refused for direction, comparison in found.items()}, **refused},
    }
    if arguments.plot is not None:
        _save(next(iter(found.values())).plot().figure, arguments.plot)
    success = not refused and all(comparison.best.success for comparison in found.values())
    text = "\n\n".join([f"p     {_account(title(name), read)}", *ranked, *_refusals(refused)])
    return Report(text, SUCCESS if success else NO_SUCCESS, content)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def _refusals(refused: dict[Direction, str]) -> list[str]:
    return [f"{TITLE[direction]}\n  REFUSED: {reason}" for direction, reason in refused.items()]


def _in_directions(
    arguments: argparse.Namespace, both: tuple[Direction, ...], run: Callable[[Direction], T]
) -> tuple[dict[Direction, T], dict[Direction, str]]:
    """Results of *run* for the directions that were asked for, and the reasons why others are refused.

    Raises
    ------
    ValueError
        If all of them are refused.
    """
    found: dict[Direction, T] = {}
    refused: dict[Direction, str] = {}
    for direction in both if arguments.direction in (None, "both") else (arguments.direction,):
        try:
            found[direction] = run(direction)
        except ValueError as error:
            refused[direction] = _one_line(error)
    if not found:
        reasons = set(refused.values())
        each = [f"{direction}: {reason}" for direction, reason in refused.items()]
        raise ValueError("; ".join(each) if len(reasons) > 1 else reasons.pop())
    return found, refused


def _sides(target: Density, grid: Grid) -> str:
    """The numbers of points, or of the cells of a histogram, and the ends of each axis."""
    if isinstance(target, Histogram):
        return " x ".join(f"{line.size - 1} cells from {line[0]:.6g} to {line[-1]:.6g}" for line in target.edges)
    return " x ".join(f"{axis.n} points from {axis.lower:.6g} to {axis.upper:.6g}" for axis in grid._parts)


def _fits(target: Density, arguments: argparse.Namespace) -> tuple[dict[Direction, FitResult], dict[Direction, str]]:
    """The fits in the directions that were asked for, and the reasons why others are refused."""
    family = arguments.family or ("normal" if target.ndim == 1 else "multivariate_normal")
    both: tuple[Direction, ...] = ("forward",) if family == "mixture" else ("forward", "reverse")
    options = {
        "covariance_type": arguments.covariance_type,
        "n_components": arguments.components,
        "df": arguments.df,
        "rtol": arguments.rtol,
        "mass_tol": arguments.mass_tol,
    }
    given = _given(options)
    return _in_directions(
        arguments, both, lambda direction: fastkl.fit(target, family, arguments.grid, direction=direction, **given)
    )


def _surface(arguments: argparse.Namespace) -> Report:
    if arguments.plot is not None:
        _need_matplotlib(arguments.plot)
    (read,) = _read(arguments, arguments.target)
    target = read.density
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
        f"p         {_account(title(arguments.target), read)}",
        f"surface   {arguments.direction}, {loc[2]} means from {loc[0]:.6g} to {loc[1]:.6g}, "
        f"{n} standard deviations from {low:.6g} to {high:.6g}",
        f"lowest    {surface.divergence.min():.6g}",
        f"minima    {len(surface.minima)}",
        *(f"  {m.divergence:<12.6g}{short(m.q)}" for m in surface.minima),
    ]
    content = {
        "target": arguments.target,
        "n_dropped": read.n_dropped,
        "direction": arguments.direction,
        "loc": surface.loc,
        "scale": surface.scale,
        "divergence": surface.divergence,
        "minima": [{"q": parameters(m.q), "divergence": m.divergence} for m in surface.minima],
    }
    if arguments.plot is not None:
        _save(surface.plot().figure, arguments.plot)
    return Report("\n".join(lines), SUCCESS, plain(content))


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    try:
        write_whole(path, lambda path: figure.savefig(path, dpi=150))
    finally:
        pyplot.close(figure)


def _kl(arguments: argparse.Namespace) -> Report:
    p, q = _read(arguments, arguments.p, arguments.q)
    base = arguments.base
    result = fastkl.kl_divergence(p.density, q.density, arguments.grid, base=base, full_output=True)
    unit = NATS if base in (None, math.e) else UNITS.get(base, f"units of log({base:g})")
    lines = [
        f"KL(P||Q)      {result.value:.15g} {unit}",
        f"error         {result.error:.1e}",
        f"mass outside  {result.mass_outside_p:.1e} of P, {result.mass_outside_q:.1e} of Q",
        f"method        {result.method}, {result.n_evaluated} {'of them' if result.method == 'cells' else 'points'}",
    ]
    if result.first_infinite is not None:
        where = ", ".join(f"{x:.6g}" for x in np.atleast_1d(result.first_infinite))
        lines.append(f"infinite      Q is 0 where P is not, first at x = {where}")
    if result.pvalue is not None:
        lines.append(
            f"by chance     {result.expected_by_chance:.3g} expected if one law filled both, p = {result.pvalue:.3g}"
        )
    for name, read in (("P", p), ("Q", q)):
        if read.n_dropped:
            lines.append(f"dropped       {read.n_dropped} of {read.n_rows} rows of {name}")
    content = {"p": arguments.p, "q": arguments.q, "base": base, **vars(result)}
    return Report("\n".join(lines), SUCCESS, {**content, "n_dropped": [p.n_dropped, q.n_dropped]})


def _warmup(arguments: argparse.Namespace) -> Report:
    from fastkl.warmup import warm_up

    return Report(f"{warm_up(arguments.jobs)} tasks are compiled, and so is all that they use", SUCCESS)


def _bandwidth(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _need_matplotlib(path: Path) -> None:
    """Fail before the work, not after it, if matplotlib is missing or cannot write *path*."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--plot needs matplotlib: pip install 'fastkl[plot]'") from None
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise ValueError(f"--plot cannot write {path.name!r}: expected a name that ends in {', '.join(sorted(known))}")


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
