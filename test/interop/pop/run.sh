#!/usr/bin/env bash
# run.sh HOST:PORT PROXY_PORT KILL START: starts RocketMQ's own proxy (5.3.3, cluster mode) in front of the cluster whose name server that is, runs
# the POP scenarios of the 5.3.3 client and of a gRPC client behind the proxy, and prints TAP. PROXY_PORT and the one behind it are used; KILL and START are
# commands that end and start the broker whose address is in BROKER_ADDR.
# Built into INTEROP_CACHE (or "ledgermq-interop" in the XDG cache folder), again when a source has changed.
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="${INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ledgermq-interop}/pop"
mkdir -p "$out/home"

if [ ! -e "$out/built" ] || [ -n "$(find "$here" -newer "$out/built" -type f -print -quit)" ]; then
  echo "Building the POP scenarios …" >&2
  mvn -q -B -f "$here/pom.xml" "-Dinterop.build=$out" process-classes >&2
  touch "$out/built"
fi
# The gRPC client brings a copy of the protocol's classes that does not go with the proxy's.
without() { tr ':' '\n' <"$out/classpath" | grep -v "/$1-" | paste -s -d ':'; }

grpc_port="$2"
cat >"$out/proxy.json" <<JSON
{
  "rocketMQClusterName": "RaftCluster",
  "proxyClusterName": "RaftCluster",
  "proxyMode": "cluster",
  "grpcServerPort": $grpc_port,
  "remotingListenPort": $((grpc_port + 1)),
  "enableRemotingLocalProxyGrpc": false,
  "namesrvAddr": "$1"
}
JSON
java -Xmx384m -XX:+UseSerialGC "-Duser.home=$out/home" "-DRMQ_PROXY_HOME=$out/home" -cp "$(without rocketmq-client-java)" \
  org.apache.rocketmq.proxy.ProxyStartup -pm cluster -n "$1" -pc "$out/proxy.json" >"$out/proxy.out" 2>&1 &
proxy=$!
trap 'kill "$proxy" 2>/dev/null; wait "$proxy" 2>/dev/null || true' EXIT
for _ in $(seq 1 240); do
  if grep -q "startup successfully" "$out/proxy.out"; then break; fi
  if ! kill -0 "$proxy" 2>/dev/null; then
    echo "The proxy ended:" >&2
    tail -n 20 "$out/proxy.out" >&2
    exit 1
  fi
  sleep 0.5
done
java -Xmx256m -XX:+UseSerialGC "-Duser.home=$out/home" "-Drocketmq.client.logRoot=$out/home/logs" \
  -Drocketmq.client.logLevel=WARN \
  -cp "$out/classes:$(without rocketmq-proto)" ledgermq.pop.Main "$1" "127.0.0.1:$grpc_port" "$3" "$4"
