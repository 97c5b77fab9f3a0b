#!/bin/sh
# Runs after each upgrade of the database, as the owner of its tables.
set -eu
PGPASSWORD="$(cat /run/secrets/owner-password)"
export PGPASSWORD
exec psql --set ON_ERROR_STOP=1 --host postgres --username facetally --dbname facetally \
    --file /sql/grants.sql
