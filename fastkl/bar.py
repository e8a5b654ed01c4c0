"""The progress bar of long calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fastkl.jit import progress as reporting
from fastkl.validation import as_real

DELAY = 1.0
"""Seconds of work after which a progress bar appears."""


@contextlib.contextmanager
def progress(*, delay: float = DELAY, **options: Any) -> Iterator[None]:
    """A context in which long calls show a progress bar.

    The bar shows how much of a pass over the grid is done, and counts the passes: a divergence takes one or a few, a
    fit tens. A fit of every row of a batch shows the rows that are done, how many a second, and the time left. The bar
    appears when the context has lasted `delay` seconds, and is cleared at its end.

    Parameters
    ----------
    delay : float, default 1.0
        Seconds before the bar appears, >= 0.
    **options
        Options of `tqdm.tqdm`: by default the bar is written to ``sys.stderr``, also where that is no terminal, such as
        in a notebook; ``disable=None`` writes it to a terminal only, ``file=`` elsewhere, and ``leave=True`` keeps it.

    Notes
    -----
    The calls of the thread that enters the context are shown. A context in another one takes its place.

    Examples
    --------
    >>> import fastkl
    >>> p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    >>> with fastkl.progress():
    ...     result = fastkl.fit(p, "normal", direction="reverse")  # a few milliseconds: no bar
    """
    if as_real(delay, "delay") < 0.0:
        raise ValueError(f"delay must be >= 0, got {delay!r}")
    from tqdm import tqdm

    settings = {"unit": "point", "unit_scale": True, "leave": False, "miniters": 1, "delay": delay, **options}
    with tqdm(total=0, **settings) as bar:
        passes = seen = length = 0

        def report(done: int, size: int, unit: str = "point") -> None:
            nonlocal passes, seen, length
            if seen == length or size != length or done < seen:  # another pass has begun
                passes, seen, length = passes + 1, 0, size
                bar.n = bar.last_print_n = 0
                bar.total = size
                bar.unit = options.get("unit", unit)
                bar.set_description_str("fits" if unit == "row" else f"pass {passes}", refresh=False)
            bar.update(done - seen)
            seen = done

        with reporting(report):
            yield
