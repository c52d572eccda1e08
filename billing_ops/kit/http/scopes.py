"""What an API key may do: each operation needs exactly one scope."""

from typing import Final

SCOPES: Final[dict[str, str]] = {
    "events:write": "Send usage events.",
    "usage:read": "Read usage and its lag.",
    "customers:read": "Read customers.",
    "customers:write": "Create and change customers.",
    "meters:read": "Read meters.",
    "meters:write": "Define meters.",
    "plans:read": "Read plans and rate prices.",
    "plans:write": "Create and publish plans.",
    "subscriptions:read": "Read subscriptions.",
    "subscriptions:write": "Start and end subscriptions.",
    "balances:read": "Read balances and credits.",
    "credits:write": "Grant credits.",
    "draws:write": "Draw, hold and give back credit.",
    "invoices:read": "Read invoices and previews.",
    "invoices:write": "Finalise invoices and collect them.",
}
