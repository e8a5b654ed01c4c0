"""A disk cache for compiled kernels that is never stale and never in the way.

Numba's own cache looks at one source file for each kernel. A fastkl kernel inlines functions of
other files, so its stamp here covers every source file that can end up inside a kernel. Numba also
raises when no cache folder is writable, or when a cache file is cut short; a cache is a convenience,
so here both mean "compile again".
"""

from __future__ import annotations

import functools
import glob
import hashlib
import inspect
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher

_PACKAGE = Path(__file__).resolve().parent.parent
_INLINED = ("jit", "elementary", "kernels")

# What unpickling raises for a file that was cut short, overwritten or locked away.
_UNREADABLE = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    AttributeError,
    ImportError,
    IndexError,
    ValueError,
    TypeError,
    MemoryError,
    OverflowError,
    RecursionError,
)


def _source_stamp() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for room in _INLINED:
        for path in sorted((_PACKAGE / room).glob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCE_STAMP = _source_stamp()
"""A digest of Numba's version and of every source file that compiled code can hold, as it was when imported."""


class KernelCache(NullCache):  # type: ignore[misc]  # Numba's classes count as Any
    """Numba's function cache in files named after the stamp, opened when first needed.

    Numba writes the index first and the code after it, into a file that may hold older code. With the
    stamp in the names, neither a process that dies in between nor a full disk can pair the two.
    """

    def __init__(self, py_func: Any) -> None:
        self.py_func = py_func

    @functools.cached_property
    def folder(self) -> FunctionCache | NullCache:
        """The cache on disk, or one that keeps nothing where no folder is writable."""
        try:
            cache = FunctionCache(self.py_func)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return NullCache()
        # the stamp of the function's own file matters for kernels that are defined outside the package
        own = cache._impl.locator.get_source_stamp()
        stamp = hashlib.sha256(f"{own!r} {SOURCE_STAMP}".encode()).hexdigest()[:16]
        cache._cache_file = IndexDataCacheFile(cache.cache_path, f"{cache._impl.filename_base}.{stamp}", stamp)
        return cache

    @property
    def cache_path(self) -> str | None:
        """Where the code is kept; None if nowhere."""
        return self.folder.cache_path  # type: ignore[no-any-return]

    def flush(self) -> None:
        """Forget all that is kept."""
        self.folder.flush()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for *sig*, or None; a damaged file is dropped and counts as None."""
        try:
            return self.folder.load_overload(sig, target_context)
        except _UNREADABLE:
            self._unless_refused(self.flush)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled code for the next process, if the folder takes it, and drop older versions of it."""

        def save() -> None:
            self.folder.save_overload(sig, data)
            if isinstance(self.folder, FunctionCache):
                _drop_older(Path(self.folder.cache_path), self.folder._impl.filename_base, self.folder._cache_file)

        self._unless_refused(save)

    def _unless_refused(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.folder.disable()
            warnings.warn(
                f"compiled kernels cannot be kept in {self.cache_path} ({error}), so every process "
                "compiles them again; NUMBA_CACHE_DIR names another folder",
                RuntimeWarning,
                stacklevel=2,
            )


def _drop_older(folder: Path, base: str, current: IndexDataCacheFile) -> None:
    """Remove the files of the same function under other stamps."""
    for path in folder.glob(f"{glob.escape(base)}.*.nb[ci]"):
        if not path.name.startswith(f"{base}.{current._source_stamp}."):
            path.unlink(missing_ok=True)


def cached(compiled: Any) -> Any:
    """Attach the disk cache to a compiled function."""
    if isinstance(compiled, Dispatcher | CFunc):  # with the JIT switched off it is the plain function
        setattr(compiled, "_cache", KernelCache(inspect.unwrap(compiled)))  # noqa: B010  # Numba has no public way
    return compiled
