#!/usr/bin/env bash
# run.sh HOST:PORT: runs the scenarios with RocketMQ's Java client against the name server there and prints TAP; without the address it
# only builds them, and what npm run chaos takes of them.
# Built into INTEROP_CACHE (or "ledgermq-interop" in the XDG cache folder), again when a source has changed.
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="${INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ledgermq-interop}/java"
mkdir -p "$out/home"

if [ ! -e "$out/built" ] || [ -n "$(find "$here" -newer "$out/built" -type f -print -quit)" ]; then
  echo "Building the Java scenarios …" >&2
  mvn -q -B -f "$here/pom.xml" "-Dinterop.build=$out" process-classes >&2
  touch "$out/built"
fi
if [ $# = 0 ]; then exit 0; fi
exec java -Xmx256m -XX:+UseSerialGC "-Duser.home=$out/home" "-Drocketmq.client.logRoot=$out/home/logs" \
  -Drocketmq.client.logLevel=WARN "-Drocketmq.client.localOffsetStoreDir=$out/home/offsets" \
  -cp "$out/classes:$(cat "$out/classpath")" ledgermq.interop.Main "$1"
