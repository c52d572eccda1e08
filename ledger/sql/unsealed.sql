-- what:       how many entries no seal has yet
-- called by:  ledger/sealing.py
-- parameters: %(system_identifier)s bigint and %(from_xid)s xid8, of the last seal: in its cluster all below is sealed
SELECT count(*) FROM ledger_entry e
 WHERE (e.created_xid >= %(from_xid)s::xid8 OR %(system_identifier)s <> (SELECT system_identifier FROM pg_control_system())
        OR EXISTS (SELECT FROM (SELECT entries, catches_up_to FROM ledger_seal ORDER BY seq DESC LIMIT 1) head
                    WHERE upper(head.entries) <= head.catches_up_to))
   AND NOT EXISTS (SELECT FROM ledger_seal s WHERE s.entries @> e.id)
