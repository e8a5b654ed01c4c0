"""A disk cache for compiled kernels that is never stale, never wrong and never in the way.

Numba's own cache looks at one source file for each kernel, keeps an index and the code that it refers to in two
files, and runs whatever it finds there. Here

- a stamp covers every source file that compiled code can hold, since a kernel inlines functions of other files;
- a file holds the code for one signature and one processor, its name says which, and it appears by one rename: there
  is no index that two processes could write at once;
- a file begins with the digest of its content, so that one that was cut short or damaged is seen, deleted, and compiled
  again: cached code with a flipped bit may crash or, worse, compute something else;
- cached code is code that is run, so a folder that others can write is refused, and so is a file that another user
  owns. The current user and root are trusted: an image that was built by root stays warm.

The first folder that can be written takes new code; code is looked for in all of them: next to the source files, and
in the user's own cache. ``NUMBA_CACHE_DIR`` names another folder, which is the only one then. A cache is a convenience:
where no folder can be written, everything is compiled in every process.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import inspect
import os
import pickle
import stat
import sys
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import caching, compiler, config
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

_PACKAGE = Path(__file__).resolve().parent.parent
_INLINED = ("jit", "elementary", "kernels", "families")

DIGEST_SIZE = 32
"""Bytes of a digest, at the head of a file."""

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)
"""Errors of a folder that takes no files; then the next one is taken."""


def _source_stamp() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for folder in _INLINED:
        for path in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCE_STAMP = _source_stamp()
"""A digest of the compilers' versions and of every source file that compiled code can hold, as it was when imported."""


class KernelCache(caching.NullCache):  # type: ignore[misc]  # Numba's classes count as Any
    """The compiled code of one function, in a file for each signature and processor.

    Numba 0.61 to 0.68 ask a cache for `load_overload` and `save_overload`; taken from Numba are its folders
    (`numba.core.caching`) and the way to make a compile result of what can be pickled, and back.
    """

    def __init__(self, py_func: Any) -> None:
        self.py_func = py_func

    @functools.cached_property
    def enabled(self) -> bool:
        """Whether code is read and written: not if the function's source is in no file, as in a notebook or a zip."""
        return Path(inspect.getfile(self.py_func)).is_file()

    @functools.cached_property
    def folders(self) -> list[Path]:
        """Folders in which code may lie, whether they exist or not, by preference."""
        kinds = [caching.UserProvidedCacheLocator] if config.CACHE_DIR else [
            caching.InTreeCacheLocator, caching.UserWideCacheLocator
        ]  # fmt: skip
        return [Path(kind(self.py_func, inspect.getfile(self.py_func)).get_cache_path()) for kind in kinds]

    @functools.cached_property
    def base(self) -> str:
        """The beginning of the names of all files of this function: its name, its place, and Python's version."""
        code, version = self.py_func.__code__, "".join(map(str, sys.version_info[:2]))
        name = f"{Path(code.co_filename).stem}.{self.py_func.__qualname__}".replace("<", "").replace(">", "")
        return f"{name}-{code.co_firstlineno}.py{version}{getattr(sys, 'abiflags', '')}"

    @functools.cached_property
    def stamp(self) -> str:
        """A digest of all sources: of the package, and of the function's own file, which may lie outside."""
        own = hashlib.sha256(Path(inspect.getfile(self.py_func)).read_bytes()).hexdigest()
        return hashlib.sha256(f"{own} {SOURCE_STAMP}".encode()).hexdigest()[:16]

    @property
    def cache_path(self) -> str:
        """The folder that code is kept in if it can be."""
        return str(self.folders[0])

    def disable(self) -> None:
        """Neither read nor write from now on."""
        self.enabled = False

    def flush(self) -> None:
        """Delete the code of this function."""
        for folder in self.folders:
            _delete(folder.glob(f"{glob.escape(self.base)}.*.nbc"))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for *sig*, or None."""
        if not self.enabled:
            return None
        target_context.refresh()
        name = self._name(sig, target_context.codegen())
        for folder in self.folders:
            content = _content(folder / name)
            if content is not None:
                try:
                    return compiler.CompileResult._rebuild(target_context, *pickle.loads(content))
                except (AttributeError, ImportError):  # a class that it was compiled for is not there any more
                    _delete([folder / name])
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled code for the next process, and delete what older sources were compiled to."""
        if not self.enabled or data.library.has_dynamic_globals or any(not part.can_cache for part in data.lifted):
            return
        name, content = self._name(sig, data.codegen), dumps(data._reduce())
        for folder in self.folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if _is_refused(folder):
                    continue
                _write(folder / name, content)
            except OSError as error:
                if error.errno in NOT_WRITABLE:
                    continue
                self.disable()
                _warn(
                    f"compiled kernels cannot be kept in {folder} ({error}), so every process compiles them again; "
                    "NUMBA_CACHE_DIR names another folder"
                )
            else:
                older = folder.glob(f"{glob.escape(self.base)}.*.nb[ci]")
                _delete(path for path in older if not path.name.startswith(f"{self.base}.{self.stamp}."))
            return

    def _name(self, sig: Any, codegen: Any) -> str:
        """The name of the file for a signature and the processor that code is made for."""
        cells = tuple(cell.cell_contents for cell in self.py_func.__closure__ or ())
        code = hashlib.sha256(self.py_func.__code__.co_code + dumps(cells)).hexdigest()
        key = hashlib.sha256(repr((sig, codegen.magic_tuple(), code)).encode()).hexdigest()[:16]
        return f"{self.base}.{self.stamp}.{key}.nbc"


def _content(path: Path) -> bytes | None:
    """The content of a file of the cache; None if there is no file that can be trusted."""
    if not path.parent.is_dir() or _is_refused(path.parent):
        return None
    try:
        with open(path, "rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            if owner not in _trusted():
                _warn(f"{path} belongs to user {owner}, so its code is not run, and its kernel is compiled again")
                return None
            whole = file.read()
    except OSError:
        return None
    digest, content = whole[:DIGEST_SIZE], whole[DIGEST_SIZE:]
    if hashlib.sha256(content).digest() == digest:
        return content
    _warn(f"{path} was damaged; it is deleted, and its kernel is compiled again")
    _delete([path])
    return None


def _write(path: Path, content: bytes) -> None:
    """Let a file appear whole, or not at all."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    except BaseException:
        _delete([temporary])
        raise


def _delete(paths: Iterable[Path]) -> None:
    """Delete files that may be gone, or belong to somebody else."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


@functools.cache
def _is_refused(folder: Path) -> bool:
    """Whether code in a folder may be somebody else's; says so once."""
    reason = _danger(folder)
    if reason:
        _warn(
            f"compiled kernels are neither kept in {folder} nor taken from it, since {reason}, or let NUMBA_CACHE_DIR "
            "name another folder"
        )
    return bool(reason)


def _danger(folder: Path) -> str:
    """The reason why others could put code into a folder, and a remedy; empty if they cannot."""
    if not hasattr(os, "geteuid"):
        return ""  # Windows keeps the folders of a user to itself
    info = folder.stat()
    if info.st_uid not in _trusted():
        return f"it belongs to user {info.st_uid}: delete it"
    if info.st_mode & stat.S_ISVTX:
        return ""  # everybody's files are their own there, and a file's owner is looked at
    if info.st_mode & stat.S_IWOTH:
        return "everybody can write there: run 'chmod o-w' on it"
    if info.st_mode & stat.S_IWGRP and info.st_gid not in (0, os.getegid()):
        return f"group {info.st_gid} can write there: run 'chmod g-w' on it"
    return ""


def _trusted() -> tuple[int, ...]:
    """The owners whose code is run."""
    return (0, os.geteuid()) if hasattr(os, "geteuid") else (0,)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def cached(compiled: Any) -> Any:
    """Attach the disk cache to a compiled function."""
    if isinstance(compiled, Dispatcher | CFunc):  # with the JIT switched off it is the plain function
        setattr(compiled, "_cache", KernelCache(inspect.unwrap(compiled)))  # noqa: B010  # Numba has no public way
    return compiled
