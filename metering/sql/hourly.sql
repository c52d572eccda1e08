-- What:       the same as quantity, by UTC hour, of one subject or of all; hours in which nothing was counted are absent
-- Called by:  usage.hourly
-- Parameters: meter (id), subject (or null for all), start <= hours_start <= hours_end <= end
WITH outstanding AS MATERIALIZED (
    SELECT id, first_occurred_at, last_occurred_at FROM metering_batch WHERE fold_id IS NULL
    UNION ALL
    SELECT b.id, b.first_occurred_at, b.last_occurred_at
    FROM metering_meterprogress p
    JOIN metering_batch b ON b.id > p.cursor AND b.fold_id <= p.after_fold
    WHERE p.meter_id = %(meter)s AND p.caught_up_at IS NULL
), counted AS (
    SELECT hour_start, quantity, events
    FROM metering_bucket
    WHERE meter_id = %(meter)s AND (%(subject)s::text IS NULL OR subject = %(subject)s)
      AND hour_start >= %(hours_start)s AND hour_start < %(hours_end)s
    UNION ALL
    SELECT date_trunc('hour', occurred_at, 'UTC'), value, 1
    FROM metering_measured
    WHERE meter_id = %(meter)s AND (%(subject)s::text IS NULL OR subject = %(subject)s)
      AND (occurred_at >= %(start)s AND occurred_at < %(hours_start)s
           OR occurred_at >= %(hours_end)s AND occurred_at < %(end)s)
      AND value IS NOT NULL AND matched
    UNION ALL
    SELECT date_trunc('hour', occurred_at, 'UTC'), value, 1
    FROM metering_measured
    WHERE meter_id = %(meter)s AND (%(subject)s::text IS NULL OR subject = %(subject)s)
      AND occurred_at >= greatest(%(hours_start)s, (SELECT min(first_occurred_at) FROM outstanding))
      AND occurred_at <= (SELECT max(last_occurred_at) FROM outstanding)
      AND occurred_at < %(hours_end)s
      AND batch_id IN (SELECT id FROM outstanding)
      AND value IS NOT NULL AND matched
)
SELECT hour_start, sum(quantity), sum(events)::bigint
FROM counted
GROUP BY hour_start
HAVING sum(events) > 0
ORDER BY hour_start
