-- what:       the canonical form, version 1, of entries: what they say, their lines with their accounts' keys, the grants
--             they issued, the draws they post, what they give back; the function of migration 0010 says the same.
--             Twice on purpose: who bends the function in the database does not bend what verifies its work
-- called by:  ledger/verifying.py, ledger/sealing.py
-- parameters: %(ids)s bigint[]
SELECT e.id, json_build_array('entry', 1, e.public_id, e.book_id, e.source, e.idempotency_key, e.event_type,
    (extract(epoch FROM e.effective_at) * 1000000)::bigint, e.effective_on,
    (extract(epoch FROM e.occurred_at) * 1000000)::bigint, (extract(epoch FROM e.recorded_at) * 1000000)::bigint,
    e.period_id, e.line_count, e.reverses_id, e.customer_key, e.invoice_ref, e.grant_ref, e.stripe_ref,
    e.batch_ref, e.actor_type, e.actor_id, e.reason_code, e.reason_note, e.ticket, e.approval_id,
    approvals.what_was_decided, e.fx_rate, e.metadata,
    lines.all_of_them, grants.all_of_them, draws.all_of_them, returns.all_of_them)::text
  FROM unnest(%(ids)s::bigint[]) AS wanted (id)
  JOIN ledger_entry e ON e.id = wanted.id
  LEFT JOIN LATERAL (
    SELECT json_build_array(y.kind, y.content_hash, y.requested_by_type, y.requested_by_id, y.decided_by_type,
                            y.decided_by_id, (extract(epoch FROM y.decided_at) * 1000000)::bigint, y.used_for)
               AS what_was_decided
      FROM billing_ops_approval y WHERE y.id = e.approval_id) approvals ON true
 CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(l.line_no, l.account_id, a.book_id, a.code, a.customer_key, a.dimension,
                                     a.unit, l.unit, l.side, l.amount, l.account_version, l.balance_after,
                                     l.effective_on) ORDER BY l.line_no) AS all_of_them
      FROM ledger_line l LEFT JOIN ledger_account a ON a.id = l.account_id WHERE l.entry_id = e.id) lines
 CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(g.public_id, g.wallet_id, g.account_id, g.customer_key, g.unit, g.kind, g.amount,
                                     g.priority, (extract(epoch FROM g.effective_at) * 1000000)::bigint,
                                     (extract(epoch FROM g.expires_at) * 1000000)::bigint, g.scope, g.cost_basis,
                                     g.currency, g.rate, g.money_code, g.from_grant_id, g.schedule_id,
                                     g.schedule_period, g.schedule_part, g.rolls_over, g.source_invoice, g.reason_code,
                                     g.reason_note, g.ticket, g.requested_by_type, g.requested_by_id, g.approval_id,
                                     g.idempotency_key,
                                     (extract(epoch FROM g.created_at) * 1000000)::bigint)
                     ORDER BY g.id) AS all_of_them
      FROM ledger_line l JOIN ledger_credit_grant g ON g.account_id = l.account_id
     WHERE l.entry_id = e.id AND l.account_version = 1) grants
 CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(w.customer_key, w.unit, d.idempotency_key, d.ref, d.feature, d.usage_ref, d.amount,
                                     d.shortfall, d.overage, d.overage_currency, d.outcome, d.policy,
                                     (extract(epoch FROM d.used_at) * 1000000)::bigint, taken.all_of_them)
                    ORDER BY d.id) AS all_of_them
      FROM ledger_credit_draw d
      LEFT JOIN ledger_credit_wallet w ON w.id = d.wallet_id
     CROSS JOIN LATERAL (
        SELECT json_agg(json_build_array(al.grant_id, al.amount) ORDER BY al.grant_id) AS all_of_them
          FROM ledger_credit_draw_allocation al WHERE al.draw_id = d.id) taken
     WHERE d.entry_id = e.id) draws
 CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(r.wallet_id, r.idempotency_key, r.draw_id, r.amount, r.overage, r.overage_money,
                                     r.reason_code, r.reason_note, r.ticket, r.actor_type, r.actor_id,
                                     given.all_of_them) ORDER BY r.id) AS all_of_them
      FROM ledger_credit_return r
     CROSS JOIN LATERAL (
        SELECT json_agg(json_build_array(al.grant_id, al.amount) ORDER BY al.grant_id) AS all_of_them
          FROM ledger_credit_return_allocation al WHERE al.return_id = r.id) given
     WHERE r.entry_id = e.id) returns
