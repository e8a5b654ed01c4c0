"""The disk cache of compiled kernels: used when it can be, never stale, never in the way."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fastkl.jit import JIT_DISABLED
from tests.processes import ROOT, run_python

pytestmark = [pytest.mark.cold, pytest.mark.skipif(JIT_DISABLED, reason="needs compiled code")]

P, Q = np.linspace(1.0, 2.0, 100), np.linspace(2.0, 1.0, 100)
VALUE = float(np.sum(P * np.log(P / Q) - P + Q))
EDITED_VALUE = 7.0 * float(P.sum())

INLINED = Path("fastkl", "elementary", "fast_terms.py")

COMPUTE = """
import json, warnings
import numpy as np
from fastkl.kernels.sums import kl_sums

def computed():
    p, q = np.linspace(1.0, 2.0, 100), np.linspace(2.0, 1.0, 100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = float(kl_sums.total(100, p, q)[0])
    stats = kl_sums.tile_function.stats
    return value, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), [str(w.message) for w in caught]
"""
REPORT = "print(json.dumps(computed()))"

ANOTHER_TERM = """

@scalar
def fast_kl_term(p, q):
    return 7.0 * p
"""

NO_SPACE = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
"""

DIES_WHILE_WRITING = """
import os, resource, signal

child = os.fork()
if child == 0:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # kills where a file grows too long
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
    computed()
    os._exit(0)
print(os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGXFSZ)
"""

DRIVE = """
import json
import numpy as np
from fastkl.jit import TILE
from fastkl.kernels.sums import kl_sums

driver, size = kl_sums.{driver}, 3 * TILE
driver(np.zeros((3, kl_sums.outputs)), 0, 3, size, TILE, 0, (np.ones(size), np.ones(size)))
print(json.dumps([sum(d.stats.cache_misses.values()) for d in (driver, kl_sums.tile_function)]))
"""


class Run(NamedTuple):
    """What one process computed, and how often it found its code in the cache."""

    value: float
    hits: int
    misses: int
    warnings: list[str]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of fastkl that was never compiled."""
    shutil.copytree(ROOT / "fastkl", tmp_path / "fastkl", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture(scope="module")
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    shutil.copytree(ROOT / "fastkl", folder / "fastkl", ignore=shutil.ignore_patterns("__pycache__"))
    run(folder)
    return folder


@pytest.fixture
def compiled_package(_compiled_once: Path, tmp_path: Path) -> Path:
    """A folder with a copy of fastkl and of its filled cache."""
    shutil.copytree(_compiled_once / "fastkl", tmp_path / "fastkl")
    return tmp_path


def run(package: Path, code: str = COMPUTE + REPORT, **env: str | None) -> Run:
    return Run(*json.loads(run_python(code, **{"PYTHONPATH": str(package), "NUMBA_CACHE_DIR": None, **env})))


def edit(package: Path) -> None:
    """Change a function that the kernel inlines from another file."""
    with open(package / INLINED, "a") as file:
        file.write(ANOTHER_TERM)


def kept(package: Path) -> Path:
    """The one file with compiled code."""
    (path,) = (package / "fastkl" / "kernels" / "__pycache__").glob("*kl_sums-*.nbc")
    return path


def test_the_second_process_compiles_nothing(package: Path) -> None:
    first, second = run(package), run(package)
    assert (first.hits, first.misses, first.warnings) == (0, 1, [])
    assert (second.hits, second.misses, second.warnings) == (1, 0, [])
    assert first.value == second.value == pytest.approx(VALUE, rel=1e-12)


@pytest.mark.parametrize("driver", ["serial", "parallel"])
def test_a_driver_is_kept_as_well(package: Path, driver: str) -> None:
    first, second = (
        json.loads(run_python(DRIVE.format(driver=driver), PYTHONPATH=str(package), NUMBA_CACHE_DIR=None))
        for _ in range(2)
    )
    assert first == [1, 1]
    assert sum(second) == 0


def test_an_edit_of_an_inlined_function_is_compiled(compiled_package: Path) -> None:
    assert run(compiled_package) == (pytest.approx(VALUE, rel=1e-12), 1, 0, [])
    edit(compiled_package)
    assert run(compiled_package) == (pytest.approx(EDITED_VALUE, rel=1e-12), 0, 1, [])
    assert run(compiled_package) == (pytest.approx(EDITED_VALUE, rel=1e-12), 1, 0, [])


def test_an_edit_after_the_import_is_compiled_by_the_next_process(package: Path) -> None:
    edit_in_process = f"open({str(package / INLINED)!r}, 'a').write({ANOTHER_TERM!r})\n"
    assert run(package, COMPUTE + edit_in_process + REPORT).value == pytest.approx(VALUE, rel=1e-12)
    assert run(package).value == pytest.approx(EDITED_VALUE, rel=1e-12)


def test_without_a_writable_folder_everything_is_computed_in_silence(package: Path) -> None:
    file = package / "file"
    file.touch()
    for room in (package / "fastkl").iterdir():
        if room.is_dir():
            (room / "__pycache__").touch()  # no folder can be made here, not even by root
    below = {"HOME": f"{file}/home", "USERPROFILE": f"{file}/home", "XDG_CACHE_HOME": None, "LOCALAPPDATA": None}
    for cache_dir in (None, f"{file}/cache"):
        done = run(package, NUMBA_CACHE_DIR=cache_dir, **below)
        assert done == (pytest.approx(VALUE, rel=1e-12), 0, 1, [])


def test_a_full_disk_is_a_warning_that_names_the_folder(package: Path) -> None:
    pytest.importorskip("resource", reason="needs limits on file sizes")
    done = run(package, COMPUTE + NO_SPACE + REPORT)
    assert done.value == pytest.approx(VALUE, rel=1e-12)
    assert [str(package) in warning and "NUMBA_CACHE_DIR" in warning for warning in done.warnings] == [True]
    assert run(package)[1:] == (0, 1, [])
    assert run(package)[1:] == (1, 0, [])


def test_code_that_could_not_be_replaced_is_not_used(compiled_package: Path) -> None:
    pytest.importorskip("resource", reason="needs limits on file sizes")
    edit(compiled_package)
    assert run(compiled_package, COMPUTE + NO_SPACE + REPORT).value == pytest.approx(EDITED_VALUE, rel=1e-12)
    assert run(compiled_package).value == pytest.approx(EDITED_VALUE, rel=1e-12)


def test_old_code_is_not_used_after_a_process_died_while_replacing_it(compiled_package: Path) -> None:
    pytest.importorskip("resource", reason="needs limits on file sizes")
    edit(compiled_package)
    died = run_python(COMPUTE + DIES_WHILE_WRITING, PYTHONPATH=str(compiled_package), NUMBA_CACHE_DIR=None)
    assert died.strip() == "True"
    assert run(compiled_package).value == pytest.approx(EDITED_VALUE, rel=1e-12)


def test_a_file_that_was_lost_is_a_miss(compiled_package: Path) -> None:
    kept(compiled_package).unlink()
    assert run(compiled_package) == (pytest.approx(VALUE, rel=1e-12), 0, 1, [])
    assert run(compiled_package)[1:] == (1, 0, [])


DAMAGES = {
    "empty": lambda whole: b"",
    "cut short": lambda whole: whole[: len(whole) // 2],
    "a bit of the digest": lambda whole: bytes([whole[0] ^ 1]) + whole[1:],
    "a bit of the code": lambda whole: whole[:-5000] + bytes([whole[-5000] ^ 16]) + whole[-4999:],
    "code of another file": lambda whole: whole[:32] + pickle.dumps("something else"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_deleted_and_its_kernel_compiled_again(compiled_package: Path, damage: str) -> None:
    path = kept(compiled_package)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    done = run(compiled_package)
    assert done[:3] == (pytest.approx(VALUE, rel=1e-12), 0, 1)
    assert [f"{path} was damaged" in warning for warning in done.warnings] == [True]
    assert run(compiled_package)[1:] == (1, 0, [])


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files to others"
)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no such permissions")
def test_a_folder_that_everybody_can_write_is_refused(compiled_package: Path) -> None:
    folder = kept(compiled_package).parent
    folder.chmod(0o777)
    home = compiled_package / "file"
    home.touch()  # so that nothing can be kept in the user's own cache
    for _ in range(2):
        done = run(compiled_package, HOME=str(home), XDG_CACHE_HOME=None)
        assert done[:3] == (pytest.approx(VALUE, rel=1e-12), 0, 1)
        assert all(f"{folder} nor taken from it, since everybody" in warning for warning in done.warnings)
        assert len(done.warnings) == 1
    folder.chmod(0o1777)  # a sticky folder keeps the files of each user apart
    assert run(compiled_package)[1:] == (1, 0, [])


@needs_root
@pytest.mark.parametrize("gid", [0, 12345])
def test_a_folder_that_a_group_can_write_is_refused_unless_it_is_the_users_own(
    compiled_package: Path, gid: int
) -> None:
    folder = kept(compiled_package).parent
    folder.chmod(0o775)
    os.chown(folder, -1, gid)
    home = compiled_package / "file"
    home.touch()
    done = run(compiled_package, HOME=str(home), XDG_CACHE_HOME=None)
    assert done[1:3] == ((0, 1) if gid else (1, 0))
    assert ["group 12345 can write there" in warning for warning in done.warnings] == [True] * bool(gid)


@needs_root
def test_a_file_of_another_user_is_not_run(compiled_package: Path) -> None:
    path = kept(compiled_package)
    os.chown(path, 12345, -1)
    done = run(compiled_package)
    assert done[1:3] == (0, 1)
    assert [f"{path} belongs to user 12345" in warning for warning in done.warnings] == [True]


@needs_root
def test_another_user_runs_warm_what_root_has_compiled(compiled_package: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(compiled_package / "fastkl", Path(folder, "fastkl"))
        # Python itself may be root's alone, so what is imported is imported before
        become = "import os\nkl_sums.total(9, *np.ones((2, 9), 'f4'))\nos.setgid(12345)\nos.setuid(12345)\n"
        assert run(Path(folder), COMPUTE + become + REPORT, HOME="/nowhere")[1:] == (1, 1, [])


def test_many_processes_at_once_leave_the_right_code(package: Path) -> None:
    both = COMPUTE.replace("p, q = np", "kl_sums.total(9, *np.ones((2, 9), np.float32))\n    p, q = np") + REPORT
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda code: run(package, code), [both, COMPUTE + REPORT] * 2):
            assert done.value == pytest.approx(VALUE, rel=1e-12)
    assert run(package, both) == (pytest.approx(VALUE, rel=1e-12), 2, 0, [])
    assert list((package / "fastkl").rglob("*.tmp")) == []


CLOSURES = """
import sys
sys.path.insert(0, {folder!r})
import made
print(*(made.adder(n)(np.zeros(1)) for n in (1.0, 2.0)))
"""


def test_functions_that_differ_in_what_they_enclose_do_not_share_code(package: Path) -> None:
    source = """
import numpy as np
from fastkl.jit import tiled

def adder(n):
    @tiled(outputs=1)
    def add(partial, start, stop, x):
        partial[0] = x[0] + n
    return lambda x: float(add.total(1, x)[0])
"""
    (package / "made.py").write_text(source)
    code = "import numpy as np\n" + CLOSURES.format(folder=str(package))
    for _ in range(2):
        printed = run_python(code, PYTHONPATH=str(package), NUMBA_CACHE_DIR=None)
        assert printed.split() == ["1.0", "2.0"]


def test_a_function_without_a_file_is_compiled_and_not_kept(package: Path) -> None:
    code = """
import numpy as np
from fastkl.jit import tiled

@tiled(outputs=1)
def first(partial, start, stop, x):
    partial[0] = x[0]

print(first.total(1, np.ones(1))[0])
"""
    assert run_python(code, PYTHONPATH=str(package), NUMBA_CACHE_DIR=None).strip() == "1.0"
