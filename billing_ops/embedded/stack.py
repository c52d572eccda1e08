"""The parts of one installation, in the order in which they start: database, broker, stand-in, web, worker, beat."""

import http.client
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from billing_ops.embedded import roles
from billing_ops.embedded.broker import Broker
from billing_ops.embedded.configuration import LOGINS, Configuration
from billing_ops.embedded.errors import StartError
from billing_ops.embedded.home import CHECKOUT, Home, port_is_free
from billing_ops.embedded.postgres import Postgres
from billing_ops.embedded.preparing import Preparation, has_command, login_password, python_program
from billing_ops.embedded.processes import Child, end, leftovers

_PROGRAM_SECONDS = 60.0


class Stopped(Exception):
    """Somebody asked to stop while we were still starting."""


class Stack:
    """Starts, watches over and stops every part. ``say`` prints a line; ``stopping`` is asked between steps."""

    def __init__(
        self, home: Home, configuration: Configuration, *, say: Callable[[str], None], stopping: Callable[[], bool]
    ) -> None:
        self.home = home
        self.configuration = configuration
        self.postgres = Postgres(home) if configuration.embedded_database else None
        self.broker = Broker(home) if configuration.embedded_broker else None
        self.programs: dict[str, Child] = {}
        self.has_demo = False
        self._preparation: Preparation | None = None
        self._say = say
        self._stopping = stopping
        self._env: dict[str, str] = {}

    def start(self) -> None:
        """Bring everything up, until the console answers; raises :class:`StartError`."""
        end(list(leftovers(self.home.root)), signal.SIGTERM, grace=10)
        self._refuse_a_port_in_use()
        self.home.rotate_logs()
        if self.postgres:
            self.postgres.start()
        if self.broker:
            self.broker.start()
        self._check_stop()
        self._env = self._environment(self.home.port("stripe-standin") if self.configuration.standin else 0)
        owner_url = self.postgres.url(roles.MIGRATOR) if self.postgres else self._env.pop("OWNER_DATABASE_URL", "")
        preparation = Preparation(self.home, self._env, owner_url, say=self._say, check_stop=self._check_stop)
        self._preparation = preparation
        preparation.prepare(skip_if_unchanged=self.postgres is not None)
        if self.configuration.standin:
            self._start_standin()
        self.has_demo = self.configuration.demo and preparation.load_demo()
        self._start_programs()
        self._wait_for_the_console()
        if self.has_demo and has_command("send_demo_traffic"):
            self._program("demo-traffic", "manage.py", "send_demo_traffic", self.configuration.address)

    def stop(self, *, grace: float | None = None) -> None:
        """Stop everything, the database last; never raises."""
        running = [*(self._preparation.commands if self._preparation else ()), *self.programs.values()]
        for child in running:
            child.ask_to_stop()
        for child in running:
            child.stop(grace=grace)
        for service in (self.broker, self.postgres):
            if service and service.child:
                service.child.stop(grace=grace)

    def children(self) -> list[Child]:
        """Every process that must be running."""
        services = [service.child for service in (self.postgres, self.broker) if service and service.child]
        return [*services, *self.programs.values()]

    def restart(self, child: Child) -> None:
        """Start a part again that died, with what it needs to recover."""
        if self.postgres and child is self.postgres.child:
            self.postgres.start()
        elif self.broker and child is self.broker.child:
            self.broker.start()
        else:
            child.start()

    def login_lines(self) -> list[str]:
        """The demo logins, to be shown to whoever started us."""
        return [f"{name:<9} {login_password(self.home, name)}" for name in LOGINS]

    def _check_stop(self) -> None:
        if self._stopping():
            raise Stopped

    def _refuse_a_port_in_use(self) -> None:
        host, port = self.configuration.host, self.configuration.port
        if port_is_free(host, port):
            return
        holder = ""
        with suppress(psutil.Error):
            for found in psutil.net_connections("tcp"):
                if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
                    holder = f" by {psutil.Process(found.pid).name()} (process {found.pid})"
        raise StartError(
            f"Port {port} on {host} is already in use{holder}. Stop that program, or choose another port: "
            f"PORT={port + 1} make run"
        )

    def attach(self) -> dict[str, str]:
        """The environment of the programs that another supervisor started here; raises :class:`StartError`."""
        try:
            for service, name in ((self.postgres, "postgres"), (self.broker, "valkey")):
                if service:
                    service.port = self.home.known_port(name)
            standin = self.home.known_port("stripe-standin") if self.configuration.standin else 0
        except (OSError, KeyError):
            raise StartError("Nothing was started here yet. Start it first: make run") from None
        if self.postgres and port_is_free("127.0.0.1", self.postgres.port):
            raise StartError("It is not running. Start it first, and leave it running: make run")
        return self._environment(standin)

    def _environment(self, standin_port: int) -> dict[str, str]:
        """The environment of our programs: what was given, and the addresses and secrets of what is embedded.

        The owner's login is taken out before they start: only migrations have it.
        """
        env = {**self.configuration.given, "DJANGO_SETTINGS_MODULE": "billing_ops.settings", "PYTHONUNBUFFERED": "1"}
        env["BILLING_HOME"] = str(self.home.root)
        env.pop("BILLING_DB_ROLE", None)
        if not env.get("SECRET_KEY") and not self.configuration.production:
            env["SECRET_KEY"] = self.home.secret("django", length=48)
        if self.postgres:
            env["DATABASE_URL"] = self.postgres.url()
            env.pop("OWNER_DATABASE_URL", None)
        if self.broker:
            env["REDIS_URL"] = self.broker.url()
        if self.configuration.standin:
            env["STRIPE_API_BASE"] = f"http://127.0.0.1:{standin_port}"
            env["STRIPE_SECRET_KEY"] = f"sk_test_{self.home.secret('stripe', length=18)}"
            env["STRIPE_WEBHOOK_SECRETS"] = f"whsec_{self.home.secret('webhook', length=24)}"
        return env

    def _program(self, name: str, *argv: str, secrets: Mapping[str, str] | None = None) -> None:
        self.programs[name] = python_program(self.home, name, {**self._env, **(secrets or {})}, *argv)
        self.programs[name].start()

    def _start_standin(self) -> None:
        port = self._env["STRIPE_API_BASE"].rpartition(":")[2]
        state = self.home.root / "stripe-standin"
        state.mkdir(mode=0o700, exist_ok=True)
        self._program(
            "stripe-standin",
            *("-m", "billing_ops.stripe_standin", "--port", port),
            *("--state", str(state / "state.sqlite3")),
            *("--webhook-url", f"{self.configuration.address}/webhooks/stripe"),
            *(("--clock-file", clock) if (clock := self._env.get("BILLING_CLOCK_FILE")) else ()),
            # Not as arguments, which everybody on the machine can read.
            secrets={
                "STANDIN_API_KEY": self._env["STRIPE_SECRET_KEY"],
                "STANDIN_WEBHOOK_SECRET": self._env["STRIPE_WEBHOOK_SECRETS"],
            },
        )
        self._wait_for("stripe-standin", int(port))

    def _wait_for(self, name: str, port: int) -> None:
        """Wait until a program of ours listens on its port."""
        deadline = time.monotonic() + _PROGRAM_SECONDS
        while port_is_free("127.0.0.1", port):
            self._check_stop()
            if self.programs[name].exit_code() is not None or time.monotonic() > deadline:
                raise StartError(f"{name} does not start. Its last words:\n{self.programs[name].last_lines()}")
            time.sleep(0.02)

    def _start_programs(self) -> None:
        choices = self.configuration
        celery = ("-m", "celery", "-A", "billing_ops.celery")
        schedule = self.home.root / "beat" / "schedule"
        self._program(
            "web",
            *("-m", "granian", "--interface", "wsgi", "--host", choices.host, "--port", str(choices.port)),
            *("--blocking-threads", str(choices.web_threads), "--backpressure", str(choices.web_threads * 8)),
            *("--log-config", str(CHECKOUT / "billing_ops" / "settings" / "granian-logs.json")),
            *("--no-ws", "--workers-kill-timeout", "8", "billing_ops.wsgi:application"),
        )
        self._program(
            "worker",
            *(*celery, "worker", "--concurrency", str(choices.worker_processes), "--loglevel", "INFO"),
            *("--without-gossip", "--without-mingle", "--hostname", "worker@%h"),
        )
        self._program("beat", *celery, "beat", "--loglevel", "INFO", "--schedule", str(schedule), "--pidfile=")

    def _wait_for_the_console(self) -> None:
        deadline = time.monotonic() + _PROGRAM_SECONDS
        web = self.programs["web"]
        while True:
            self._check_stop()
            status = _status_of(self.configuration)
            if status and status < 500:
                return
            if status >= 500 or web.exit_code() is not None or time.monotonic() > deadline:
                words = f"answered with status {status}" if status else "does not answer"
                raise StartError(f"The console {words}. Last lines of its log:\n{web.last_lines()}")
            time.sleep(0.03)


def _status_of(configuration: Configuration) -> int:
    """The status that the console's login page answers with; 0 while nothing answers."""
    connection = http.client.HTTPConnection(configuration.address.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/console/login/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def reset(home: Home) -> Path:
    """End what outlived its supervisor and delete everything that an installation keeps; returns what was emptied."""
    with home.locked():
        end(list(leftovers(home.root)), signal.SIGTERM, grace=10)
        Postgres(home).clear_orphan()
        home.empty()
    return home.root
