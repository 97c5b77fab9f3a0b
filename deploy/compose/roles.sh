#!/bin/sh
# Runs once, when the database is made: the role of workers, alerts and readers. What it may do is in
# deploy/sql/grants.sql, after the tables are there.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set password="$(cat /run/secrets/worker-password)" <<'SQL'
CREATE ROLE facetally_worker LOGIN PASSWORD :'password';
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
SQL
