"""Make ``.venv`` and install a lock into it, unless that lock is in it already. Uses the standard library only.

A stamp with the lock's hash is written last, so an installation that was interrupted is done again.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def stop(message: str) -> NoReturn:
    """Say it and end with an error."""
    print(f"\n{message}\n", file=sys.stderr)
    sys.exit(1)


def hash_of(lock: Path) -> str:
    """What the stamp says of a lock."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def stamped(lock: Path) -> bool:
    """Whether the environment holds this lock, or the development lock, which holds everything."""
    stamp = VENV / "lock-installed"
    known = stamp.read_text().split() if stamp.exists() else []
    return PYTHON.exists() and any(hash_of(each) in known for each in {lock, ROOT / "requirements-dev.lock"})


def runs(*command: str) -> bool:
    """Whether a command exists and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_environment(uv: str | None) -> None:
    """Make the virtual environment, unless a working one of the right Python is there."""
    if runs(str(PYTHON), "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 11))") and (
        uv or runs(str(PYTHON), "-m", "pip", "--version") or runs(str(PYTHON), "-m", "ensurepip")
    ):
        return
    if sys.version_info[:2] != (3, 11):
        have = ".".join(map(str, sys.version_info[:3]))
        stop(
            f"Billing Ops needs Python 3.11; {sys.executable} is {have}. Install it and say where it is, e.g.\n"
            "    make run PYTHON=/usr/local/bin/python3.11"
        )
    shutil.rmtree(VENV, ignore_errors=True)
    print("Making a virtual environment in .venv …", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        stop(
            f"This Python cannot make a virtual environment:\n{(made.stdout + made.stderr).strip()[-800:]}\n"
            "On Debian and Ubuntu the package python3.11-venv is missing: apt-get install python3.11-venv"
        )


def install(lock: Path, uv: str | None) -> None:
    """Install exactly what the lock names, checking each file's hash."""
    print(f"Installing {lock.name} …", flush=True)
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", str(PYTHON), "--require-hashes", "-r", str(lock)]
    else:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        command = [str(PYTHON), "-m", "pip", "install", *quiet, "--require-hashes", "-r", str(lock)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        stop(
            f"{lock.name} could not be installed; what is missing stands above. Without a way to a package index, "
            "pip's own settings (pip.conf, PIP_INDEX_URL, PIP_FIND_LINKS) say where packages come from. "
            "Run the same command again to go on."
        )


def main() -> None:
    """Install the lock named on the command line."""
    lock = ROOT / sys.argv[1]
    if stamped(lock):
        return
    try:
        guard = (ROOT / ".install.lock").open("w")
    except OSError as error:
        stop(f"{ROOT} cannot be written by this user: {error.strerror}.")
    with guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two `make` at once: the second finds the work done
        if stamped(lock):
            return
        uv = shutil.which("uv")
        make_environment(uv)
        install(lock, uv)
        (VENV / "lock-installed").write_text(hash_of(lock) + "\n")


if __name__ == "__main__":
    main()
