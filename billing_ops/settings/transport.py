"""How the console and the API travel in production: over TLS alone, with cookies bound to this host."""

from typing import Any

import environ

_HALF_A_MINUTE_MS = 30_000


def transport_settings(env: environ.Env) -> dict[str, Any]:
    """Settings of a production web server. TLS may end here or at a proxy that sets ``X-Forwarded-Proto`` itself."""
    settings: dict[str, Any] = {
        "SECURE_SSL_REDIRECT": True,
        "SECURE_REDIRECT_EXEMPT": [r"^healthz$", r"^readyz$"],  # asked over plain HTTP from inside
        "SECURE_HSTS_SECONDS": env.int("HSTS_SECONDS", default=365 * 24 * 60 * 60),
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": env.bool("HSTS_INCLUDE_SUBDOMAINS", default=False),
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SESSION_COOKIE_NAME": "__Host-session",  # the browser refuses it from another host or over HTTP
        "CSRF_COOKIE_NAME": "__Host-csrf",
        "CSRF_TRUSTED_ORIGINS": env.list("CSRF_TRUSTED_ORIGINS", default=[]),
    }
    if env.bool("BEHIND_PROXY", default=False):
        # Only behind a proxy that always replaces this header; a client could set it otherwise.
        settings["SECURE_PROXY_SSL_HEADER"] = ("HTTP_X_FORWARDED_PROTO", "https")
    return settings


def connection_options(env: environ.Env, *, role: str, process: str, given: str) -> str:
    """The libpq ``options`` of a connection: the owner's role, and limits for processes that a person waits for."""
    options = [given] if given and role != "owner" else []
    # Our statements are short; compiling one took longer than running it (159 of 303 ms, measured on a usage read).
    options.append("-c jit=off")
    if role == "owner":
        options.append("-c role=billing_owner")
    elif process == "web":
        limit = env.int("WEB_STATEMENT_TIMEOUT_MS", default=15_000)
        options.append(f"-c statement_timeout={limit}")
        options.append(f"-c idle_in_transaction_session_timeout={max(limit * 2, _HALF_A_MINUTE_MS)}")
    return " ".join(options)
