#!/usr/bin/env bash
# All checks of a change, with their own set-up: format and lint, types, build, tests.
# The last line counts the tests.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/build.sh --all
echo "Format and lint …" >&2
node_modules/.bin/biome check .

report="$(mktemp)"
trap 'rm -f "$report"' EXIT
status=0
# Several brokers and fuzzers share the machine: one file at a time keeps their timings honest.
node_modules/.bin/tap run --jobs="${TAP_JOBS:-2}" --reporter=terse --output-file="$report" || status=$?
node build/test/helpers/countTests.js "$report" || status=1
exit "$status"
