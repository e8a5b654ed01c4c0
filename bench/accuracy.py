"""The worst errors of the elementary functions against mpmath: ``python -m bench.accuracy [POINTS]``."""

from __future__ import annotations

import argparse

import numpy as np

from tests import elementwise, naive
from tests.strata import STRATA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=int, nargs="?", default=200_000, help="points in each stratum")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the points")
    arguments = parser.parse_args()
    n = arguments.points // (100 if arguments.quick else 1)
    rng = np.random.default_rng(20260101)

    print(f"largest error in ulp, {n} points in each row\n")
    print(f"{'':15}{'log_ratio':>12}{'p log_ratio':>13}{'kl_term':>10}")
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
        print(f"{stratum.__name__:15}{worst[0]:12.3f}{worst[1]:13.3f}{worst[2]:10.3f}")

    x = np.concatenate([rng.uniform(-746, 710, n), rng.uniform(-1, 1, n), rng.uniform(-746, -708, n)])
    print(f"\nexp  {max(map(naive.ulps, elementwise.exp(x), map(naive.exp, x))):.3f}")
    log_p, log_q = rng.uniform(-30, 3, n), rng.uniform(-30, 3, n)
    log_q = np.where(rng.random(n) < 0.5, log_q, log_p + rng.choice([-1, 1], n) * 10 ** rng.uniform(-9, 0, n))
    terms = elementwise.kl_term_of_logs(log_p, log_q)[:, 0]
    errors = [naive.relative(t, naive.kl_term_of_logs(a, b)) for t, a, b in zip(terms, log_p, log_q, strict=True)]
    print(f"kl_term_of_logs, relative error in units of 2**-53: {max(errors) * 2**53:.1f}")


if __name__ == "__main__":
    main()
