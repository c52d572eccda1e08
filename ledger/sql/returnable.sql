-- what:       what a draw took from each grant, with the grant as ledger/sql/open_grants.sql has it, and what of it was
--             not given back yet
-- called by:  ledger/returning.py, under the wallet's lock
-- parameters: %(draw)s bigint
SELECT g.wallet_id, g.id, g.kind, g.priority, g.effective_at, g.expires_at, g.scope,
       b.normal_side * (b.debits - b.credits) - b.held AS available, g.public_id::text, a.code,
       b.normal_side * (b.debits - b.credits) AS net, g.amount, g.cost_basis, g.rate, g.currency, g.money_code,
       t.amount - coalesce((
            SELECT sum(al.amount) FROM ledger_credit_return r
              JOIN ledger_credit_return_allocation al ON al.return_id = r.id AND al.grant_id = t.grant_id
             WHERE r.draw_id = t.draw_id), 0) AS not_returned
  FROM ledger_credit_draw_allocation t
  JOIN ledger_credit_grant g ON g.id = t.grant_id
  JOIN ledger_balance b ON b.account_id = g.account_id
  JOIN ledger_account a ON a.id = g.account_id
 WHERE t.draw_id = %(draw)s
