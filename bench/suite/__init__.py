"""The asv suite: ``asv run``, or ``asv run --quick --python=same``.

Absolute times mean little on a shared machine, so every claim is a ``track_`` ratio to something that is
timed in the same run: see `blocks`.
"""
