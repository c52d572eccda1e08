-- what:       debits and credits of each account code in one unit, effective before an instant
-- called by:  ledger/balances.py
-- parameters: %(unit)s text, %(until)s timestamptz or null
SELECT c.code, c.name, sums.debits, sums.credits
  FROM (SELECT a.code, coalesce(sum(l.amount) FILTER (WHERE l.side = 1), 0) AS debits,
               coalesce(sum(l.amount) FILTER (WHERE l.side = -1), 0) AS credits
          FROM ledger_line l
          JOIN ledger_account a ON a.id = l.account_id
          JOIN ledger_entry e ON e.id = l.entry_id
         WHERE a.unit = %(unit)s AND (%(until)s::timestamptz IS NULL OR e.effective_at < %(until)s)
         GROUP BY a.code) sums
  JOIN ledger_account_code c ON c.code = sums.code
 ORDER BY c.code
