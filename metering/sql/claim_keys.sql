-- What:       takes a batch id and claims the keys that are free for it
-- Called by:  ingesting, with the keys sorted: concurrent claims of the same keys wait for each other, none deadlocks
-- Parameters: keys, contents, occurred_at (array literals of equal length); returns the batch's id and how many were free
WITH batch AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('metering_batch', 'id')) AS id
), claimed AS (
    INSERT INTO metering_event_key (key, content, occurred_at, batch_id)
    SELECT c.key, c.content, c.occurred_at, batch.id
    FROM unnest(%(keys)s::uuid[], %(contents)s::uuid[], %(occurred_at)s::timestamptz[])
         AS c (key, content, occurred_at)
    CROSS JOIN batch
    ON CONFLICT (key) DO NOTHING
    RETURNING 1
)
SELECT batch.id, (SELECT count(*) FROM claimed) FROM batch
