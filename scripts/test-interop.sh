#!/usr/bin/env bash
# Scenarios with RocketMQ's official clients against a cluster of its own, as TAP:
#   scripts/test-interop.sh --own       ours, with the Java client: test/interop/java; needs a JDK and Maven
#   scripts/test-interop.sh --pop       POP with RocketMQ's 5.3.3 client, and RocketMQ's own proxy with a gRPC client behind it:
#                                       test/interop/pop; needs a JDK and Maven, takes three minutes
#   scripts/test-interop.sh [--group G] [--client java-4.9.8|java-5.3.3|go|all] [more options of the kit]
#                                       the interop kit, which stands outside of this repository: INTEROP_KIT names its
#                                       folder, else ../shared/interop is taken; needs a JDK and Maven, or Go
#   scripts/test-interop.sh --examples 4.9.8|5.3.3|go [NAME]
#                                       RocketMQ's own example programs, unmodified: test/interop/examples. Port 9876 is in
#                                       their sources: a network of its own is made for them where that is allowed (root, on
#                                       Linux), else that port must be free here
# The cluster gets ports and data of its own: PORT_OFFSET, 20500 when not set.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kit="${INTEROP_KIT:-../shared/interop}"
if [ "${1:-}" = --own ] || [ "${1:-}" = --pop ]; then
  if ! command -v java >/dev/null 2>&1 || ! command -v mvn >/dev/null 2>&1; then
    echo "The Java scenarios need java and mvn on the PATH." >&2
    exit 2
  fi
elif [ "${1:-}" = --examples ]; then
  # Nothing can be fetched from within that network.
  if [ -z "${EXAMPLES_APART:-}" ]; then test/interop/examples/run.sh "${2:-}" --build; fi
  if [ -z "${EXAMPLES_APART:-}" ] && unshare --net true 2>/dev/null; then
    EXAMPLES_APART=1 exec unshare --net "$0" "$@"
  fi
  if [ -n "${EXAMPLES_APART:-}" ]; then ip link set lo up; fi
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
if [ "${1:-}" = --pop ]; then
  test/interop/pop/run.sh "$namesrv" "$((8081 + PORT_OFFSET))" \
    "'$PWD/$try' kill \"\$BROKER_ADDR\"" "'$PWD/$try' start \"\$BROKER_ADDR\""
  exit
fi
if [ "${1:-}" = --examples ]; then
  shift
  # The name server's port is in the programs' sources; the brokers' ports come with the routes.
  node test/interop/examples/forward.mjs 9876 "${namesrv#*:}" &
  trap 'kill %1; $try clean >/dev/null' EXIT
  until (exec 3<>/dev/tcp/127.0.0.1/9876) 2>/dev/null; do sleep 0.2; done
  test/interop/examples/run.sh "$@"
  exit
fi
here="$PWD"
"$kit/run" --namesrv "$namesrv" \
  --kill-leader "'$here/$try' kill \"\$BROKER_ADDR\"" \
  --restore "'$here/$try' start \"\$BROKER_ADDR\"" \
  --restart "'$here/$try' restart \"\$BROKER_ADDR\"" \
  "$@"
