-- What:       raw events by the hashes of their identities: the key table says in which batch and when they happened
-- Called by:  events.find_by_id
-- Parameters: keys
SELECT e.key, e.source, e.event_id, e.occurred_at, e.subject, e.type, e.batch_id, e.data::text, e.extensions::text
FROM metering_event_key k
JOIN metering_event e ON e.occurred_at = k.occurred_at AND e.batch_id = k.batch_id AND e.key = k.key
WHERE k.key = ANY (%(keys)s::uuid[])
ORDER BY e.source COLLATE "C"
