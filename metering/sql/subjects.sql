-- What:       every subject with how many events it has, from when to when, whether they are folded or not
-- Called by:  unresolved.subjects
-- Parameters: after (a subject, "" to begin), limit
WITH unfolded AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM metering_batch WHERE fold_id IS NULL
), seen AS (
    SELECT subject, events, first_occurred_at, last_occurred_at FROM metering_stream WHERE subject > %(after)s
    UNION ALL
    SELECT subject, 1, occurred_at, occurred_at
    FROM metering_event
    WHERE batch_id = ANY ((SELECT ids FROM unfolded)::bigint[]) AND subject > %(after)s
)
SELECT subject, sum(events)::bigint, min(first_occurred_at), max(last_occurred_at)
FROM seen
GROUP BY subject
ORDER BY subject
LIMIT %(limit)s
