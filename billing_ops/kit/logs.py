"""Logs: one JSON object a line on standard output, without secrets."""

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Any

# What must not be read in a log, even where an error message quotes it.
_SECRETS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)"  # a password in an address
    r"|(?P<key>\b(?:sk|rk|pk)_(?:live|test)_|\bwhsec_|\bbo_[a-z0-9]{10}_)[A-Za-z0-9_\-+/=]+"  # keys, kept recognisable
    r"|(?P<header>\b(?:authorization|stripe-signature|cookie|set-cookie|x-csrftoken)\b[\"']?\s*[:=]\s*)[^\r\n]+"
    r"|(?P<field>\b(?:password|secret_key|passwd|client_secret)\b[\"']?\s*[:=]\s*[\"']?)[^\s\"',}]+",
    re.IGNORECASE,
)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "request",
    "taskName",
    "color_message",
}


def scrub(text: str) -> str:
    """Take passwords, keys and signatures out of a text that is about to be logged."""
    return _SECRETS.sub(lambda found: next(filter(None, found.groups()), "") + "[removed]", text)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; fields given with ``extra=`` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": scrub(record.getMessage()),
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and not name.startswith("_"):
                line[name] = value if isinstance(value, int | bool | type(None)) else scrub(str(value))
        if record.exc_info:
            line["exception"] = scrub("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(line, ensure_ascii=False)


def logging_config(level: str) -> dict[str, Any]:
    """Django's LOGGING: everything to standard output at that level."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "billing_ops.kit.logs.JsonFormatter"}},
        "filters": {"request_id": {"()": "billing_ops.kit.request_id.RequestIdFilter"}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json",
                "filters": ["request_id"],
            }
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            "django.db.backends": {"level": "WARNING"},  # its DEBUG quotes every statement with its values
            "stripe": {"level": "WARNING"},  # its INFO quotes requests
            # One line for each tick of the clock says nothing; what fails is logged above this level.
            "celery.beat": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.worker.request": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
        },
    }
