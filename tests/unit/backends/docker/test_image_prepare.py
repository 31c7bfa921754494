"""What runs in the image while it is built: modules are compiled, and closed folders opened, no more than needed."""

import stat
from importlib.util import cache_from_source
from pathlib import Path

from orchestrator.backends.docker.image_prepare import compile_packages, let_anybody_pass, let_anybody_read


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_modules_are_compiled_and_broken_ones_passed_over(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("def:\n")
    compile_packages([str(tmp_path)])

    assert Path(cache_from_source(str(tmp_path / "good.py"))).exists()
    assert not Path(cache_from_source(str(tmp_path / "broken.py"))).exists()


def test_a_closed_library_and_the_way_to_it_are_opened(tmp_path: Path) -> None:
    home, library = tmp_path / "home", tmp_path / "home" / "lib"
    library.mkdir(parents=True)
    for name, before in (("module.py", 0o640), ("program", 0o750), ("open.py", 0o644)):
        (library / name).touch()
        (library / name).chmod(before)
    (library / "dangling").symlink_to("nowhere")
    library.chmod(0o750)
    home.chmod(0o750)
    let_anybody_read(library)

    assert mode(home) == 0o751
    assert mode(library) == 0o755
    assert [mode(library / name) for name in ("module.py", "program", "open.py")] == [0o644, 0o755, 0o644]


def test_beside_the_way_nothing_is_opened(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "secrets").mkdir(mode=0o700)
    home.chmod(0o700)
    let_anybody_pass(home / "bin" / "python")

    assert mode(home) == 0o701
    assert mode(home / "secrets") == 0o700
