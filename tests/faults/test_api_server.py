"""The API behind the web server of production: bodies in chunks, too large, cut off, and the database gone."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import new_key
from tests.support.stack import ROOT, free_port, wait_until

EVENT = {"specversion": "1.0", "id": "1", "source": "test", "type": "x", "subject": "acme", "data": {}}


@pytest.fixture
def server(fresh_db: Any) -> Iterator[int]:
    """granian on a database of its own, as ``make run`` starts it; gives its port."""
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--blocking-threads", "4", "--no-ws", "billing_ops.wsgi:application",
    ]  # fmt: skip
    environment = {**fresh_db.env(), "PYTHONUNBUFFERED": "1", "PATH": os.environ["PATH"]}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _ask(port, "GET", "/healthz")[0] == 200, "the server answers")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _ask(
    port: int, method: str, path: str, body: Any = None, key: str = "", *, chunked: bool = False
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    sent |= {"Transfer-Encoding": "chunked"} if chunked else {}
    try:
        connection.request(method, path, body=body, headers=sent, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    except OSError:
        return 0, None
    finally:
        connection.close()


def test_a_body_in_chunks_is_refused_and_not_taken_for_an_empty_one(server: int) -> None:
    key = new_key()
    parts = iter([json.dumps(EVENT).encode()[:20], json.dumps(EVENT).encode()[20:]])
    status, answer = _ask(server, "POST", "/api/v1/events", parts, key, chunked=True)
    assert (status, answer["code"]) == (411, "body.length_required")


def test_a_body_that_is_too_large_is_413(server: int) -> None:
    status, answer = _ask(server, "POST", "/api/v1/credits", b" " * (2 * 1024 * 1024), new_key())
    assert (status, answer["code"]) == (413, "body.too_large")


def test_a_body_that_is_cut_off_leaves_nothing_and_the_server_goes_on(server: int) -> None:
    from metering.models import Event

    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=20)
    connection.putrequest("POST", "/api/v1/events")
    connection.putheader("Authorization", f"Bearer {new_key()}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100000")
    connection.endheaders(json.dumps(EVENT).encode())
    connection.close()
    assert _ask(server, "GET", "/healthz")[0] == 200
    assert not Event.objects.exists()


def test_a_database_that_lets_nobody_in_is_503_and_afterwards_all_is_well(server: int, fresh_db: Any) -> None:
    key, body = new_key(), json.dumps(EVENT).encode()
    assert _ask(server, "POST", "/api/v1/events", body, key)[0] == 200
    with fresh_db.connect(role="admin") as admin:
        admin.execute(f'REVOKE CONNECT ON DATABASE "{fresh_db.name}" FROM billing_app')
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = 'billing_app'"
        )
        status, answer = _ask(server, "POST", "/api/v1/events", body, key)
        assert (status, answer["code"]) == (503, "database.unavailable")
        assert _ask(server, "GET", "/readyz")[0] == 503
        assert _ask(server, "GET", "/healthz")[0] == 200
        admin.execute(f'GRANT CONNECT ON DATABASE "{fresh_db.name}" TO billing_app')
    status, answer = _ask(server, "POST", "/api/v1/events", body, key)
    assert (status, answer["duplicate"]) == (200, 1)
