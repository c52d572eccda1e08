-- What:       what every meter of its type makes of one event, and whether the meter's buckets have it
-- Called by:  events.story
-- Parameters: key, batch, occurred_at
SELECT m.key, v.matched, v.value, v.missing,
       b.fold_id IS NOT NULL
           AND (p.caught_up_at IS NOT NULL OR b.fold_id > p.after_fold OR b.id <= p.cursor)
FROM metering_measured v
JOIN metering_meter m ON m.id = v.meter_id
JOIN metering_meterprogress p ON p.meter_id = m.id
JOIN metering_batch b ON b.id = v.batch_id
WHERE v.batch_id = %(batch)s AND v.occurred_at = %(occurred_at)s AND v.key = %(key)s
ORDER BY m.key
