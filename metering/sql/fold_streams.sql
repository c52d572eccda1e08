-- What:       adds batches to the streams: how many events of a type a subject has, from when to when
-- Called by:  aggregating.advance
-- Parameters: batches (ids)
INSERT INTO metering_stream AS s (type, subject, events, first_occurred_at, last_occurred_at)
SELECT type, subject, count(*), min(occurred_at), max(occurred_at)
FROM metering_event
WHERE batch_id = ANY (%(batches)s)
GROUP BY type, subject
ORDER BY type, subject
ON CONFLICT (type, subject) DO UPDATE SET
    events = s.events + excluded.events,
    first_occurred_at = least(s.first_occurred_at, excluded.first_occurred_at),
    last_occurred_at = greatest(s.last_occurred_at, excluded.last_occurred_at)
