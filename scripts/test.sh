#!/usr/bin/env bash
# All checks of a change, with their own set-up: format and lint, types, build, tests.
# The last line counts the tests. With TAP_REPORTS set, the reports stay in that folder.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/build.sh --all

reports="${TAP_REPORTS:-}"
if [ -z "$reports" ]; then
  reports="$(mktemp -d)"
  trap 'rm -rf "$reports"' EXIT
fi
status=0
echo "Format and lint …" >&2
if node_modules/.bin/biome check .; then
  echo "ok 1 - format and lint" >"$reports/lint.tap"
else
  status=1
  echo "not ok 1 - format and lint" >"$reports/lint.tap"
fi
# The first run after an installation would still load the plugins that .taprc leaves out, and fail.
if [ ! -e node_modules/.tap-built ]; then
  node_modules/.bin/tap build >/dev/null
  touch node_modules/.tap-built
fi
# Two files at a time: several brokers and fuzzers on one machine would only take each other's time.
node_modules/.bin/tap run --jobs="${TAP_JOBS:-2}" --reporter=terse --output-file="$reports/tests.tap" || status=1
# A short run with real processes; CI has a longer one of its own.
chaos="${CHAOS_SHARE:-1}"
if [ "$chaos" = 1 ]; then
  code=0
  scripts/chaos-share.sh "$reports/chaos.tap" 2 "1 kill-leader,hard-flip-log,partition-peers" >&2 || code=$?
  if [ "$code" = 2 ]; then
    rm -f "$reports/chaos.tap"
    echo "The chaos part was left out: see above what it needs; then \"npm run chaos\" runs it by itself." >&2
  elif [ "$code" != 0 ]; then
    status=1
  fi
fi
node build/test/helpers/countTests.js "$reports"/*.tap || status=1
exit "$status"
