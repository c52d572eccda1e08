"""What needs a second person: each kind of approval and where it lives (a ``billing_ops.kit.approval_kinds.Kind``)."""

APPROVAL_KINDS: dict[str, str] = {
    "credit.grant": "ledger.approved.CREDIT_GRANT",
    "credit.transfer": "ledger.transferring.CREDIT_TRANSFER",
    "period.reopen": "ledger.reopening.PERIOD_REOPEN",
    "credit.limit": "ledger.approved.CREDIT_LIMIT",
}
