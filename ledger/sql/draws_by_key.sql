-- what:       the draws that wallets already remember under keys, by the position of the key asked for
-- called by:  ledger/drawing.py; each key is one index look-up, however many draws the wallet has
-- parameters: %(wallets)s, %(keys)s json arrays side by side
SELECT k.position, d.id, d.amount, d.feature, d.used_at, d.usage_ref, d.policy, d.outcome, d.shortfall, d.available,
       d.overage, d.overage_currency, d.entry_id
  FROM ROWS FROM (json_array_elements_text(%(wallets)s::json), json_array_elements_text(%(keys)s::json))
       WITH ORDINALITY AS k (wallet, key, position)
 CROSS JOIN LATERAL (
    SELECT * FROM ledger_credit_draw
     WHERE wallet_id = k.wallet::bigint AND idempotency_key = k.key AND ref = '' OFFSET 0) d
