-- What:       adds batches to the streams (how many events of a type a subject has, from when to when), notes their sources
-- Called by:  aggregating.advance
-- Parameters: batches (ids)
WITH taken AS MATERIALIZED (
    SELECT type, subject, source, count(*) AS events, min(occurred_at) AS first, max(occurred_at) AS last
    FROM metering_event
    WHERE batch_id = ANY (%(batches)s)
    GROUP BY type, subject, source
), noted AS (
    INSERT INTO metering_source (source)
    SELECT source FROM taken GROUP BY source ORDER BY source
    ON CONFLICT (source) DO NOTHING
)
INSERT INTO metering_stream AS s (type, subject, events, first_occurred_at, last_occurred_at)
SELECT type, subject, sum(events)::bigint, min(first), max(last)
FROM taken
GROUP BY type, subject
ORDER BY type, subject
ON CONFLICT (type, subject) DO UPDATE SET
    events = s.events + excluded.events,
    first_occurred_at = least(s.first_occurred_at, excluded.first_occurred_at),
    last_occurred_at = greatest(s.last_occurred_at, excluded.last_occurred_at)
