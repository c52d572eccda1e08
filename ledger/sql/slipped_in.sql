-- what:       entries that no seal has although everything before them is sealed: written behind the chain's back
-- called by:  ledger/verifying.py
-- parameters: %(system_identifier)s bigint and %(to_xid)s xid8, of the last seal
SELECT e.id FROM ledger_entry e
 WHERE NOT EXISTS (SELECT FROM ledger_seal s WHERE s.entries @> e.id)
   AND (CASE WHEN (SELECT upper(entries) <= catches_up_to FROM ledger_seal ORDER BY seq DESC LIMIT 1) IS TRUE
             -- the chain is still catching up, by id
             THEN e.id < (SELECT upper(entries) FROM ledger_seal ORDER BY seq DESC LIMIT 1)
                  AND e.created_xid < %(to_xid)s::xid8
             ELSE e.created_xid < %(to_xid)s::xid8 END)
   AND %(system_identifier)s = (SELECT system_identifier FROM pg_control_system())
 ORDER BY e.id LIMIT 100
