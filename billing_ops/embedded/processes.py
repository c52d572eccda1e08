"""Starting and stopping processes so that none is left behind, whoever dies first."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "BILLING_SUPERVISED"
"""Environment variable that every child carries: the state directory it belongs to."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Identity:
    """As whom a process runs: a command in front of it, or another user. Neither: as we are."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Make a function for a new child: send it that signal when we die, even by SIGKILL. Linux only, else nothing.

    The kernel watches the thread that forks, so children are started from the main thread.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), number)

    return arrange


@dataclass
class Child:
    """A process of ours in a session of its own: a terminal's Ctrl-C reaches only the supervisor."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    home: Path
    log: Path
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0  # seconds between asking and killing
    identity: Identity = Identity()
    process: "subprocess.Popen[bytes] | None" = None
    asked: bool = False  # to stop
    log_start: int = 0  # where in its log the present run begins

    def start(self) -> None:
        """Start it; its output is appended to its log."""
        self.asked = False
        user = {} if self.identity.uid is None else {"user": self.identity.uid, "group": self.identity.gid}
        if user:
            user["extra_groups"] = []  # type: ignore[assignment]
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603  # our own commands
                [*self.identity.prefix, *self.argv],
                env={**self.env, MARK: str(self.home)},
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(self.stop_signal),  # noqa: PLW1509  # it only calls prctl
                **user,
            )

    def last_lines(self, count: int = 15) -> str:
        """The end of what the present run has logged, to show when it fails."""
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.log_start, end - 16_384))
            lines = file.read().decode("utf-8", "replace").splitlines()[-count:]
        return "\n".join(f"    {_clip(line)}" for line in lines)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self.process.pid if self.process else 0

    def exit_code(self) -> int | None:
        """``None`` while it runs. When its first process has ended, the rest of its group goes with it."""
        process = self.process
        if process is None:
            return None
        if process.returncode is None:
            if not _has_ended(process):
                return None
            if process.returncode is None:  # its id is not given back to the system yet
                self._signal_group(signal.SIGKILL)
            process.wait()
        return process.returncode

    def ask_to_stop(self) -> None:
        """Send the polite signal, once: to a second one Celery and PostgreSQL answer less politely."""
        if self.exit_code() is None and self.process and not self.asked:
            self.asked = True
            self.process.send_signal(self.stop_signal)

    def stop(self, *, grace: float | None = None) -> None:
        """Ask, wait, then kill the whole group."""
        self.ask_to_stop()
        deadline = time.monotonic() + (self.grace if grace is None else grace)
        while self.process and self.exit_code() is None:
            if time.monotonic() > deadline:
                self._signal_group(signal.SIGKILL)
                self.process.wait()
                return
            time.sleep(0.02)

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has ended; where the system can tell without reaping it, its id still stands for its group."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody else has reaped it
        process.wait()
        return True


def _clip(line: str) -> str:
    """A line for a terminal: of a long one the beginning and the end, where an error says what it is."""
    return line if len(line) <= 400 else f"{line[:140]} … {line[-250:]}"


def leftovers(home: Path) -> Iterator[psutil.Process]:
    """Processes of an earlier supervisor of this directory that outlived it."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in ours and process.environ().get(MARK) == str(home):
                yield process


def end(processes: Sequence[psutil.Process], number: signal.Signals, *, grace: float) -> None:
    """Signal them, and kill those that are still there after ``grace`` seconds."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
    _, alive = psutil.wait_procs(list(processes), timeout=grace)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
