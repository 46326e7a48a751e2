"""What tests of plugin packages share: metadata as an installer writes it, a place to run commands, an environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

__all__ = ["ROOT", "Place", "clean_environment", "lay_metadata", "matches"]

ROOT = Path(__file__).parents[1]


class Place:
    """A folder to work in, with `python`, `vecsearch` and whatever lies on the given paths."""

    def __init__(self, folder: Path, python: str, paths: list[str]) -> None:
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        programs = folder / "bin"
        programs.mkdir()
        for name, command in (("python", f'"{python}"'), ("vecsearch", f'"{python}" -m vecsearch')):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
            program.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("VECSEARCH", "PYTEST"))}
        self.environment = {
            **kept,
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUTF8": "1",
            "NO_COLOR": "1",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=self.environment)

    def console(self, text: str) -> None:
        """Run the commands of a console block one after another; compare what each writes to stdout."""
        parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
        assert parts[0] == ""
        for command, expected in zip(parts[1::2], parts[2::2], strict=True):
            run = self.run("bash", "-c", command)
            assert run.returncode == (1 if "grep -c" in command else 0), (command, run.stderr)
            assert matches(run.stdout, expected), f"$ {command}\n{run.stdout}{run.stderr}"


def matches(seen: str, expected: str) -> bool:
    """Return whether an output is as expected, where a line `...` stands for any number of lines."""
    pattern = "".join(r"(?:.*\n)*" if line == "..." else re.escape(line) + r"[ ]*\n" for line in expected.splitlines())
    return re.fullmatch(pattern, seen) is not None


def lay_metadata(folder: Path) -> None:
    """Write what an installer would write beside the package in a folder."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("".join(groups), "utf-8")


def clean_environment(folder: Path, *projects: Path) -> tuple[Path, dict[str, str]]:
    """Make a virtual environment with vecsearch and other projects, each built as a wheel and installed by pip.

    Dependencies come from the environment that runs the tests, not from the network; only what builds wheels is asked
    of pip. Where it can't be had, the test is skipped.

    Returns:
        The Python of the environment, and what must stand in ``os.environ`` so that pip builds and installs in it
        without asking any index.
    """
    tools = folder / "tools"
    quiet = ["--disable-pip-version-check", "-q"]
    pip = [sys.executable, "-m", "pip"]
    asked = subprocess.run(
        [*pip, "install", *quiet, "--target", str(tools), "hatchling>=1.27", "editables"],
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        pytest.skip("building wheels needs hatchling, and pip can't get it here")
    offline = {**os.environ, "PYTHONPATH": str(tools), "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    offline = {key: value for key, value in offline.items() if not key.startswith(("VECSEARCH", "PYTEST"))}
    wheels = folder / "wheels"
    # where the tests run without the source, against an installed wheel, that one is what is tested
    own = [str(ROOT)] if (ROOT / "vecsearch").is_dir() else []
    sources = [*own, *map(str, projects)]
    wheels.mkdir()
    if sources:
        subprocess.run([*pip, "wheel", *quiet, "--no-deps", "-w", str(wheels), *sources], check=True, env=offline)
    home = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    python = home / "bin" / "python"
    built = sorted(map(str, wheels.glob("*.whl")))
    if built:
        subprocess.run([python, "-m", "pip", "install", *quiet, "--no-deps", *built], check=True, env=offline)
    # The .pth files of the other environment are not followed from here, and the packages of this one stand before its
    # own: vecsearch itself is the one that pip has just installed.
    (site_packages,) = home.glob("lib/python*/site-packages")
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n", "utf-8")
    if not own:
        program = home / "bin" / "vecsearch"
        program.write_text(f"#!{python}\nfrom vecsearch.cli import main\n\nmain()\n", "utf-8")
        program.chmod(0o755)
    return python, offline
