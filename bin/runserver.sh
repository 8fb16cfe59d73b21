#!/usr/bin/env bash
# Runs one of LedgerMQ's programs: runserver.sh PROGRAM [ARGUMENT ...]
# PROGRAM is a file of build/src/launch without its ending.
set -eu

here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
root="$(dirname "$here")"
export ROCKETMQ_HOME="${ROCKETMQ_HOME:-$root}"

# shellcheck source=bin/need-node.sh
. "$here/need-node.sh"

program="$root/build/src/launch/$1.js"
shift
if [ ! -f "$program" ]; then
  echo "LedgerMQ is not built yet: run \"$root/scripts/build.sh\" first." >&2
  exit 1
fi

# Both are read when the process starts: set from inside the program they would come too late.
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-8}"
# shellcheck disable=SC2086 # several options in one variable, as in JAVA_OPT
exec node --enable-source-maps --max-semi-space-size=32 ${LEDGERMQ_NODE_OPTIONS:-} "$program" "$@"
