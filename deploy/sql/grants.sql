-- What a worker, the alerts process and people who only read need, and no more: run by the owner of
-- the tables after each `facetally db upgrade` (which the owner runs, too), in the same database.
-- Evidence can be added to and read; only the owner could change its tables, and triggers refuse
-- that to the owner as well. Each role needs LOGIN and a password of its own; facetally_reader, for
-- who only reads, is granted what it needs if it is there.
GRANT USAGE ON SCHEMA public TO facetally_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO facetally_worker;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO facetally_worker;
REVOKE UPDATE, DELETE ON audit, book, calendars, steps, terminations FROM facetally_worker;
REVOKE UPDATE, DELETE ON acknowledgements, pages_over, told_events, told_numbers FROM facetally_worker;
REVOKE DELETE ON audit_head, changes, duties, notices, silences FROM facetally_worker;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM facetally_worker;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'facetally_reader') THEN
        GRANT USAGE ON SCHEMA public TO facetally_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO facetally_reader;
    END IF;
END $$;
