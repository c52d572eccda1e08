-- what:       end the open holds of locked wallets whose time is over
-- called by:  ledger/lapsing.py
-- parameters: %(wallets)s bigint[], %(at)s timestamptz, %(actor_type)s, %(actor_id)s text
INSERT INTO ledger_hold_resolution (hold_id, kind, amount, draw_id, actor_type, actor_id, resolved_at)
SELECT o.hold_id, 'lapsed', 0, NULL, %(actor_type)s, %(actor_id)s, %(at)s
  FROM ledger_hold_open o
 WHERE o.wallet_id = ANY (%(wallets)s) AND o.expires_at <= %(at)s
