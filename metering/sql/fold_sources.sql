-- What:       notes the sources of batches
-- Called by:  aggregating.advance
-- Parameters: batches (ids)
INSERT INTO metering_source (source)
SELECT source
FROM metering_event
WHERE batch_id = ANY (%(batches)s)
GROUP BY source
ORDER BY source
ON CONFLICT (source) DO NOTHING
