"""The recorded history: whose figures they are, how much room they take, and that a browser draws them."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

asv = pytest.importorskip("asv", reason="asv is not installed")

from bench import history  # noqa: E402

pytestmark = pytest.mark.study

ROOT = history.ROOT
LIBRARIES = {
    "jquery-3.3.1.min.js": ("jquery@3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot@0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot@0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot@0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot@0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars@1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin@1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5@2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap@3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap@3.1.1", "dist/css/bootstrap.min.css"),
}
"""What asv's pages load from the internet: packages of the npm registry, and files in them."""
LARGEST = 5_000_000
"""Bytes of the history."""

RECORDED = sorted(history.RESULTS.glob("*/*-*.json"))


def known_commits() -> set[str]:
    try:
        return set(history.git("rev-list", "HEAD"))
    except (OSError, subprocess.CalledProcessError):
        return set()


def test_it_is_small_and_holds_no_samples() -> None:
    assert sum(path.stat().st_size for path in history.RESULTS.rglob("*")) < LARGEST
    for path in RECORDED:
        recorded = json.loads(path.read_text())
        assert recorded["params"]["machine"] == path.parent.name == history.MACHINE


def test_every_version_up_to_the_newest_one_is_in_it() -> None:
    known = known_commits()
    if not known or (ROOT / ".git" / "shallow").exists():
        pytest.skip("the commits are not at hand: no repository, or a shallow one")
    recorded = {json.loads(path.read_text())["commit_hash"] for path in RECORDED}
    assert recorded <= known
    have = [bool(recorded & set(same)) for same in history.packages()]
    newest = len(have) - have[::-1].index(True)
    assert all(have[:newest]), "run 'python -m bench.history' and commit what it adds"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, with the libraries that it needs beside it."""
    npm = shutil.which("npm")
    if npm is None or not known_commits() or (ROOT / ".git" / "shallow").exists():
        pytest.skip("npm, or a repository with all its commits, is missing")
    folder = tmp_path_factory.mktemp("site")
    settings = json.loads((ROOT / "asv.conf.json").read_text())
    settings |= {"repo": str(ROOT), "branches": ["HEAD"], "html_dir": str(folder / "html")}
    settings |= {key: str(ROOT / settings[key]) for key in ("benchmark_dir", "results_dir")}
    (folder / "asv.conf.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "asv", "--config", str(folder / "asv.conf.json"), "publish", "--no-pull"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    versions = (folder / "html" / "commits.html").read_text(encoding="utf-8")
    assert all(f'id="{commit}"' in versions for commit in known_commits())
    names = sorted({package for package, _ in LIBRARIES.values()})
    fetched = subprocess.run([npm, "pack", "--silent", *names], cwd=folder, capture_output=True, text=True, timeout=120)
    if fetched.returncode:
        pytest.skip(f"npm cannot fetch the libraries: {fetched.stderr[-300:]}")
    for local, (package, inside) in LIBRARIES.items():
        with tarfile.open(folder / (package.replace("@", "-") + ".tgz")) as archive:
            file = archive.extractfile(f"package/{inside}")
            assert file is not None
            (folder / "html" / local).write_bytes(file.read())
    index = folder / "html" / "index.html"
    text = re.sub(r'https://[^"]*/([^/"]+\.(?:js|css))"', r'\1"', index.read_text())
    index.write_text(re.sub(r' (?:integrity|crossorigin|referrerpolicy)="[^"]*"', "", text))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder / "html"))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_browser_draws_a_graph_of_each_class(site: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    results = [json.loads(path.read_text())["results"] for path in RECORDED]
    names = {name.rpartition(".")[0]: name for found in results for name in found}
    assert len(names) >= 5
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", "--virtual-time-budget=20000", f"--user-data-dir={tmp_path}", "--dump-dom",
    ]  # fmt: skip
    for cls, name in names.items():
        page = subprocess.run(
            [chromium, *flags, f"{site}index.html#{name}"], capture_output=True, text=True, timeout=120
        ).stdout
        assert 'class="flot-base"' in page, cls
        assert len(re.findall('class="flot-tick-label', page)) > 2, cls
        assert name in page, cls
