#!/usr/bin/env bash
# Scenarios with RocketMQ's official clients against a cluster of its own, as TAP:
#   scripts/test-interop.sh --own       ours, with the Java client: test/interop/java; needs a JDK and Maven
#   scripts/test-interop.sh [--group G] [--client java-4.9.8|java-5.3.3|go|all] [more options of the kit]
#                                       the interop kit, which stands outside of this repository: INTEROP_KIT names its
#                                       folder, else ../shared/interop is taken; needs a JDK and Maven, or Go
# The cluster gets ports and data of its own: PORT_OFFSET, 20500 when not set.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kit="${INTEROP_KIT:-../shared/interop}"
if [ "${1:-}" = --own ]; then
  if ! command -v java >/dev/null 2>&1 || ! command -v mvn >/dev/null 2>&1; then
    echo "The Java scenarios need java and mvn on the PATH." >&2
    exit 2
  fi
elif [ ! -x "$kit/run" ]; then
  echo "No interop kit in $kit: set INTEROP_KIT to the folder that holds its \"run\"." >&2
  exit 2
fi
export PORT_OFFSET="${PORT_OFFSET:-20500}"
namesrv="127.0.0.1:$((9876 + PORT_OFFSET))"
try="scripts/fast-try.sh"

trap '$try clean >/dev/null' EXIT
$try clean >/dev/null
$try start >&2
if [ "${1:-}" = --own ]; then
  test/interop/java/run.sh "$namesrv"
  exit
fi
here="$PWD"
"$kit/run" --namesrv "$namesrv" \
  --kill-leader "'$here/$try' kill \"\$BROKER_ADDR\"" \
  --restore "'$here/$try' start \"\$BROKER_ADDR\"" \
  --restart "'$here/$try' restart \"\$BROKER_ADDR\"" \
  "$@"
