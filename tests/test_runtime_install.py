"""What is installed: pinned by hash, naming no host, and the same for users and developers."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
_LINE = re.compile(r"^([a-z0-9-]+)(\[[a-z,-]+\])?==([^ ;]+)")


def _pinned(name: str) -> dict[str, str]:
    found = (_LINE.match(line) for line in (ROOT / name).read_text().splitlines())
    return {match[1]: match[3] for match in found if match}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_and_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
    blocks = re.split(r"\n(?=[a-z])", text.strip())
    assert len(blocks) == len(_pinned(name)) > 30
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


def test_the_development_lock_holds_the_other() -> None:
    users, developers = (_pinned(name) for name in LOCKS)
    assert users.items() <= developers.items()


def test_each_declared_dependency_is_locked_as_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = {LOCKS[0]: project["project"]["dependencies"], LOCKS[1]: project["dependency-groups"]["dev"]}
    for lock, requirements in declared.items():
        pinned = _pinned(lock)
        for requirement in requirements:
            name = re.split(r"[\[=; ]", requirement)[0].lower()
            assert name in pinned, f"{requirement} is not in {lock}: make lock"
            if wanted := re.search(r"==([^ ;]+)", requirement):
                assert pinned[name] == wanted[1], f"{requirement} is locked as {pinned[name]}: make lock"


def test_an_installed_lock_is_not_installed_again_and_a_changed_one_is(tmp_path: Path) -> None:
    """The stamp is the lock's hash, so an interrupted installation (no stamp) counts as none."""
    code = (
        "import runpy, pathlib; m = runpy.run_path('.ci/install.py'); g = m['stamped'].__globals__;"
        f"g['VENV'] = pathlib.Path({str(tmp_path)!r}); g['PYTHON'] = pathlib.Path({sys.executable!r});"
        f"lock = pathlib.Path({str(tmp_path)!r}) / 'a.lock'; lock.write_text('a==1'); print(m['stamped'](lock));"
        "(g['VENV'] / 'lock-installed').write_text(m['hash_of'](lock)); print(m['stamped'](lock));"
        "lock.write_text('a==2'); print(m['stamped'](lock))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == ["False", "True", "False"]
