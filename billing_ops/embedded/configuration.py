"""What to run: what the environment names is used, the rest is embedded; in production nothing is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from billing_ops.embedded.errors import StartError

LOGINS = ("support", "finance", "engineer")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Configuration:
    """The choices of one start, read from the environment."""

    host: str
    port: int
    production: bool
    embedded_database: bool
    embedded_broker: bool
    standin: bool
    demo: bool
    web_threads: int
    worker_processes: int
    given: Mapping[str, str] = field(repr=False)

    @property
    def address(self) -> str:
        """Where this machine finds the console and its API."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  # compared, not listened on
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def read(environ: Mapping[str, str] = os.environ) -> Configuration:
    """Read the environment; raises :class:`StartError` for what cannot be understood or contradicts itself."""
    production = environ.get("BILLING_ENV", "local") == "production"
    embedded_database = not environ.get("DATABASE_URL") and not production
    host = environ.get("HOST") or "127.0.0.1"
    demo = _flag(environ, "BILLING_DEMO", default=embedded_database)
    if demo and production:
        raise StartError("BILLING_DEMO is set, and demo data do not belong into production. Unset one of the two.")
    if demo and host not in _LOOPBACK and embedded_database:
        raise StartError(
            f"HOST={host} would show the demo logins to the network. Use the default 127.0.0.1, or BILLING_DEMO=no."
        )
    return Configuration(
        host=host,
        port=_number(environ, "PORT", 8000, 65535),
        production=production,
        embedded_database=embedded_database,
        embedded_broker=not environ.get("REDIS_URL") and not production,
        standin=not environ.get("STRIPE_SECRET_KEY") and not production,
        demo=demo,
        web_threads=_number(environ, "WEB_THREADS", max(32, 2 * (os.cpu_count() or 1)), 256),
        worker_processes=_number(environ, "WORKER_PROCESSES", 2, 64),
        given=environ,
    )


def _number(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise StartError(f"{name}={text} is not a number from 1 to {most}.")
    return int(text)


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name, "").lower()
    if text in ("", "yes", "no", "1", "0", "true", "false"):
        return default if text == "" else text in ("yes", "1", "true")
    raise StartError(f"{name}={text} is neither yes nor no.")
