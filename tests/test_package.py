"""What is released: what it holds, and that it works in an environment with nothing else."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from typing import TYPE_CHECKING

import pytest

from scripts.environment import ROOT
from tap_litmos.streams import ENDPOINTS, SYNC_LOG

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCES = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "tap_litmos").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command that knows nothing of this checkout; return what it prints."""
    clean = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, env=clean, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    build: list[str | Path] = [sys.executable, "-m", "build", "--outdir", folder, ROOT]
    run(build, folder)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    meta = f"tap_litmos-{PROJECT['version']}.dist-info"
    assert names == SOURCES | {
        f"{meta}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    assert {"tap_litmos/py.typed", "tap_litmos/sandbox/__main__.py"} < names


def test_the_package_index_is_told_where_things_are(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        told = email.message_from_bytes(wheel.read(name))
    repository = PROJECT["urls"]["Repository"]
    assert all(url.startswith(repository) for url in PROJECT["urls"].values())
    assert len(told.get_all("Project-URL", ())) == len(PROJECT["urls"])
    description = told.get_payload()
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    links = re.findall(r"\]\(([^)]+)\)", str(description))
    assert len(links) == len(targets) > 10
    for target, link in zip(targets, links, strict=True):
        assert link == target or re.fullmatch(
            rf"{re.escape(repository)}(/(blob|raw)/main/)?{re.escape(target)}", link
        )
        assert link.startswith("https://")


def test_the_image_is_built_from_what_there_is() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    assert len(lines) < 20
    copied = [line.split()[1:-1] for line in lines if re.match(r"COPY [^-]", line)]
    names = {name for line in copied for name in line}
    assert names == {"pyproject.toml", "README.md", "LICENSE", "tap_litmos"}
    [command] = re.findall(r'^ENTRYPOINT \["(.+)"\]$', lines[-1])
    assert command.rpartition("/")[2] in PROJECT["scripts"]


def test_the_source_distribution_holds_what_the_wheel_needs(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    others = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == SOURCES | others


def test_it_works_alone_and_with_its_sandbox(built: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    venv: list[str | Path] = [sys.executable, "-m", "venv", "--without-pip", empty]
    run(venv, tmp_path)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", empty / "bin" / "python"]
    run([*pip, "install", "--quiet", built[1]], tmp_path)
    catalog = json.loads(run([empty / "bin" / "tap-litmos", "--discover"], tmp_path))
    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == {
        stream.stream for stream in (*ENDPOINTS, SYNC_LOG) if stream.replication_key
    }
    assert PROJECT["version"] in run([empty / "bin" / "tap-litmos", "--version"], tmp_path)
    sandbox = empty / "bin" / "tap-litmos-sandbox"
    with subprocess.Popen(  # noqa: S603
        [sandbox, "--port", "0", "--users", "5", "--years", "0.1"],
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout
        config = "".join(iter(serving.stdout.readline, "}\n")) + "}"
        (tmp_path / "config.json").write_text(config)
        tap = empty / "bin" / "tap-litmos"
        run([tap, "--config", tmp_path / "config.json", "--test"], tmp_path)
        serving.terminate()
    assert serving.returncode == 0


def test_the_version_is_in_one_place() -> None:
    [latest] = re.findall(
        r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )[:1]
    assert latest == PROJECT["version"]
    for name in SOURCES:
        assert PROJECT["version"] not in (ROOT / name).read_text("utf-8"), name
