"""Who may do what: the roles as data. ``manage.py sync_roles`` makes the groups hold exactly this.

Nobody works as a superuser. A permission that Django does not make by itself (``view_…`` of every model) is listed in
:data:`OWN_PERMISSIONS` with the model it belongs to.
"""

OWN_PERMISSIONS: dict[str, tuple[str, str]] = {
    "ledger.issue_credit": ("creditgrant", "Can issue goodwill and promotional credits"),
    "ledger.approve_credit": ("creditgrant", "Can approve credits above a limit"),
    "ledger.set_limits": ("creditlimit", "Can set the limits of credit"),
    "ledger.close_period": ("period", "Can close periods of the books and ask for them to be reopened"),
    "ledger.reopen_period": ("period", "Can approve that a closed period is reopened"),
    "ledger.manage_schedules": ("creditschedule", "Can make and end schedules of credit"),
    "ledger.set_rates": ("unitrate", "Can register units of credit and set what they are worth"),
    "invoicing.order_topup": ("topup", "Can order top-ups, give them up, and set automatic ones"),
    "ledger.view_journal": ("entry", "Can read the journal and the accounts"),
    "invoicing.finalize_invoice": ("invoice", "Can finalize a draft invoice"),
    "invoicing.collect_invoice": ("invoice", "Can collect an open invoice"),
    "invoicing.replay_stripeevent": ("stripeevent", "Can replay a webhook event"),
    "billing_ops.manage_apikey": ("apikey", "Can create and revoke API keys"),
    "metering.investigate_usage": ("meter", "Can look at meters, batches and any customer's raw events"),
}

_CATALOGUE = {"plans.view_plan", "plans.view_planversion", "plans.view_price"}

# Everything of a customer: the account, its bills and credits, and the events behind an amount.
_CUSTOMERS = _CATALOGUE | {
    "plans.view_customer",
    "plans.view_subscription",
    "invoicing.view_invoice",
    "invoicing.view_paymentattempt",
    "ledger.view_creditgrant",
    "metering.view_meter",
    "billing_ops.view_auditentry",
}

# What a person must be able to do to make a key that does it: a key never does more than whoever made it. A scope that
# is None matches nothing a person does here; only whoever runs the machine gives it, with ``create_api_key``.
SCOPE_PERMISSIONS: dict[str, frozenset[str] | None] = {
    "events:write": frozenset({"billing_ops.manage_apikey"}),
    "usage:read": frozenset({"metering.investigate_usage"}),
    "customers:read": frozenset({"plans.view_customer"}),
    "customers:write": None,
    "meters:read": frozenset({"metering.view_meter"}),
    "meters:write": frozenset({"metering.investigate_usage"}),  # a meter bills nothing until a plan prices it
    "plans:read": frozenset({"plans.view_plan", "plans.view_planversion", "plans.view_price"}),
    "plans:write": None,
    "subscriptions:read": frozenset({"plans.view_subscription"}),
    "subscriptions:write": None,
    "balances:read": frozenset({"ledger.view_creditgrant"}),
    "credits:write": frozenset({"ledger.issue_credit"}),
    "draws:write": None,  # nobody draws by hand
    "invoices:read": frozenset({"invoicing.view_invoice"}),
    "invoices:write": frozenset({"invoicing.finalize_invoice", "invoicing.collect_invoice"}),
}

ROLES: dict[str, frozenset[str]] = {
    "Support": frozenset(_CUSTOMERS | {"ledger.issue_credit", "ledger.view_creditlimit", "billing_ops.view_approval"}),
    "Finance": frozenset(
        _CUSTOMERS
        | {
            "ledger.issue_credit",
            "ledger.approve_credit",
            "ledger.set_limits",
            "ledger.view_creditlimit",
            "billing_ops.view_approval",
            "ledger.view_period",
            "ledger.close_period",
            "ledger.reopen_period",
            "ledger.manage_schedules",
            "ledger.set_rates",
            "ledger.view_unitrate",
            "invoicing.order_topup",
            "ledger.view_journal",
            "ledger.view_entry",
            "ledger.view_account",
            "invoicing.finalize_invoice",
            "invoicing.collect_invoice",
            "invoicing.view_stripeevent",
            "billing_ops.view_failedwork",
        }
    ),
    "Engineer": frozenset(
        _CATALOGUE
        | {
            "metering.view_meter",
            "metering.investigate_usage",
            "invoicing.view_stripeevent",
            "invoicing.replay_stripeevent",
            "billing_ops.view_apikey",
            "billing_ops.manage_apikey",
            "billing_ops.view_failedwork",
        }
    ),
}
