"""``python -m billing_ops.stripe_standin``: start the stand-in and say where it is.

``STANDIN_API_KEY`` is the one key that is accepted, ``STANDIN_WEBHOOK_SECRET`` what webhooks are signed with: they come
by the environment, because everybody on the machine can read the arguments of its processes.
"""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from billing_ops.stripe_standin.account import API_VERSION, Account
from billing_ops.stripe_standin.clock import Clock
from billing_ops.stripe_standin.control import Control
from billing_ops.stripe_standin.delivering import Courier, Policy
from billing_ops.stripe_standin.engine import Engine
from billing_ops.stripe_standin.ids import Ids
from billing_ops.stripe_standin.server import Server
from billing_ops.stripe_standin.store import Store

LOOPBACK = "127.0.0.1"


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM."""
    options = _parser().parse_args(arguments)
    api_key = os.environ.get("STANDIN_API_KEY") or "sk_test_standin"
    secret = os.environ.get("STANDIN_WEBHOOK_SECRET") or "whsec_standin"
    store = Store(options.state)
    account = Account(store, Ids(store, options.seed), Clock(options.clock_file))
    engine = Engine(account, api_key)
    policy = Policy(
        retry_base=options.retry_base,
        retry_cap=options.retry_cap,
        attempts=options.retry_attempts,
        timeout=options.webhook_timeout,
        real_signatures=options.signature_clock == "real",
    )
    courier = Courier(account, policy)
    webhook = (options.webhook_url, secret) if options.webhook_url else None
    control = Control(account, engine, courier, webhook)
    try:
        server = Server((LOOPBACK, options.port), engine, control, courier)
    except OSError as error:
        print(f"The Stripe stand-in cannot listen on {LOOPBACK}:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    if options.delivery == "background":
        courier.start()
    _on_signals(server, engine)
    _announce(server, options.ready_file)
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        engine.stop()
        server.server_close()
        courier.stop()
        store.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m billing_ops.stripe_standin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--state", type=Path, help="SQLite file; without it everything is forgotten at the end")
    parser.add_argument("--webhook-url", default="", help="where events are sent")
    parser.add_argument("--clock-file", type=Path, help="a file with an ISO 8601 instant: the virtual time")
    parser.add_argument("--ready-file", type=Path, help="written as JSON once the process answers")
    parser.add_argument("--seed", help="the same identifiers in every run that does the same")
    parser.add_argument("--delivery", choices=("background", "manual"), default="background")
    parser.add_argument("--retry-base", type=float, default=1.0, help="seconds before the first retry; doubles")
    parser.add_argument("--retry-cap", type=float, default=60.0, help="most seconds between two attempts")
    parser.add_argument("--retry-attempts", type=int, default=100)
    parser.add_argument("--webhook-timeout", type=float, default=10.0)
    parser.add_argument("--signature-clock", choices=("same", "real"), default="same")
    return parser


def _on_signals(server: Server, engine: Engine) -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        engine.stopping.set()
        # From another thread: shutdown() waits for serve_forever(), which this handler interrupts.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _announce(server: Server, ready_file: Path | None) -> None:
    url = f"http://{LOOPBACK}:{server.server_address[1]}"
    print(f"Stripe STAND-IN (not Stripe; no money moves) on {url}, API {API_VERSION}", flush=True)
    if ready_file is not None:
        facts = {"url": url, "pid": os.getpid()}
        beside = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        beside.write_text(json.dumps(facts))
        beside.replace(ready_file)
    print("ready", flush=True)


if __name__ == "__main__":
    sys.exit(main())
