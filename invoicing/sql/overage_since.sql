-- What:       what moved a customer's unbilled use (1110) after one version and up to another, and no accrual of an item
--             explains: draws beyond credits, overage, credit that covered use later, what was given back, opening balances
-- Called by:  invoicing/overages.py
-- Parameters: %(account)s bigint, %(after)s bigint, %(through)s bigint
SELECT coalesce(undone.event_type, e.event_type) AS event_type, count(*), sum(l.side * l.amount),
       min(coalesce(e.occurred_at, e.effective_at)), max(coalesce(e.occurred_at, e.effective_at))
  FROM ledger_line l
  JOIN ledger_entry e ON e.id = l.entry_id
  LEFT JOIN ledger_entry undone ON undone.id = e.reverses_id
 WHERE l.account_id = %(account)s AND l.account_version > %(after)s AND l.account_version <= %(through)s
   AND coalesce(undone.event_type, e.event_type) NOT IN ('usage.accrued', 'invoice.finalized')
 GROUP BY 1 ORDER BY 1
