-- what:       credit that may pay for a feature at an instant, by unit: what is there, and what open holds keep of it
-- called by:  ledger/draws.py
-- parameters: %(customer)s, %(feature)s text, %(at)s timestamptz, %(unit)s text or null
SELECT w.unit, sum(b.normal_side * (b.debits - b.credits)) AS settled, sum(b.held) AS held
  FROM ledger_credit_wallet w
  JOIN ledger_credit_grant g ON g.wallet_id = w.id
  JOIN ledger_balance b ON b.account_id = g.account_id
 WHERE w.customer_key = %(customer)s AND (%(unit)s::text IS NULL OR w.unit = %(unit)s)
   AND g.effective_at <= %(at)s AND (g.expires_at IS NULL OR %(at)s < g.expires_at)
   AND (g.scope = '{}' OR %(feature)s = ANY (g.scope))
 GROUP BY w.unit
 ORDER BY w.unit
