"""The stand-in as a process: honest about what it is, orderly, alone on loopback, and quick."""

import ast
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import stripe

from tests.stripe_standin.process import ROOT, Standin
from tests.stripe_standin.receiver import receiving
from tests.stripe_standin.stories import new_customer, open_invoice

PACKAGE = ROOT / "billing_ops" / "stripe_standin"


def test_every_answer_says_that_it_comes_from_a_stand_in(standin: Standin) -> None:
    with urllib.request.urlopen(f"{standin.url}/_standin/state", timeout=10) as answer:  # noqa: S310 - loopback
        assert answer.headers["Stripe-Standin"] == "true"
    customer = standin.client().v1.customers.create({"email": "a@example.com"})
    assert customer.last_response.headers["Stripe-Standin"] == "true"
    with pytest.raises(stripe.InvalidRequestError, match=r"Unrecognized request URL \(GET: /v1/prices\)") as refused:
        standin.client().v1.prices.list()
    assert refused.value.headers is not None
    assert refused.value.headers["Stripe-Standin"] == "true"


def test_it_imports_neither_the_product_nor_the_sdk_nor_django() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                ours = name.startswith("billing_ops.stripe_standin")
                assert ours or name.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_it_stops_in_order_even_with_a_request_that_hangs(standin: Standin) -> None:
    standin.fault("hold", path="/v1/customers")
    failures: list[Exception] = []

    def create() -> None:
        try:
            standin.client().v1.customers.create({})
        except stripe.StripeError as error:
            failures.append(error)

    waiting = threading.Thread(target=create)
    waiting.start()
    assert standin.control("await_holding", {})["holding"]
    assert standin.stop() == 0
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_restart_keeps_everything_and_the_address(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    invoice = open_invoice(client, customer, 700)
    before, url = standin.state(), standin.url
    standin.restart()
    assert standin.url == url
    after = standin.state()
    assert (after["counts"], after["deliveries"]) == (before["counts"], before["deliveries"])
    assert client.v1.invoices.pay(invoice.id).status == "paid"


def test_reset_forgets_everything_but_the_webhook_address(standin: Standin) -> None:
    new_customer(standin.client())
    standin.control("reset", {})
    assert standin.state()["counts"] == {"webhook_endpoint": 1}
    assert standin.requests() == []


def test_a_port_in_use_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "billing_ops.stripe_standin", "--port", str(port)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr.decode()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the sockets are read from /proc")
def test_it_listens_on_loopback_only(standin: Standin) -> None:
    port = f"{int(standin.url.rpartition(':')[2]):04X}"
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()  # no second table where IPv6 is off
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{port}"]


def test_in_the_background_webhooks_go_out_and_are_retried_by_themselves(tmp_path: Path) -> None:
    standin = Standin(tmp_path, "--delivery", "background", "--retry-base", "0.01")
    with receiving() as receiver:
        receiver.statuses = [500]
        standin.start()
        try:
            standin.set_webhook(receiver.url)
            new_customer(standin.client())
            _until(lambda: standin.state()["deliveries"] == {"delivered": 1})
        finally:
            standin.stop()
    assert receiver.types == ["customer.created", "customer.created"]


def test_in_the_background_webhooks_wait_while_the_clock_stands(tmp_path: Path) -> None:
    standin = Standin(tmp_path, "--delivery", "background")
    with receiving() as receiver:
        standin.start()
        try:
            standin.set_webhook(receiver.url)
            standin.control("clock", {"now": "2025-01-01T00:00:00+00:00"})
            new_customer(standin.client())
            assert standin.state()["deliveries"] == {"pending": 1}
            standin.control("clock", {"now": None})
            _until(lambda: standin.state()["deliveries"] == {"delivered": 1})
        finally:
            standin.stop()
    (one,) = receiver.received
    assert one.is_signed_with(standin.secret), "signed when it was sent, not when it happened"
    assert one.event["created"] == 1_735_689_600


def _until(happened: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for what another process does on its own."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_many_at_once_lose_nothing(standin: Standin) -> None:
    """Eight clients, each paying three invoices: every charge is there once and the identifiers are distinct."""
    failures: list[Exception] = []

    def work() -> None:
        try:
            client = standin.client()
            customer = new_customer(client, "pm_card_visa")
            for amount in (100, 200, 300):
                client.v1.invoices.pay(open_invoice(client, customer, amount).id)
        except stripe.StripeError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    state = standin.state()
    assert state["paid_minor"] == {"usd": 8 * 600}
    assert state["counts"]["charge"] == 24
    assert state["events"]["invoice.paid"] == 24


def test_controls_say_how_to_call_them(standin: Standin) -> None:
    request = urllib.request.Request(f"{standin.url}/_standin/explode", b"{}")  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310 - loopback
    assert refused.value.code == 404
    assert "POST faults" in json.loads(refused.value.read())["controls"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:4242"}, 200),
        ({"Host": "[::1]:4242"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:4242"}, 403),
        ({"Host": "[127.0.0.1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_its_controls_are_closed_to_pages_in_a_browser(standin: Standin, headers: dict[str, str], status: int) -> None:
    def control(path: str, data: bytes | None = None) -> int:
        request = urllib.request.Request(f"{standin.url}/_standin/{path}", data=data, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert control("state") == status
    standin.client().v1.customers.create({})
    assert control("reset", b"{}") == status
    assert len(standin.objects("customer")) == (0 if status == 200 else 1)


def test_its_secrets_are_not_among_its_arguments(tmp_path: Path) -> None:
    class Own(Standin):
        api_key, secret = "sk_test_only_ours", "whsec_only_ours"

    own = Own(tmp_path, "--webhook-url", "http://127.0.0.1:1/")
    own.start()
    try:
        assert own.client().v1.customers.create({}).id
        arguments = psutil.Process(own.pid).cmdline()
        assert not [one for one in arguments if "only_ours" in one]
        (parcel,) = own.control("take", {})["parcels"]
        event = stripe.Webhook.construct_event(parcel["body"], parcel["headers"]["Stripe-Signature"], own.secret)
        assert event.type == "customer.created"
    finally:
        own.stop()
