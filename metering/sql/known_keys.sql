-- What:       the staged keys that were taken before this batch, each with the content that took it
-- Called by:  ingesting, after store_batch
-- Parameters: batch (the batch just added, or null)
SELECT k.key, k.content
FROM metering_staging s
JOIN metering_event_key k ON k.key = s.key
WHERE k.batch_id IS DISTINCT FROM %(batch)s
