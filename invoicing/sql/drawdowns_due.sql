-- What:       items that settle by drawdown and may have usage that is not drawn: more events of their customer and type
--             were folded than at the last look, or nobody looked for an hour (a fee of a first tier, a bucket that was
--             mended). An item that ended when nothing can arrive for it any more is due only after a backfill.
-- Called by:  invoicing/drawdowns.py
-- Parameters: %(at)s timestamptz, %(item)s bigint or null: that one only, %(resting)s bigint[]: not those, %(limit)s int,
--             %(window)s interval: how long after its end usage still arrives for an item
SELECT i.id, s.events
  FROM plans_price p
  JOIN plans_subscriptionitem i ON i.price_id = p.id
  JOIN plans_customer c ON c.id = i.customer_id
  JOIN metering_meter m ON m.id = i.meter_id
  LEFT JOIN invoicing_drawdownwork w ON w.item_id = i.id
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(events), 0)::bigint AS events
      FROM metering_stream WHERE type = m.event_type AND subject = c.key OFFSET 0) s
 WHERE p.settlement = 'drawdown' AND i.starts_at < %(at)s
   AND (%(item)s::bigint IS NULL OR i.id = %(item)s)
   AND i.id <> ALL (%(resting)s::bigint[])
   AND (w.item_id IS NULL
        OR (w.seen_events <> s.events OR w.looked_at <= %(at)s - interval '1 hour')
           AND (i.ends_at IS NULL OR i.ends_at > %(at)s - %(window)s::interval OR EXISTS (
                SELECT FROM metering_backfilledspan b
                 WHERE b.subject = c.key AND b.first_occurred_at < i.ends_at AND b.last_occurred_at >= i.starts_at
                   AND b.recorded_at > w.looked_at - interval '1 day')))
 ORDER BY w.looked_at NULLS FIRST, i.id
 LIMIT %(limit)s
