-- What:       usage that meters count and no subscription charges: by type and subject, the latest first. Whole streams are
--             compared with items in force, so the cost grows with customers and not with their history.
-- Called by:  unbilled_usage.find
-- Parameters: limit
WITH unfolded AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM metering_batch WHERE fold_id IS NULL
), seen AS (
    SELECT type, subject, sum(events)::bigint AS events, min(first_at) AS first_at, max(last_at) AS last_at
    FROM (
        SELECT type, subject, events, first_occurred_at AS first_at, last_occurred_at AS last_at FROM metering_stream
        UNION ALL
        SELECT type, subject, 1, occurred_at, occurred_at
        FROM metering_event
        WHERE batch_id = ANY ((SELECT ids FROM unfolded)::bigint[])
    ) AS streams
    GROUP BY type, subject
), charged AS (
    SELECT m.event_type AS type, c.key AS subject, min(i.starts_at) AS starts_at,
           max(coalesce(i.ends_at, 'infinity')) AS ends_at
    FROM plans_subscriptionitem i
    JOIN plans_customer c ON c.id = i.customer_id
    JOIN metering_meter m ON m.id = i.meter_id
    GROUP BY m.event_type, c.key
)
SELECT CASE WHEN c.key IS NULL THEN 'no_customer' WHEN i.subject IS NULL THEN 'no_charge' ELSE 'outside' END,
       s.type, s.subject, s.events, s.first_at, s.last_at
FROM seen s
LEFT JOIN charged i ON i.type = s.type AND i.subject = s.subject
LEFT JOIN plans_customer c ON c.key = s.subject
WHERE (i.subject IS NULL OR s.first_at < i.starts_at OR s.last_at >= i.ends_at)
  AND s.type IN (SELECT event_type FROM metering_meter)
ORDER BY s.last_at DESC, s.type, s.subject
LIMIT %(limit)s
