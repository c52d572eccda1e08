"""The state directory: data, logs, secrets and remembered ports of one installation (``var/`` or ``BILLING_HOME``)."""

import fcntl
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing_ops.embedded.errors import StartError

CHECKOUT = Path(__file__).resolve().parents[2]
_OURS = ("prepared", "postgres", "valkey", "static", "log", "beat", "stripe-standin", "secrets.json", "ports.json")
_LOG_LIMIT = 10 * 1024 * 1024


def default_root() -> Path:
    """``BILLING_HOME``, or ``var/`` in the checkout."""
    return Path(os.environ.get("BILLING_HOME") or CHECKOUT / "var").resolve()


class Home:
    """Paths and small facts kept between two starts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the directory, for nobody else's eyes."""
        try:
            for path in (self.root, self.root / "log", self.root / "beat"):
                path.mkdir(parents=True, exist_ok=True)
            (self.root / "log").chmod(0o700)
            probe = self.root / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StartError(
                f"The state directory {self.root} cannot be written: {error.strerror}. Give it to this user, or name "
                "another one: BILLING_HOME=/some/directory make run"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one supervisor; a second one is refused in words."""
        self.prepare()
        with (self.root / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise StartError(
                    f"Billing Ops already runs from {self.root} (process {holder}). Stop that one first (Ctrl-C in its "
                    f"window, or: kill {holder}), or start a second one apart from it: "
                    "BILLING_HOME=/another/directory PORT=8001 make run"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.root / "log" / f"{name}.log"

    def rotate_logs(self) -> None:
        """Put a grown log aside, keeping one old one."""
        for path in (self.root / "log").glob("*.log"):
            if path.stat().st_size > _LOG_LIMIT:
                path.replace(path.with_suffix(".log.1"))

    def secret(self, name: str, *, length: int = 32) -> str:
        """A random text made once and kept in a file that only this user may read."""
        path = self.root / "secrets.json"
        known: dict[str, str] = _read(path)
        if name not in known:
            known[name] = secrets.token_urlsafe(length)
            _write(path, known)
        return known[name]

    def port(self, name: str) -> int:
        """The port remembered for a service while it is free; otherwise a free one, remembered from now on."""
        path = self.root / "ports.json"
        known: dict[str, int] = _read(path)
        if name not in known or not port_is_free("127.0.0.1", known[name]):
            known[name] = _free_port(set(known.values()))
            _write(path, known)
        return known[name]

    def known_port(self, name: str) -> int:
        """The port remembered for a service; raises ``KeyError`` when it never had one."""
        return int(_read(self.root / "ports.json")[name])

    def empty(self) -> None:
        """Delete what we made, and nothing else that may be in the directory."""
        for name in _OURS:
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StartError(f"{path} is damaged ({error}). Restore it, or start over with: make reset") from error


def _write(path: Path, content: object) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
