-- What:       accepted events that no meter counts, by cause: no meter listens to the type, the property is missing, or it
--             is not a number. Folded ones from streams and buckets, the others from raw events: one statement.
-- Called by:  unresolved.unresolved
-- Parameters: subject (or null for all)
WITH unfolded AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM metering_batch WHERE fold_id IS NULL
), unheard AS (
    SELECT s.type, s.subject, s.events, s.first_occurred_at, s.last_occurred_at
    FROM metering_stream s
    WHERE (%(subject)s::text IS NULL OR s.subject = %(subject)s)
      AND NOT EXISTS (SELECT FROM metering_meter m WHERE m.event_type = s.type)
    UNION ALL
    SELECT e.type, e.subject, 1, e.occurred_at, e.occurred_at
    FROM metering_event e
    WHERE e.batch_id = ANY ((SELECT ids FROM unfolded)::bigint[])
      AND (%(subject)s::text IS NULL OR e.subject = %(subject)s)
      AND NOT EXISTS (SELECT FROM metering_meter m WHERE m.event_type = e.type)
), unread AS (
    SELECT meter_id, subject, missing, not_numeric, hour_start AS first, hour_start AS last
    FROM metering_bucket
    WHERE (missing > 0 OR not_numeric > 0) AND (%(subject)s::text IS NULL OR subject = %(subject)s)
    UNION ALL
    SELECT meter_id, subject, missing::int, (NOT missing)::int, occurred_at, occurred_at
    FROM metering_measured
    WHERE batch_id = ANY ((SELECT ids FROM unfolded)::bigint[])
      AND (%(subject)s::text IS NULL OR subject = %(subject)s)
      AND value IS NULL AND matched
), grouped AS (
    SELECT 'no_meter' AS cause, type, NULL::bigint AS meter_id, sum(events) AS events,
           count(DISTINCT subject) AS subjects, min(first_occurred_at) AS first, max(last_occurred_at) AS last
    FROM unheard
    GROUP BY type
    UNION ALL
    SELECT cause, NULL, meter_id, sum(n), count(DISTINCT subject), min(first), max(last)
    FROM unread CROSS JOIN LATERAL (VALUES ('missing', missing), ('not_numeric', not_numeric)) AS c (cause, n)
    WHERE n > 0
    GROUP BY cause, meter_id
)
SELECT g.cause, coalesce(g.type, m.event_type), m.key, m.value_path, g.events::bigint, g.subjects, g.first, g.last
FROM grouped g
LEFT JOIN metering_meter m ON m.id = g.meter_id
ORDER BY g.events DESC, 1, 2, 3
