-- What:       a cursor over the oldest batches that are not folded; fetching a row locks it, a locked one is passed over
-- Called by:  aggregating.advance, which fetches until it has enough
-- Parameters: none
DECLARE metering_claim NO SCROLL CURSOR FOR
SELECT id, events
FROM metering_batch
WHERE fold_id IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED
