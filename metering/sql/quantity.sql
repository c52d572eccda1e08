-- What:       a subject's quantity in a period: buckets of whole hours, raw events of the cut edges, and in between the
--             raw events of batches that are in no bucket of the meter yet. One statement, hence one snapshot: a batch
--             that is folded meanwhile is seen either unfolded or in the buckets, never both and never neither.
-- Called by:  usage.quantity
-- Parameters: meter (id), subject, start <= hours_start <= hours_end <= end (instants, see rules.windows)
WITH unfolded AS MATERIALIZED (
    SELECT id, recorded_at, first_occurred_at, last_occurred_at FROM metering_batch WHERE fold_id IS NULL
), outstanding AS MATERIALIZED (
    SELECT id, first_occurred_at, last_occurred_at FROM unfolded
    UNION ALL
    -- Folded before the meter was defined, and not caught up with.
    SELECT b.id, b.first_occurred_at, b.last_occurred_at
    FROM metering_meterprogress p
    JOIN metering_batch b ON b.id > p.cursor AND b.fold_id <= p.after_fold
    WHERE p.meter_id = %(meter)s AND p.caught_up_at IS NULL
), counted AS (
    SELECT quantity, events
    FROM metering_bucket
    WHERE meter_id = %(meter)s AND subject = %(subject)s
      AND hour_start >= %(hours_start)s AND hour_start < %(hours_end)s
    UNION ALL
    SELECT value, 1
    FROM metering_measured
    WHERE meter_id = %(meter)s AND subject = %(subject)s
      AND occurred_at >= %(start)s AND occurred_at < %(hours_start)s
      AND value IS NOT NULL AND matched
    UNION ALL
    SELECT value, 1
    FROM metering_measured
    WHERE meter_id = %(meter)s AND subject = %(subject)s
      AND occurred_at >= %(hours_end)s AND occurred_at < %(end)s
      AND value IS NOT NULL AND matched
    UNION ALL
    SELECT value, 1
    FROM metering_measured
    WHERE meter_id = %(meter)s AND subject = %(subject)s
      AND occurred_at >= greatest(%(hours_start)s, (SELECT min(first_occurred_at) FROM outstanding))
      AND occurred_at <= (SELECT max(last_occurred_at) FROM outstanding)
      AND occurred_at < %(hours_end)s
      AND batch_id IN (SELECT id FROM outstanding)
      AND value IS NOT NULL AND matched
)
SELECT coalesce(sum(quantity), 0), coalesce(sum(events), 0)::bigint,
       (SELECT min(recorded_at) FROM unfolded), coalesce((SELECT max(id) FROM metering_batch), 0)
FROM counted
