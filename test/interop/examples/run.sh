#!/usr/bin/env bash
# run.sh 4.9.8|5.3.3|go [FOLDER|--build]: the example programs of RocketMQ's Java client of that version, or of its Go client,
# unmodified, against a cluster of ours behind port 9876, which they have in their sources. TAP comes out, and each program's
# output lies beside the build. With --build they are built only. Run by scripts/test-interop.sh --examples; needs a JDK and Maven, or Go.
# The sources come from Maven Central or the Go module proxy and stay outside of this repository: INTEROP_CACHE, or
# "ledgermq-interop" in the XDG cache folder.
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
version="${1:?which one: 4.9.8, 5.3.3 or go}"
only="${2:-}"
cache="${INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ledgermq-interop}"
out="$cache/examples-$version"
logs="$out/logs"
mkdir -p "$logs"

build_java() {
  local sources="$out/rocketmq-all-$version"
  if [ -e "$out/built" ] && [ "$out/built" -nt "$here/pom.xml" ]; then return; fi
  echo "Building the examples of $version …" >&2
  local artifact="org.apache.rocketmq:rocketmq-all:$version:zip:source-release"
  mvn -q -B dependency:copy "-Dartifact=$artifact" "-DoutputDirectory=$out" >&2
  mvn -q -B -f "$here/pom.xml" "-Drocketmq.version=$version" dependency:build-classpath "-Dmdep.outputFile=$out/classpath" >&2
  (cd "$out" && jar xf "rocketmq-all-$version-source-release.zip")
  mkdir -p "$out/classes"
  find "$sources/example/src/main" "$sources/openmessaging/src/main" -name '*.java' >"$out/sources"
  javac -nowarn -Xlint:none -encoding UTF-8 --release 11 -d "$out/classes" -cp "$(cat "$out/classpath")" "@$out/sources" >&2
  touch "$out/built"
}

build_go() {
  local module=github.com/apache/rocketmq-client-go/v2
  if [ -e "$out/built" ]; then return; fi
  echo "Building the Go examples …" >&2
  mkdir -p "$out/bin"
  (
    cd "$out"
    go mod init examples >/dev/null 2>&1 || true
    go get "$module@v2.1.2" >&2
    local folder package
    folder="$(go list -m -f '{{.Dir}}' "$module")"
    # As in a checkout: the examples' own imports are those of the module.
    cp -r "$folder" "$out/module" && chmod -R u+w "$out/module"
    cd "$out/module"
    for package in $(go list ./examples/...); do
      go build -o "$out/bin/$(echo "${package#*examples/}" | tr / -)" "$package" >&2
    done
  )
  touch "$out/built"
}

number=0
failed=0
declare -A pids=()

# begin NAME PROGRAM [ARGUMENT …]: starts it; its output goes to a log of that name.
begin() {
  local name="$1" program="$2"
  shift 2
  if [ "$version" = go ]; then
    "$out/bin/$program" "$@" >"$logs/$name" 2>&1 &
  else
    java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Duser.home=$out/home" "-Drocketmq.client.logRoot=$out/home/logs" \
      -Drocketmq.client.logLevel=WARN "-Drocketmq.client.localOffsetStoreDir=$out/home/offsets" \
      -cp "$out/classes:$(cat "$out/classpath")" "org.apache.rocketmq.example.$program" "$@" >"$logs/$name" 2>&1 &
  fi
  pids[$name]=$!
}

# expect NAME COUNT PATTERN SECONDS [FAULT]: waits until its output has so many lines of that kind; ends it then; a line of
# the kind FAULT is a failure ("Exception" when not given, "-": none).
expect() {
  local name="$1" count="$2" pattern="$3" seconds="$4" fault="${5:-Exception|panic:}"
  local pid="${pids[$name]}" until=$((SECONDS + $4)) seen=0 alive=1
  while :; do
    # Asked before the output is looked at: what ends now has written all.
    kill -0 "$pid" 2>/dev/null || alive=0
    seen="$(grep -aEc -- "$pattern" "$logs/$name" 2>/dev/null || true)"
    seen="${seen:-0}"
    if [ "$seen" -ge "$count" ] || [ "$alive" = 0 ] || [ "$SECONDS" -ge "$until" ]; then break; fi
    sleep 0.3
  done
  number=$((number + 1))
  local verdict=ok reason="$seen × $pattern"
  if [ "$seen" -lt "$count" ]; then
    verdict="not ok"
    reason="$seen of $count × $pattern within $seconds s"
  elif [ "$fault" != - ] && grep -aEq -- "$fault" "$logs/$name"; then
    verdict="not ok"
    reason="$(grep -aE -m1 -- "$fault" "$logs/$name")"
  fi
  if [ "$verdict" != ok ]; then failed=$((failed + 1)); fi
  echo "$verdict $number - $version $name # $reason"
}

# sees NAME PATTERN SECONDS COMMAND …: waits until mqadmin's output has such a line; for programs that print nothing.
sees() {
  local name="$1" pattern="$2" until=$((SECONDS + $3)) verdict="not ok"
  shift 3
  while :; do
    "$here/../../../bin/mqadmin" "$@" >"$logs/$name-mqadmin" 2>&1 || true
    if grep -aEq -- "$pattern" "$logs/$name-mqadmin"; then verdict=ok; fi
    if [ "$verdict" = ok ] || [ "$SECONDS" -ge "$until" ]; then break; fi
    sleep 1
  done
  number=$((number + 1))
  if [ "$verdict" != ok ]; then failed=$((failed + 1)); fi
  echo "$verdict $number - $version $name # mqadmin $*: $pattern"
}

# topics NAME …: makes them.
topics() {
  local topic
  for topic in "$@"; do
    "$here/../../../bin/mqadmin" updateTopic -c RaftCluster -r 4 -w 4 -t "$topic" >"$logs/topics"
  done
}

# finish NAME …: ends programs that would go on.
finish() {
  local name
  for name in "$@"; do
    kill "${pids[$name]}" 2>/dev/null || true
    wait "${pids[$name]}" 2>/dev/null || true
    unset "pids[$name]"
  done
}

wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }

if [ "$version" = go ]; then build_go; else build_java; fi
if [ "$only" = --build ]; then exit; fi
# Broadcasting consumers keep their places there, which mean nothing to a new cluster.
rm -rf "$out/home"
export NAMESRV_ADDR=127.0.0.1:9876
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done' EXIT
echo "TAP version 13"
if [ "$version" = go ]; then
  # shellcheck source=test/interop/examples/go.sh
  . "$here/go.sh"
else
  # shellcheck source=test/interop/examples/java.sh
  . "$here/java.sh"
fi
echo "1..$number"
echo "# $version: $number expectations, $failed failed; outputs in $logs"
[ "$failed" = 0 ]
