# Sourced by the launchers: ends with a sentence unless a recent Node.js is on the PATH.
# shellcheck shell=bash
if ! command -v node >/dev/null 2>&1; then
  echo "Node.js 20.15 or later is needed, and no node is on the PATH; see https://nodejs.org/." >&2
  exit 1
fi
node_version="$(node --version)"
IFS=. read -r node_major node_minor _ <<<"${node_version#v}"
if [ "$node_major" -lt 20 ] || { [ "$node_major" -eq 20 ] && [ "$node_minor" -lt 15 ]; }; then
  echo "Node.js 20.15 or later is needed; this is $node_version ($(command -v node))." >&2
  exit 1
fi
