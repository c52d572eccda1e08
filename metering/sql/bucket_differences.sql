-- What:       buckets of some hours that are not what the raw events of their folded batches amount to. One statement,
--             hence one snapshot: folds under way are seen whole or not at all.
-- Called by:  checking.differences, checking.rebuild
-- Parameters: start < end (whole UTC hours), limit (or null for all)
WITH counted AS (
    SELECT meter_id, subject, hour_start, coalesce(sum(value), 0) AS quantity, count(value) AS events,
           count(*) FILTER (WHERE missing) AS missing,
           count(*) FILTER (WHERE value IS NULL AND NOT missing) AS not_numeric
    FROM (
        -- OFFSET 0 has each value computed once.
        SELECT m.meter_id, m.subject, date_trunc('hour', m.occurred_at, 'UTC') AS hour_start, m.value, m.missing
        FROM metering_measured m
        JOIN metering_batch b ON b.id = m.batch_id AND b.fold_id IS NOT NULL
        LEFT JOIN metering_meterprogress p ON p.meter_id = m.meter_id AND p.caught_up_at IS NULL
        WHERE m.occurred_at >= %(start)s AND m.occurred_at < %(end)s AND m.matched
          -- A meter that was defined late has not seen every batch yet.
          AND (p.meter_id IS NULL OR b.fold_id > p.after_fold OR b.id <= p.cursor)
        OFFSET 0
    ) AS measured
    GROUP BY meter_id, subject, hour_start
), stored AS (
    SELECT meter_id, subject, hour_start, quantity, events, missing, not_numeric
    FROM metering_bucket WHERE hour_start >= %(start)s AND hour_start < %(end)s
)
SELECT meter_id, subject, hour_start, coalesce(s.quantity, 0), coalesce(c.quantity, 0),
       coalesce(c.events, 0), coalesce(c.missing, 0), coalesce(c.not_numeric, 0)
FROM stored s FULL JOIN counted c USING (meter_id, subject, hour_start)
WHERE (coalesce(s.quantity, 0), coalesce(s.events, 0), coalesce(s.missing, 0), coalesce(s.not_numeric, 0))
   <> (coalesce(c.quantity, 0), coalesce(c.events, 0), coalesce(c.missing, 0), coalesce(c.not_numeric, 0))
ORDER BY meter_id, subject, hour_start
LIMIT %(limit)s
