"""``make run``: start everything, watch over it, stop everything."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress

from billing_ops.embedded import configuration
from billing_ops.embedded.errors import StartError
from billing_ops.embedded.home import Home
from billing_ops.embedded.processes import Child
from billing_ops.embedded.stack import Stack, Stopped

_RESTARTS = 5  # of one part …
_WITHIN_SECONDS = 60.0  # … in this time: more means that restarting does not help


class Supervisor:
    """One foreground run. Ctrl-C, SIGTERM and a closing terminal stop it; a second Ctrl-C does not wait."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._stop = threading.Event()
        self._urgent = False
        self._why = ""  # the signal that stopped us
        self._deaths: dict[str, deque[float]] = {}

    def run(self) -> int:
        """Run until stopped; returns the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        _stop_when_make_dies()
        try:
            choices = configuration.read()
            with self.home.locked():
                return self._run(choices)
        except StartError as error:
            _say(f"\n{error}\n", error=True)
            return 1

    def _run(self, choices: configuration.Configuration) -> int:
        began = time.monotonic()
        _say("Starting Billing Ops …")
        stack = Stack(self.home, choices, say=_say, stopping=self._stop.is_set)
        code = 0
        try:
            stack.start()
            self._announce(stack, time.monotonic() - began)
            code = self._watch(stack)
        except Stopped:
            pass
        except StartError as error:
            _say(f"\n{error}\n", error=True)
            code = 1
        finally:
            _say(f"Stopping{self._why} …")
            stack.stop(grace=0.5 if self._urgent else None)
        _say("Stopped. The data are kept; “make run” goes on from here.")
        return code

    def _on_signal(self, number: int, frame: object) -> None:
        self._urgent = self._stop.is_set() and number == signal.SIGINT
        self._why = self._why or f" ({signal.Signals(number).name})"
        self._stop.set()

    def _announce(self, stack: Stack, seconds: float) -> None:
        _say(f"Ready after {seconds:.1f} s.\n\n    Console   {stack.configuration.address}/console/")
        _say(f"    API       {stack.configuration.address}/api/v1/docs")
        if stack.has_demo:
            _say("\n    Logins of the demo (name, password):")
            for line in stack.login_lines():
                _say(f"      {line}")
        _say(f"\n    Logs and data are in {self.home.root}. Ctrl-C stops everything.\n")

    def _watch(self, stack: Stack) -> int:
        while not self._stop.wait(0.2):
            for child in stack.children():
                code = child.exit_code()
                if code is not None:
                    self._recover(stack, child, code)
        return 0

    def _recover(self, stack: Stack, child: Child, code: int) -> None:
        deaths = self._deaths.setdefault(child.name, deque(maxlen=_RESTARTS))
        now = time.monotonic()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if len(deaths) == _RESTARTS and now - deaths[0] < _WITHIN_SECONDS:
            raise StartError(
                f"{child.name} {how}, {_RESTARTS + 1} times in a minute: restarting does not help. Its last words:\n"
                f"{child.last_lines()}\n    (all of it: {child.log})"
            )
        deaths.append(now)
        _say(f"{child.name} {how}; starting it again. Its log: {child.log}")
        stack.restart(child)


def _stop_when_make_dies() -> None:
    """A killed ``make`` takes us with it, instead of leaving us in the background. Linux only."""
    if "MAKELEVEL" in os.environ and sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG


def _say(text: str, *, error: bool = False) -> None:
    with suppress(OSError, ValueError):  # the terminal may be gone; stopping goes on without it
        print(text, file=sys.stderr if error else sys.stdout, flush=True)
