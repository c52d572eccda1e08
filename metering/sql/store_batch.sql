-- What:       claims the staged keys, stores the events whose key was free, and adds their batch; all or nothing
-- Called by:  ingesting.accept, ingesting.backfill (staged keys are distinct)
-- Parameters: recorded_at, origin, label, actor_type, actor_id; returns the batch's id and its number of events, or no row
WITH batch AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('metering_batch', 'id')) AS id
), claimed AS (
    -- In the order of the keys: concurrent claims of the same keys wait for each other instead of deadlocking.
    INSERT INTO metering_event_key (key, content, occurred_at, batch_id)
    SELECT s.key, s.content, s.occurred_at, batch.id
    FROM metering_staging s CROSS JOIN batch
    ORDER BY s.key
    ON CONFLICT (key) DO NOTHING
    RETURNING key
), stored AS (
    -- In the order of the index, so that a customer's events lie together.
    INSERT INTO metering_event (key, batch_id, occurred_at, subject, type, source, event_id, data, extensions)
    SELECT s.key, batch.id, s.occurred_at, s.subject, s.type, s.source, s.event_id, s.data, s.extensions
    FROM metering_staging s JOIN claimed ON claimed.key = s.key CROSS JOIN batch
    ORDER BY s.subject, s.occurred_at
    RETURNING occurred_at
)
INSERT INTO metering_batch
    (id, recorded_at, events, first_occurred_at, last_occurred_at, origin, label, actor_type, actor_id)
SELECT (SELECT id FROM batch), %(recorded_at)s, count(*), min(occurred_at), max(occurred_at),
       %(origin)s, %(label)s, %(actor_type)s, %(actor_id)s
FROM stored
HAVING count(*) > 0
RETURNING id, events
