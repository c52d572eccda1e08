"""See that there is a Chromium for the browser tests: install one when it is missing, fail when that cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.browser import chromium


def attempt(*command: str) -> bool:
    """Run a command of an installation, its output visible."""
    print("$", *command, flush=True)
    return subprocess.run(command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False).returncode == 0


def install() -> None:
    """Install the system's package as root, else Playwright's own browser for this user."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        attempt("apt-get", "update", "-qq")
        if attempt("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"):
            return
    attempt(sys.executable, "-m", "playwright", "install", "chromium")


def works(path: str) -> bool:
    """Whether it starts: a browser without its system libraries is there and does not run."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main() -> None:
    """Check, install, check again."""
    found = chromium()
    if found is None:
        print("There is no Chromium for the browser tests; installing it.", flush=True)
        install()
        found = chromium()
    if found is None or not works(found):
        why = f"{found} does not run" if found else "it could not be installed"
        sys.exit(
            f"\nThe browser tests need Chromium, and {why}. Install it (Debian: apt-get install chromium; elsewhere: "
            ".venv/bin/python -m playwright install --with-deps chromium), or name one: "
            "CHROMIUM=/path/to/chromium make test\n"
        )


if __name__ == "__main__":
    main()
