"""Refuses to start with settings that would be unsafe where they are used, naming every problem at once."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

ENVIRONMENTS = ("local", "test", "production")
_LIVE_KEYS = ("sk_live_", "rk_live_")
_NEVER_THE_APPLICATION = ("billing_owner", "billing_migrator", "postgres", "root")


def refuse(settings: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Raise ``ImproperlyConfigured`` with every problem of these settings; silent when there is none."""
    found = problems(settings, environ)
    if found:
        lines = "\n".join(f"  * {each}" for each in found)
        raise ImproperlyConfigured(
            f"Billing Ops does not start with BILLING_ENV={settings['BILLING_ENV']} and these settings:\n{lines}\n"
            "Nothing was changed. The README lists every setting."
        )


def problems(settings: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Every problem, in words that say what to set."""
    found = []
    if settings["BILLING_ENV"] not in ENVIRONMENTS:
        found.append(f"BILLING_ENV is one of {', '.join(ENVIRONMENTS)}.")
    if settings["BILLING_DB_ROLE"] not in ("app", "owner"):
        found.append("BILLING_DB_ROLE is app (the default) or owner (for migrations).")
    if settings["BILLING_ENV"] == "production":
        return [
            *found,
            *_of_django(settings, environ),
            *_of_services(settings, environ),
            *_of_stripe(settings, environ),
        ]
    if settings["STRIPE_SECRET_KEY"].startswith(_LIVE_KEYS):
        found.append(
            "STRIPE_SECRET_KEY is a live key, which moves real money. It belongs to BILLING_ENV=production alone; take "
            "a key that starts with sk_test_ here."
        )
    return found


def _of_django(settings: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    found = []
    key: str = settings["SECRET_KEY"]
    if not environ.get("SECRET_KEY") or key.startswith("django-insecure-") or len(key) < 50 or len(set(key)) < 8:
        found.append("SECRET_KEY is missing, a default or short: set at least 50 random characters, kept secret.")
    if settings["DEBUG"]:
        found.append("DEBUG is on, which shows settings and data to anybody: unset it.")
    hosts: list[str] = settings["ALLOWED_HOSTS"]
    if not environ.get("ALLOWED_HOSTS") or not hosts or any(host.strip() in ("", "*", ".") for host in hosts):
        found.append(
            "ALLOWED_HOSTS is missing or open: name the console's hosts, e.g. ALLOWED_HOSTS=billing.example.com"
        )
    if settings["BILLING_CLOCK_FILE"]:
        found.append("BILLING_CLOCK_FILE sets a virtual clock: unset it, real customers live in real time.")
    if not environ.get("SELLER_NAME"):
        found.append(
            "SELLER_NAME is missing (and so perhaps the rest of SELLER_…): invoices carry the seller's identity."
        )
    return found


def _of_services(settings: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    found = []
    if not environ.get("DATABASE_URL"):
        found.append("DATABASE_URL is missing: e.g. postgres://billing_app:…@db.internal:5432/billing_ops")
    elif settings["BILLING_DB_ROLE"] == "app" and settings["DATABASES"]["default"]["USER"] in _NEVER_THE_APPLICATION:
        found.append(
            "DATABASE_URL logs in as a role that owns or administers the tables; the application works as billing_app, "
            "else the database could not protect the journal from it."
        )
    if settings["BILLING_DB_ROLE"] == "owner" and not environ.get("OWNER_DATABASE_URL"):
        found.append("OWNER_DATABASE_URL is missing: migrations log in as billing_migrator.")
    if not environ.get("REDIS_URL"):
        found.append("REDIS_URL is missing: e.g. rediss://:…@redis.internal:6379/0")
    return found


def _of_stripe(settings: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    found = []
    if not settings["STRIPE_SECRET_KEY"].startswith(_LIVE_KEYS):
        found.append(
            "STRIPE_SECRET_KEY is missing or a test key: production takes sk_live_… or, better, a restricted key."
        )
    if settings["STRIPE_API_BASE"]:
        found.append("STRIPE_API_BASE points to a stand-in, where no money moves: unset it.")
    secrets: list[str] = settings["STRIPE_WEBHOOK_SECRETS"]
    if not environ.get("STRIPE_WEBHOOK_SECRETS") or not all(
        secret.startswith("whsec_") and len(secret) >= 20 for secret in secrets
    ):
        found.append("STRIPE_WEBHOOK_SECRETS is missing or made up: set the whsec_… of the webhook endpoint.")
    return found
