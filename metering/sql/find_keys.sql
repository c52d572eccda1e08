-- What:       raw events by the hashes of their identities: the key table says in which batch and when they happened
-- Called by:  events.find_by_id
-- Parameters: keys
WITH found AS MATERIALIZED (  -- by itself, or the planner may read the whole key table instead of its index
    SELECT key, occurred_at, batch_id FROM metering_event_key WHERE key = ANY (%(keys)s::uuid[])
)
SELECT e.key, e.source, e.event_id, e.occurred_at, e.subject, e.type, e.batch_id, e.data::text, e.extensions::text
FROM found
JOIN metering_event e ON e.occurred_at = found.occurred_at AND e.batch_id = found.batch_id AND e.key = found.key
ORDER BY e.source COLLATE "C"
