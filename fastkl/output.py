"""Output of the command line: JSON text, and files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastkl.densities.dictionaries import plain


def json_text(content: Any) -> str:
    """JSON text; inf and NaN, which JSON lacks, become the strings that float() reads."""
    return json.dumps(plain(content), indent=2, allow_nan=False) + "\n"


def require_folder(path: Path) -> None:
    """Fail before the work, not after it, if *path* cannot be written."""
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")


def write_whole(path: Path, save: Callable[[Path], Any]) -> None:
    """Let *save* write a temporary file beside *path*, and put it in its place when it is complete.

    A link is followed. A pipe or a device, which is no regular file, is written to directly.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        save(path)
        return
    mode = path.stat().st_mode if path.exists() else 0o666 & ~_umask()
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            save(temporary)
            temporary.chmod(mode)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
