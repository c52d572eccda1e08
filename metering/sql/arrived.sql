-- What:       what a meter counted of a subject in a period by the batches after one and up to another, in the spans between
--             instants: how much, and when the last of it happened. A batch that commits late under a lower id is not in it.
-- Called by:  usage.arrived
-- Parameters: meter (id), subject, start, end, after and through (batch ids), cuts (instants, ascending)
WITH fresh AS MATERIALIZED (
    SELECT id, first_occurred_at, last_occurred_at
    FROM metering_batch
    WHERE id > %(after)s AND id <= %(through)s AND last_occurred_at >= %(start)s AND first_occurred_at < %(end)s
)
SELECT sum(e.value), max(e.occurred_at)
FROM fresh b
CROSS JOIN LATERAL (
    SELECT value, occurred_at
    FROM metering_measured
    WHERE meter_id = %(meter)s AND subject = %(subject)s AND batch_id = b.id
      AND occurred_at >= greatest(%(start)s, b.first_occurred_at)
      AND occurred_at < %(end)s AND occurred_at <= b.last_occurred_at
      AND value IS NOT NULL AND matched
    OFFSET 0
) e
GROUP BY width_bucket(e.occurred_at, %(cuts)s::timestamptz[])
ORDER BY max(e.occurred_at)
