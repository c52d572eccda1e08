"""Settings of credit: accounting policies that companies choose differently, and when expiry may be booked."""

import environ

env = environ.Env()

# Promotional credit: "memo" keeps it off the balance sheet until it is used (contra-revenue 4900 then);
# "expense_on_grant" books 6100 / 2020 when it is given. Grants keep the policy they were made under.
CREDIT_PROMO_POLICY: str = env.str("CREDIT_PROMO_POLICY", default="memo")

# What paid credit that expires becomes: "income" (4030), or "unclaimed_property" (2500) where the law says so.
CREDIT_BREAKAGE: str = env.str("CREDIT_BREAKAGE", default="income")

# A function that answers up to when usage is known to be counted, or None; expiry waits for it. Empty: nobody is asked.
CREDIT_EXPIRY_WATERMARK: str = env.str("CREDIT_EXPIRY_WATERMARK", default="metering.usage.counted_until")

# How long usage that is late still finds the credit that was there when it happened.
CREDIT_EXPIRY_GRACE_SECONDS: int = env.int("CREDIT_EXPIRY_GRACE_SECONDS", default=24 * 3600)

# A function that says what a customer used of a feature and was not drawn yet: it is taken off what is available.
# unbilled(customer_key=, feature=, unit=, at=) -> Decimal. Empty: what is used is drawn at once.
CREDIT_UNBILLED_USAGE: str = env.str("CREDIT_UNBILLED_USAGE", default="invoicing.drawdowns.unbilled")

for _name, _value, _known in (
    ("CREDIT_PROMO_POLICY", CREDIT_PROMO_POLICY, ("memo", "expense_on_grant")),
    ("CREDIT_BREAKAGE", CREDIT_BREAKAGE, ("income", "unclaimed_property")),
):
    if _value not in _known:
        raise ValueError(f"{_name} is {_value!r}: it must be {' or '.join(_known)}")
