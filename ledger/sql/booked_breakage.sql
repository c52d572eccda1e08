-- what:       expiries that were booked of grants in force at an earlier instant and were not reversed
-- called by:  ledger/wallets.py: a draw for a use before the expiry takes that credit after all
-- parameters: %(wallets)s bigint[], %(since)s and %(at)s timestamptz
SELECT g.wallet_id, g.effective_at, g.expires_at, g.scope, e.id
  FROM ledger_credit_grant g
 CROSS JOIN LATERAL (
    SELECT id FROM ledger_entry WHERE grant_ref = g.public_id::text AND event_type = 'credit.expired' OFFSET 0) e
 WHERE g.wallet_id = ANY (%(wallets)s) AND g.expires_at > %(since)s AND g.expires_at <= %(at)s
   AND NOT EXISTS (SELECT FROM ledger_entry u WHERE u.reverses_id = e.id)
 ORDER BY e.id
