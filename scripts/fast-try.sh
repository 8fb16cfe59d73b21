#!/usr/bin/env bash
# A name server and three brokers on this machine, to play with: fast-try.sh help
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
"$here/build.sh"
exec "$here/../bin/runserver.sh" fastTry "$@"
