-- What:       keeps events that were refused because their identity has another content, each (identity, content) once
-- Called by:  ingesting, after known_keys
-- Parameters: recorded_at, and arrays of equal length: keys, contents, sources, event_ids, subjects, types,
--             occurred_at, data, extensions
INSERT INTO metering_conflict
    (key, content, recorded_at, source, event_id, subject, type, occurred_at, data, extensions)
SELECT key, content, %(recorded_at)s, source, event_id, subject, type, occurred_at, data::jsonb, extensions::jsonb
FROM unnest(%(keys)s::uuid[], %(contents)s::uuid[], %(sources)s::text[], %(event_ids)s::text[],
            %(subjects)s::text[], %(types)s::text[], %(occurred_at)s::timestamptz[], %(data)s::text[],
            %(extensions)s::text[])
     AS c (key, content, source, event_id, subject, type, occurred_at, data, extensions)
ORDER BY key, content
ON CONFLICT (key, content) DO NOTHING
