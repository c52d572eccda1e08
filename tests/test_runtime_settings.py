"""Production settings refuse to boot when they are unsafe, and say everything that is wrong at once."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import environ
import pytest

from billing_ops.kit.logs import JsonFormatter, scrub
from billing_ops.settings.guard import problems
from billing_ops.settings.transport import connection_options

ROOT = Path(__file__).resolve().parents[1]
_SOUND = {
    "BILLING_ENV": "production",
    "SECRET_KEY": "f3Jq8-vN2xW0zLk7Rt5yPb9cHd1mGs4aUe6oTi_QXwZrVnKjMlBh",
    "ALLOWED_HOSTS": "billing.example.com",
    "DATABASE_URL": "postgres://billing_app:pw@127.0.0.1:1/billing_ops",
    "REDIS_URL": "redis://:pw@127.0.0.1:1/0",
    "STRIPE_SECRET_KEY": "rk_live_" + "0" * 24,
    "STRIPE_WEBHOOK_SECRETS": "whsec_" + "0" * 32,
    "SELLER_NAME": "Acme Inference GmbH",
}


def _boot(environment: dict[str, str], show: str = "BILLING_ENV") -> "subprocess.CompletedProcess[str]":
    """Load the settings in a process that has this environment and nothing else of ours."""
    return subprocess.run(
        [sys.executable, "-c", f"from django.conf import settings; print(repr(settings.{show}))"],
        cwd=ROOT,
        env={"PATH": os.defpath, "DJANGO_SETTINGS_MODULE": "billing_ops.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _found(**changes: str) -> list[str]:
    """The problems of sound production settings after these changes of the environment (empty: unset)."""
    given = {name: value for name, value in {**_SOUND, **changes}.items() if value}
    env = environ.Env()
    env.ENVIRON = given
    url = env.db_url_config(given.get("DATABASE_URL", "postgres://billing_app@127.0.0.1/x"))
    settings: dict[str, Any] = {
        "BILLING_ENV": given["BILLING_ENV"],
        "BILLING_DB_ROLE": given.get("BILLING_DB_ROLE", "app"),
        "SECRET_KEY": given.get("SECRET_KEY", "local-only-not-a-secret"),
        "DEBUG": env.bool("DEBUG", default=False),
        "ALLOWED_HOSTS": env.list("ALLOWED_HOSTS", default=["localhost"]),
        "BILLING_CLOCK_FILE": given.get("BILLING_CLOCK_FILE", ""),
        "DATABASES": {"default": url},
        "STRIPE_SECRET_KEY": given.get("STRIPE_SECRET_KEY", "sk_test_standin"),
        "STRIPE_API_BASE": given.get("STRIPE_API_BASE", ""),
        "STRIPE_WEBHOOK_SECRETS": env.list("STRIPE_WEBHOOK_SECRETS", default=["whsec_standin"]),
    }
    return problems(settings, given)


def test_sound_production_settings_boot() -> None:
    done = _boot(_SOUND)
    assert done.returncode == 0, done.stderr
    assert _found() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 60),
        ("SECRET_KEY", "django-insecure-" + _SOUND["SECRET_KEY"]),
        ("DEBUG", "true"),
        ("ALLOWED_HOSTS", ""),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "billing.example.com,*"),
        ("BILLING_CLOCK_FILE", "/tmp/clock"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "postgres://billing_migrator@127.0.0.1/billing_ops"),
        ("DATABASE_URL", "postgres://postgres@127.0.0.1/billing_ops"),
        ("REDIS_URL", ""),
        ("STRIPE_API_BASE", "http://127.0.0.1:12111"),
        ("STRIPE_SECRET_KEY", ""),
        ("STRIPE_SECRET_KEY", "sk_test_" + "0" * 24),
        ("STRIPE_WEBHOOK_SECRETS", ""),
        ("STRIPE_WEBHOOK_SECRETS", "whsec_standin"),
        ("STRIPE_WEBHOOK_SECRETS", f"{_SOUND['STRIPE_WEBHOOK_SECRETS']},changeme"),
        ("SELLER_NAME", ""),
        ("BILLING_DB_ROLE", "owner"),  # without OWNER_DATABASE_URL
        ("BILLING_DB_ROLE", "superuser"),
    ],
)
def test_one_unsafe_setting_is_one_problem_that_names_it(name: str, value: str) -> None:
    (problem,) = _found(**{name: value})
    assert problem.startswith("OWNER_DATABASE_URL" if (name, value) == ("BILLING_DB_ROLE", "owner") else name)


def test_production_without_anything_names_every_problem_at_once() -> None:
    done = _boot({"BILLING_ENV": "production", "DEBUG": "1", "STRIPE_API_BASE": "http://127.0.0.1:1"})
    assert done.returncode != 0
    named = (
        "SECRET_KEY",
        "DEBUG",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "REDIS_URL",
        "STRIPE_SECRET_KEY",
        "STRIPE_API_BASE",
    )
    for name in (*named, "STRIPE_WEBHOOK_SECRETS", "SELLER_NAME"):
        assert f"* {name} " in done.stderr, name


@pytest.mark.parametrize("environment", ["local", "test"])
@pytest.mark.parametrize("prefix", ["sk_live_", "rk_live_"])
def test_a_live_key_is_refused_outside_production(environment: str, prefix: str) -> None:
    done = _boot({"BILLING_ENV": environment, "STRIPE_SECRET_KEY": prefix + "0" * 24})
    assert done.returncode != 0
    assert "live key" in done.stderr
    assert "0000" not in done.stderr


def test_an_unknown_environment_is_refused() -> None:
    done = _boot({"BILLING_ENV": "prod"})
    assert done.returncode != 0
    assert "* BILLING_ENV is one of local, test, production" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECURE_SSL_REDIRECT", True),
        ("SECURE_HSTS_SECONDS", 31_536_000),
        ("SECURE_CONTENT_TYPE_NOSNIFF", True),
        ("SECURE_CROSS_ORIGIN_OPENER_POLICY", "same-origin"),
        ("SECURE_REFERRER_POLICY", "same-origin"),
        ("SECURE_PROXY_SSL_HEADER", ("HTTP_X_FORWARDED_PROTO", "https")),
        ("SESSION_COOKIE_SECURE", True),
        ("SESSION_COOKIE_NAME", "__Host-session"),
        ("SESSION_COOKIE_DOMAIN", None),
        ("SESSION_COOKIE_PATH", "/"),
        ("CSRF_COOKIE_SECURE", True),
        ("CSRF_COOKIE_NAME", "__Host-csrf"),
    ],
)
def test_production_travels_over_tls_alone(name: str, value: object) -> None:
    done = _boot({**_SOUND, "BEHIND_PROXY": "yes"}, name)
    assert done.stdout.strip() == repr(value), done.stderr


def test_the_proxy_header_is_not_believed_unless_there_is_a_proxy() -> None:
    assert _boot(_SOUND, "SECURE_PROXY_SSL_HEADER").stdout.strip() == "None"


def test_statements_have_a_limit_where_a_person_waits() -> None:
    env = environ.Env()
    assert "statement_timeout=15000" in connection_options(env, role="app", process="web", given="")
    assert connection_options(env, role="app", process="", given="") == "-c jit=off"
    assert connection_options(env, role="owner", process="web", given="-c x=y") == "-c jit=off -c role=billing_owner"
    web = _boot({"BILLING_PROCESS": "web", "WEB_STATEMENT_TIMEOUT_MS": "700"}, "DATABASES['default']['OPTIONS']")
    assert "statement_timeout=700" in web.stdout


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgres://billing_app:s3cr3t-pw@db:5432/x refused", "s3cr3t-pw"),
        ("redis://:s3cr3t-pw@cache:6379/0", "s3cr3t-pw"),
        ("Invalid API Key provided: sk_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39"),
        ("signed with whsec_abcdef0123456789", "abcdef"),
        ('{"Authorization": "Bearer bo_live_0123456789"}', "0123456789"),
        ("Stripe-Signature: t=1,v1=deadbeef", "deadbeef"),
        ("password='hunter2'", "hunter2"),
    ],
)
def test_a_log_line_holds_no_secret(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in scrub(text)


def test_a_log_line_is_one_json_object() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("probe")
    logger.addHandler(handler)
    try:
        raise ValueError("redis://:s3cr3t-pw@cache:6379/0\nsecond line")
    except ValueError:
        logger.exception("It failed for %s", "cus-1", extra={"request_id": "r-1", "count": 3})
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert told["message"] == "It failed for cus-1"
    assert (told["level"], told["logger"], told["request_id"], told["count"]) == ("ERROR", "probe", "r-1", 3)
    assert told["time"].endswith("+00:00")
    assert "ValueError" in told["exception"]
    assert "s3cr3t-pw" not in line
