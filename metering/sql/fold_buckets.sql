-- What:       adds what batches amount to, by meter, subject and UTC hour, to the buckets
-- Called by:  aggregating: advance (every meter) and catching up (one meter)
-- Parameters: batches (ids), meter (an id, or null for every one)
-- The times of the events are no condition here: with one, the planner may read the index of (subject, occurred_at) whole.
INSERT INTO metering_bucket AS b (meter_id, subject, hour_start, quantity, events, missing, not_numeric)
SELECT meter_id, subject, hour_start, coalesce(sum(value), 0), count(value),
       count(*) FILTER (WHERE missing), count(*) FILTER (WHERE value IS NULL AND NOT missing)
FROM (
    -- OFFSET 0 has each value computed once, and keeps the data of the events out of the aggregation.
    SELECT meter_id, subject, date_trunc('hour', occurred_at, 'UTC') AS hour_start, value, missing
    FROM metering_measured
    WHERE batch_id = ANY (%(batches)s) AND (%(meter)s::bigint IS NULL OR meter_id = %(meter)s) AND matched
    OFFSET 0
) AS measured
GROUP BY meter_id, subject, hour_start
ORDER BY meter_id, subject, hour_start  -- as the key: aggregators that meet wait for each other, none deadlocks
ON CONFLICT (meter_id, subject, hour_start) DO UPDATE SET
    quantity = b.quantity + excluded.quantity,
    events = b.events + excluded.events,
    missing = b.missing + excluded.missing,
    not_numeric = b.not_numeric + excluded.not_numeric
