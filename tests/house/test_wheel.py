"""What a customer installs: the wheel, in an environment of its own, beside other packages."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_wheel

ROOT = Path(__file__).parents[2]
HOME_FOLDERS = ("rules", "templates", "config")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return folder / build_wheel(str(folder))
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def inside(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment: Regulars from the wheel, what it depends on from this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(pip, check=True)
    (packages,) = folder.glob("lib/*/site-packages")
    # A path in a .pth file is searched last, and the .pth files in it (this checkout's among them) are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def run(python: Path, program: str, folder: Path) -> str:
    """What ``program`` prints in ``folder``, far from this checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([python, "-c", program], cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_starter_home_travels_in_it(inside: set[str]):
    shipped = {
        f"engine/starter/files/{file.relative_to(ROOT).as_posix()}"
        for name in HOME_FOLDERS
        for file in (ROOT / name).rglob("*")
        if file.is_file()
    }
    assert len([name for name in shipped if name.startswith("engine/starter/files/rules/")]) >= 12
    assert shipped - inside == set()


def test_nothing_else_is_put_beside_other_packages(inside: set[str]):
    tops = {name.split("/")[0] for name in inside}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"engine", "connectors", "cli.py"}


def test_no_test_no_database_and_no_leftover_travels(inside: set[str]):
    assert not [
        name for name in inside if "test" in Path(name).name or name.endswith((".db", ".pyc", ".key", ".eml", "~"))
    ]


def test_the_licence_and_the_command_travel(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert archive.read(entry_points).decode().split() == ["[console_scripts]", "regulars", "=", "cli:regulars"]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_it_makes_a_database_where_it_is_installed(python: Path, tmp_path: Path):
    program = (
        "import engine, connectors\n"
        "from engine.database.engines import open_db\n"
        "from engine.database.migrations import migrate, schema_is_current\n"
        "db = open_db('sqlite:///regulars.db')\n"
        "migrate(db)\n"
        "print(schema_is_current(db), engine.__file__)\n"
    )
    current, where = run(python, program, tmp_path).split()
    assert current == "True"
    assert Path(where).is_relative_to(python.parents[1])
    assert (tmp_path / "regulars.db").exists()


def test_every_module_of_it_can_be_imported(python: Path, inside: set[str], tmp_path: Path):
    files = [name.removesuffix(".py").removesuffix("/__init__") for name in inside if name.endswith(".py")]
    modules = sorted(name.replace("/", ".") for name in files if "migrations/" not in name)
    program = f"import importlib\nfor name in {modules!r}:\n    importlib.import_module(name)\nprint(len({modules!r}))"
    assert int(run(python, program, tmp_path)) == len(modules) > 20


def test_the_command_runs_where_it_is_installed(python: Path, tmp_path: Path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [python.parent / "regulars", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: regulars")
