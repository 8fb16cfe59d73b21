#!/usr/bin/env bash
# chaos-share.sh REPORT MINUTES "SEED FAULT,FAULT,..." ...: runs npm run chaos' program on built code for each of the last arguments, each
# fault once and MINUTES at most, and writes one TAP report. Gets nats-server itself where it may (root on Debian). Status 2: it cannot
# run here, the reason is told.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

report="$1"
minutes="$2"
shift 2

if ! command -v "${NATS_SERVER:-nats-server}" >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing nats-server …" >&2
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nats-server iproute2; } >/dev/null 2>&1 || true
fi
status=0
: >"$report"
one="$(mktemp -d)"
trap 'rm -rf "$one"' EXIT
for run in "$@"; do
  seed="${run%% *}"
  code=0
  node build/test/chaos/main.js --minutes "$minutes" --seed "$seed" --once --only "${run#* }" --directory "$one/run" --tap "$one/tap" || code=$?
  if [ "$code" = 2 ]; then exit 2; fi
  if [ -e "$one/tap" ]; then cat "$one/tap" >>"$report"; fi
  if [ "$code" != 0 ]; then
    status=1
    grep -q '^not ok' "$one/tap" 2>/dev/null || echo "not ok - chaos with seed $seed ended early" >>"$report"
  fi
  rm -f "$one/tap"
done
exit "$status"
