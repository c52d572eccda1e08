-- What:       what moved a customer's unbilled use (1110) after one version and up to another, and no accrual of an item
--             explains: draws beyond credits (of metered usage by its drawdown), overage, credit that covered use later, what
--             was given back, opening balances
-- Called by:  invoicing/overages.py
-- Parameters: %(account)s bigint, %(after)s bigint, %(through)s bigint
SELECT CASE WHEN u.drawdown_id IS NULL THEN coalesce(undone.event_type, e.event_type) ELSE 'credit.drawn' END AS event_type,
       count(*), sum(l.side * l.amount),
       min(coalesce(e.occurred_at, e.effective_at)), max(coalesce(e.occurred_at, e.effective_at)), u.drawdown_id
  FROM ledger_line l
  JOIN ledger_entry e ON e.id = l.entry_id
  LEFT JOIN ledger_entry undone ON undone.id = e.reverses_id
  LEFT JOIN LATERAL (  -- an entry draws or gives back for one drawdown at most
    SELECT drawdown_id FROM invoicing_usagedraw WHERE entry_id = e.id LIMIT 1) u ON true
 WHERE l.account_id = %(account)s AND l.account_version > %(after)s AND l.account_version <= %(through)s
   AND coalesce(undone.event_type, e.event_type) NOT IN ('usage.accrued', 'invoice.finalized')
 GROUP BY 1, u.drawdown_id ORDER BY 1, u.drawdown_id NULLS FIRST
