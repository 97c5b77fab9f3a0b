#!/bin/sh
# with-runbooks.sh BASE FOLDER  copies the rules into FOLDER with the addresses of runbooks below
# BASE, where docs/runbooks/ is published: with-runbooks.sh https://wiki.example.org/facetally rules
set -eu
base=${1%/}
here=$(dirname "$0")
mkdir -p "$2"
for file in "$here"/rules/*.yml; do
    sed "s#runbook_url: docs/runbooks/#runbook_url: $base/#" "$file" >"$2/$(basename "$file")"
done
