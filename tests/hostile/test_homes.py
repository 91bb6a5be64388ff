"""What a job plants in its home, or in the operator's, reaches no later job.

Attack: a job writes ``~/.netrc``, ``~/.config/matplotlib/matplotlibrc``, a
`usercustomize` or a ``.pth`` file; an operator's home has some already. Promise: a
job's home is its own folder; the fork server has one where no job has been; downloads
and the operator's credentials stay where they are, by variables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.homes import DOWNLOAD_DIR, KEPT, link_downloads, outside_of_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

GRAPH = """
tasks:
  act:
    plugin: odd.tasks.act
    outputs: {value: any}
graph:
  acting: {act: []}
"""
SHOW = """
import json, os, site, sys
from pathlib import Path
from dioptra import pyplugs

@pyplugs.register
def act():
    found = {
        "home": str(Path.home()),
        "here": os.getcwd(),
        "environment": dict(os.environ),
        "planted": [str(p) for p in Path.home().rglob("*netrc")],
        "user_site": site.ENABLE_USER_SITE,
        "executed": "usercustomize" in sys.modules or "planted_by_pth" in sys.modules,
    }
    Path("~/.netrc").expanduser().write_text("machine x login y password z")
    print("FOUND " + json.dumps(found))
"""


@pytest.fixture(name="show", params=["fork", "spawn"])
def _show(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """What a task sees that runs with a home."""

    def run(home: Path, **environment: str) -> dict[str, Any]:
        folder = tmp_path / "entrypoint"
        (folder / "plugins/odd").mkdir(parents=True, exist_ok=True)
        (folder / "odd.yml").write_text(GRAPH)
        (folder / "plugins/odd/__init__.py").write_text("")
        (folder / "plugins/odd/tasks.py").write_text(dedent(SHOW))
        program = Path(sys.executable).with_name("dioptra-worker")
        done = subprocess.run(
            [
                *(str(program), "run", str(folder / "odd.yml"), "--json"),
                *("--isolation", request.param),
            ],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        log = done.stderr + done.stdout
        assert done.returncode == 0, log
        messages = [line["message"] for line in json.loads(done.stdout)["log"]]
        (line,) = (text for text in messages if text.startswith("FOUND "))
        found: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
        return found

    return run


def _plant(home: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = home / ".local/lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "usercustomize.py").write_text("raise SystemExit('planted')")
    (packages / "planted.pth").write_text("import planted_by_pth\n")
    (packages / "planted_by_pth.py").write_text("")
    (home / ".netrc").write_text("machine 127.0.0.1 login evil password evil")
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_text("[default]\naws_access_key_id = x\n")


def test_a_home_is_a_jobs_own(
    show: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Nothing of the operator's home is in a job's, and nothing of one in the next."""
    home = tmp_path / "home"
    _plant(home)
    for _ in range(2):
        found = show(home)
        assert found["home"] == found["here"]
        assert found["planted"] == []
        assert not found["user_site"]
        assert not found["executed"]
    assert (home / ".netrc").read_text().startswith("machine 127.0.0.1")
    environment = found["environment"]
    assert environment["HF_HOME"] == str(home / ".cache/huggingface")
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == str(home / ".aws/credentials")
    assert "AWS_CONFIG_FILE" not in environment  # there is none
    assert not list(tmp_path.glob("**/dioptra-forkserver-*"))


def test_downloads_stay_where_they_are(tmp_path: Path) -> None:
    """Each library's folder is the one that it has without us, in the user's home."""
    kept = outside_of_jobs({"HOME": "/home/ada", "HF_HOME": "/data/hf"})
    assert kept["HF_HOME"] == "/data/hf"  # what is set already stays
    assert kept["TORCH_HOME"] == "/home/ada/.cache/torch"
    assert kept["SCIKIT_LEARN_DATA"] == "/home/ada/scikit_learn_data"
    moved = outside_of_jobs(
        {"HOME": "/home/ada", "XDG_CACHE_HOME": "/fast", "XDG_CONFIG_HOME": "/etc/x"}
    )
    assert moved["TORCH_HOME"] == "/fast/torch"
    assert moved["KERAS_HOME"] == "/home/ada/.keras"
    assert not {"XDG_CACHE_HOME", "XDG_CONFIG_HOME"} & moved.keys()
    chosen = outside_of_jobs({"HOME": "/home/ada", DOWNLOAD_DIR: str(tmp_path)})
    for name in KEPT:
        assert Path(chosen[name]).is_relative_to(tmp_path), name


def test_mlflow_is_told_what_it_would_read(tmp_path: Path) -> None:
    """MLflow's file in the operator's home is read once, and variables go before it."""
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = 50%\n"
    )
    kept = outside_of_jobs({"HOME": str(tmp_path), "MLFLOW_TRACKING_USERNAME": "bob"})
    assert kept["MLFLOW_TRACKING_USERNAME"] == "bob"
    assert kept["MLFLOW_TRACKING_PASSWORD"] == "50%"
    (tmp_path / ".mlflow/credentials").write_text("no such format")
    assert "MLFLOW_TRACKING_PASSWORD" not in outside_of_jobs({"HOME": str(tmp_path)})


def test_the_daemon_reads_no_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job has put into the daemon's ``~/.netrc`` does not log the daemon in."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login evil password evil\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked: list[str] = []

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", "nothing"))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with DioptraApi(url=url, username="worker", password="x") as api:
                api.ping()
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["nothing"]


def test_art_finds_its_data(tmp_path: Path) -> None:
    """A library without a variable finds what it has downloaded by a link."""
    (tmp_path / "downloads/.art/data").mkdir(parents=True)
    (tmp_path / "job").mkdir()
    kept = {DOWNLOAD_DIR: str(tmp_path / "downloads")}
    for _ in range(2):
        link_downloads(tmp_path / "job", kept)
    assert (tmp_path / "job/.art/data").resolve() == tmp_path / "downloads/.art/data"
