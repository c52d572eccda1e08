-- What:       adds what batches amount to, by meter, subject and UTC hour, to the buckets
-- Called by:  aggregating: advance (every meter) and catching up (one meter)
-- Parameters: batches (ids), first and last (instants that enclose their events), meter (an id, or null for every one)
INSERT INTO metering_bucket AS b (meter_id, subject, hour_start, quantity, events, missing, not_numeric)
SELECT m.meter_id, m.subject, date_trunc('hour', m.occurred_at, 'UTC'),
       coalesce(sum(m.value), 0), count(m.value),
       count(*) FILTER (WHERE m.missing), count(*) FILTER (WHERE m.value IS NULL AND NOT m.missing)
FROM metering_measured m
WHERE m.batch_id = ANY (%(batches)s)
  AND m.occurred_at >= %(first)s AND m.occurred_at <= %(last)s
  AND (%(meter)s::bigint IS NULL OR m.meter_id = %(meter)s)
  AND m.matched
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3  -- the order of the key: aggregators that meet wait for each other instead of deadlocking
ON CONFLICT (meter_id, subject, hour_start) DO UPDATE SET
    quantity = b.quantity + excluded.quantity,
    events = b.events + excluded.events,
    missing = b.missing + excluded.missing,
    not_numeric = b.not_numeric + excluded.not_numeric
