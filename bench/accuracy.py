"""The worst errors of the elementary functions against mpmath, for ``docs/definitions.md``.

``python -m bench.accuracy [POINTS]`` writes them there; with ``--quick`` it prints those of a few points.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.pages import write_part
from tests import elementwise, naive
from tests.strata import STRATA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=int, nargs="?", default=100_000, help="points in each stratum")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the points")
    arguments = parser.parse_args()
    n = arguments.points // (100 if arguments.quick else 1)
    rng = np.random.default_rng(20260101)

    lines = ["| sample of (p, q) | log_ratio | p * log_ratio | kl_term |", "|---|---|---|---|"]
    for stratum in STRATA:
        p, q = stratum(rng, n)
        logs, terms = elementwise.log_ratio(p, q), elementwise.kl_term(p, q)
        with np.errstate(over="ignore"):  # at the ends of the range the product is inf, as it should be
            products = p * logs
        worst = [
            max(map(naive.ulps, logs, map(naive.log_ratio, p, q))),
            max(map(naive.ulps, products, map(naive.p_log_ratio, p, q))),
            max(map(naive.ulps, terms, map(naive.kl_term, p, q))),
        ]
        lines.append(f"| {stratum.__name__.replace('_', ' ')} | " + " | ".join(f"{w:.2f}" for w in worst) + " |")
    text = "\n".join(lines) + f"\n\n{_other_functions(rng, n)} Each figure is the worst of {n} points."
    print(text)
    if not arguments.quick:
        write_part("definitions.md", "accuracy", text)


def _other_functions(rng: np.random.Generator, n: int) -> str:
    x = np.concatenate([rng.uniform(-746, 710, n), rng.uniform(-1, 1, n), rng.uniform(-746, -708, n)])
    exp = max(map(naive.ulps, elementwise.exp(x), map(naive.exp, x)))
    log_p, log_q = rng.uniform(-30, 3, n), rng.uniform(-30, 3, n)
    log_q = np.where(rng.random(n) < 0.5, log_q, log_p + rng.choice([-1, 1], n) * 10 ** rng.uniform(-9, 0, n))
    terms = elementwise.kl_term_of_logs(log_p, log_q)[:, 0]
    errors = map(naive.relative, terms, map(naive.kl_term_of_logs, log_p, log_q))
    q = rng.random(n) + 1e-6
    ordinary = []
    for p in (q * (1 + rng.choice([-1, 1], n) * 10 ** rng.uniform(-15, -0.6, n)), q * np.exp(rng.uniform(-9, 9, n))):
        ordinary.append(max(map(naive.ulps, elementwise.fast_kl_term(p, q), map(naive.kl_term, p, q))))
    return (
        f"The short KL term that sums use: {ordinary[0]:.2f} ulp for p within a quarter of q, {ordinary[1]:.2f} for "
        "any p. "
        f"exp: {exp:.2f} ulp, subnormal results included. The term from two log-densities: a relative error of "
        f"{max(errors):.1e}."
    )


if __name__ == "__main__":
    main()
