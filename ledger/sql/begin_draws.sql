-- what:       all that a batch of draws is decided from, in one trip to the server: five statements in their order, each of
--             which sees what was committed before it began. The period of the day is entered, the wallets that are
--             there are locked; then what they remember under the keys, their grants of which something is available,
--             and ids for draws and entries to come
-- called by:  ledger/drawn.py
-- parameters: %(at)s timestamptz, %(customers)s, %(units)s json arrays side by side, %(keys)s json array,
--             %(owners)s json array beside it: the position (from 1) of each key's customer and unit
SELECT b.id, b.timezone, p.day, p.period_id, p.status
  FROM ledger_book b
 CROSS JOIN LATERAL ledger_enter_periods(b.id, ARRAY[(%(at)s::timestamptz AT TIME ZONE b.timezone)::date]) p
 WHERE b.key = 'main';
SELECT customer_key, unit, wallet_id FROM ledger_lock_wallets(%(customers)s, %(units)s);
WITH wallets AS MATERIALIZED (
    SELECT o.position, w.id
      FROM ROWS FROM (json_array_elements_text(%(customers)s::json), json_array_elements_text(%(units)s::json))
           WITH ORDINALITY AS o (customer, unit, position)
     CROSS JOIN LATERAL (
        SELECT id FROM ledger_credit_wallet WHERE customer_key = o.customer AND unit = o.unit OFFSET 0) w)
SELECT k.position, d.id, d.amount, d.feature, d.used_at, d.usage_ref, d.policy, d.outcome, d.shortfall, d.available,
       d.overage, d.overage_currency, d.entry_id
  FROM ROWS FROM (json_array_elements_text(%(keys)s::json), json_array_elements_text(%(owners)s::json))
       WITH ORDINALITY AS k (key, owner, position)
  JOIN wallets w ON w.position = k.owner::bigint
 CROSS JOIN LATERAL (
    SELECT * FROM ledger_credit_draw WHERE wallet_id = w.id AND idempotency_key = k.key AND ref = '' OFFSET 0) d;
WITH wallets AS MATERIALIZED (
    SELECT w.id
      FROM ROWS FROM (json_array_elements_text(%(customers)s::json), json_array_elements_text(%(units)s::json))
           AS o (customer, unit)
     CROSS JOIN LATERAL (
        SELECT id FROM ledger_credit_wallet WHERE customer_key = o.customer AND unit = o.unit OFFSET 0) w)
SELECT g.wallet_id, g.id, g.kind, g.priority, g.effective_at, g.expires_at, g.scope, b.net - b.held AS available,
       g.public_id::text, a.code, b.net, g.amount, g.cost_basis, g.rate, g.currency, g.money_code
  FROM wallets w
 CROSS JOIN LATERAL (SELECT * FROM ledger_credit_grant WHERE wallet_id = w.id OFFSET 0) g
 CROSS JOIN LATERAL (
    SELECT normal_side * (debits - credits) AS net, held FROM ledger_balance WHERE account_id = g.account_id OFFSET 0) b
 CROSS JOIN LATERAL (SELECT code FROM ledger_account WHERE id = g.account_id OFFSET 0) a
 WHERE b.net - b.held > 0;
SELECT (SELECT string_agg(nextval('ledger_credit_draw_id_seq')::text, ' ') FROM json_array_elements(%(keys)s::json)),
       (SELECT string_agg(nextval('ledger_entry_id_seq')::text, ' ') FROM json_array_elements(%(units)s::json))
