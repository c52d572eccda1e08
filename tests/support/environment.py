"""The environment of every test process. Loaded by ``-p`` in pyproject.toml, before pytest-django reads any setting.

Whatever the caller's shell exports, tests run with the settings of a test and away from any real database.
"""

import os
import secrets

_NOWHERE = "postgres://billing_app@127.0.0.1:1/no-database-outside-a-fixture"
os.environ.update(
    {
        "DJANGO_SETTINGS_MODULE": "billing_ops.settings",
        "BILLING_ENV": "test",
        "BILLING_DB_ROLE": "app",
        "BILLING_CLOCK_FILE": "",
        "DEBUG": "",
        "SECRET_KEY": "only-for-tests",
        "DATABASE_URL": _NOWHERE,
        "OWNER_DATABASE_URL": _NOWHERE,
        "REDIS_NAMESPACE": f"bo-test-{os.getpid()}-{secrets.token_hex(2)}:",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # the browser's driver runs an event loop in the test's own thread
    }
)
