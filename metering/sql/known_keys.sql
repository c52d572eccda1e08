-- What:       which keys were taken before this batch, each with the content that took it
-- Called by:  ingesting, when claim_keys claimed fewer than were asked for; a statement later, so that it sees the
--             transaction that claim_keys waited for
-- Parameters: keys (an array literal), batch
SELECT key, content FROM metering_event_key WHERE key = ANY (%(keys)s::uuid[]) AND batch_id <> %(batch)s
