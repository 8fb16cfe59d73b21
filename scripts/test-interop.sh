#!/usr/bin/env bash
# Runs scenarios with the official Java and Go clients against a cluster of its own:
#   scripts/test-interop.sh [--group G] [--client java-4.9.8|java-5.3.3|go|all] [more options of the kit]
# The kit stands outside of this repository: INTEROP_KIT names its folder, else ../shared/interop is taken.
# It needs a JDK and Maven, or Go.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kit="${INTEROP_KIT:-../shared/interop}"
if [ ! -x "$kit/run" ]; then
  echo "No interop kit in $kit: set INTEROP_KIT to the folder that holds its \"run\"." >&2
  exit 2
fi
export PORT_OFFSET="${PORT_OFFSET:-2000}"
namesrv="127.0.0.1:$((9876 + PORT_OFFSET))"
try="scripts/fast-try.sh"

trap '$try clean >/dev/null' EXIT
$try clean >/dev/null
$try start >&2
here="$PWD"
"$kit/run" --namesrv "$namesrv" \
  --kill-leader "'$here/$try' kill \"\$BROKER_ADDR\"" \
  --restore "'$here/$try' start \"\$BROKER_ADDR\"" \
  --restart "'$here/$try' restart \"\$BROKER_ADDR\"" \
  "$@"
