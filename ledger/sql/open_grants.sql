-- what:       the grants of a wallet of which something is available, with their terms
-- called by:  ledger/drawing.py; ledger/rules/burndown.py orders them
-- parameters: %(wallet)s bigint
SELECT g.id, g.kind, g.priority, g.effective_at, g.expires_at, g.scope,
       b.normal_side * (b.debits - b.credits) - b.held AS available, g.public_id
  FROM ledger_credit_grant g
  JOIN ledger_balance b ON b.account_id = g.account_id
 WHERE g.wallet_id = %(wallet)s AND b.normal_side * (b.debits - b.credits) - b.held > 0
