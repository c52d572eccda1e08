"""Settings: everything that differs between machines comes from the environment (see the README's table)."""

import os
from pathlib import Path
from typing import Any

import environ

from billing_ops.kit.logs import logging_config
from billing_ops.settings.console import *  # noqa: F403  # the theme, the policy and the headers of the console
from billing_ops.settings.guard import refuse
from billing_ops.settings.transport import connection_options, transport_settings

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent.parent

BILLING_ENV: str = env.str("BILLING_ENV", default="local")  # local | test | production
SECRET_KEY: str = env.str("SECRET_KEY", default="local-only-not-a-secret")
DEBUG: bool = env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", "testserver"])

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # the theme without its site: ours is billing_ops.console.site
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "billing_ops.console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "djmoney",
    "csp",
    "ninja",  # for the static files of the API's page
    "billing_ops",
    "metering",
    "ledger",
    "plans",
    "invoicing",
]

MIDDLEWARE = [
    "billing_ops.kit.http.middleware.RequestIdMiddleware",  # first: every answer and log line has the id
    "csp.middleware.CSPMiddleware",  # outermost: static files and errors carry the policy too
    "billing_ops.console.headers.ResponseHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "billing_ops.console.time_limit.ReadTimeLimit",
]

ROOT_URLCONF = "billing_ops.urls"
WSGI_APPLICATION = "billing_ops.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# The application works as a role that is neither owner nor superuser. Migrations run as the owner: commands started
# with BILLING_DB_ROLE=owner take OWNER_DATABASE_URL.
BILLING_DB_ROLE: str = env.str("BILLING_DB_ROLE", default="app")  # app | owner
_database_url: str = env.str("DATABASE_URL", default="postgres://billing_app@127.0.0.1:5432/billing_ops")
if BILLING_DB_ROLE == "owner":
    _database_url = env.str("OWNER_DATABASE_URL", default=_database_url)
DATABASES: dict[str, dict[str, Any]] = {"default": dict(env.db_url_config(_database_url))}
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # after the database was restarted, the next request reconnects
_options = DATABASES["default"].setdefault("OPTIONS", {})
_options.setdefault("connect_timeout", 5)  # seconds; a server that is gone is said to be gone
_options["options"] = connection_options(
    env, role=BILLING_DB_ROLE, process=env.str("BILLING_PROCESS", default=""), given=_options.get("options", "")
)

REDIS_URL: str = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
REDIS_NAMESPACE: str = env.str(
    "REDIS_NAMESPACE", default=""
)  # prefix of every key: several installations share a server

CELERY_BROKER_URL = REDIS_URL
# A broker that vanished without closing its connections is noticed; without limits a command would wait for ever.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 5,
    "socket_timeout": 30,
    "socket_keepalive": True,
    **({"global_keyprefix": REDIS_NAMESPACE} if REDIS_NAMESPACE else {}),
}
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker as long as that takes
CELERY_TIMEZONE = "UTC"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
# Whatever hangs is ended before the broker gives its message out again (an hour); the rows carry the work on.
CELERY_TASK_TIME_LIMIT = 50 * 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

LOGGING = logging_config(env.str("LOG_LEVEL", default="WARNING" if BILLING_ENV == "test" else "INFO"))
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

STATIC_URL = "static/"
BILLING_HOME = Path(env.str("BILLING_HOME", default="") or BASE_DIR / "var")
STATIC_ROOT = BILLING_HOME / "static"
_static_files = "django.contrib.staticfiles.storage.StaticFilesStorage"
if BILLING_ENV != "test":
    _static_files = "whitenoise.storage.CompressedManifestStaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _static_files},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = (
    11 * 1024 * 1024
)  # above the 10 MB a batch of events may have, so that our own 413 answers

# The API's page and OpenAPI document: for anybody, or for signed-in staff alone.
API_DOCS_PUBLIC: bool = env.bool("API_DOCS_PUBLIC", default=BILLING_ENV != "production")

# A virtual clock for tests and demonstrations: a file that holds an ISO 8601 instant. Empty: the real time.
BILLING_CLOCK_FILE: str = env.str("BILLING_CLOCK_FILE", default="")

# The function that says whether a customer may hold credit in a currency: the ledger knows no customers.
CREDIT_HOLDER_CHECK: str = env.str("CREDIT_HOLDER_CHECK", default="plans.customers.check_credit_holder")

STRIPE_SECRET_KEY: str = env.str("STRIPE_SECRET_KEY", default="sk_test_standin")
STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", default="")  # empty: Stripe's own hosts
STRIPE_WEBHOOK_SECRETS: list[str] = env.list("STRIPE_WEBHOOK_SECRETS", default=["whsec_standin"])

from billing_ops.settings.approvals import *  # noqa: E402, F403
from billing_ops.settings.credits import *  # noqa: E402, F403
from billing_ops.settings.invoices import *  # noqa: E402, F403

if BILLING_ENV == "production":
    globals().update(transport_settings(env))
refuse(globals(), os.environ)
