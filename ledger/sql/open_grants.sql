-- what:       the grants of wallets of which something is available, with their terms and what stands on their accounts
-- called by:  ledger/wallets.py; ledger/rules/burndown.py orders them
-- parameters: %(wallets)s bigint[], %(held_too)s boolean: grants that are wholly held as well
SELECT g.wallet_id, g.id, g.kind, g.priority, g.effective_at, g.expires_at, g.scope, b.net - b.held AS available,
       g.public_id::text, a.code, b.net, g.amount, g.cost_basis, g.rate, g.currency, g.money_code
  FROM ledger_credit_grant g
 CROSS JOIN LATERAL (
    SELECT normal_side * (debits - credits) AS net, held FROM ledger_balance WHERE account_id = g.account_id OFFSET 0) b
 CROSS JOIN LATERAL (SELECT code FROM ledger_account WHERE id = g.account_id OFFSET 0) a
 WHERE g.wallet_id = ANY (%(wallets)s) AND (b.net - b.held > 0 OR %(held_too)s AND b.net > 0)
