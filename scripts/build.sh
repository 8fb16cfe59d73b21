#!/usr/bin/env bash
# Installs what running needs and compiles it; each only when something has changed since the last time.
# With "--all" the test tools are installed and the tests compiled too.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "$@" >&2; }

# shellcheck source=bin/need-node.sh
. bin/need-node.sh
# An installed package comes compiled and with its dependencies.
if [ ! -d src ]; then exit 0; fi
if ! command -v npm >/dev/null 2>&1; then
  say "npm is needed, and is not on the PATH; it comes with Node.js, see https://nodejs.org/."
  exit 1
fi
if [ ! -w . ]; then
  say "No permission to write to $PWD, where the dependencies and the build go."
  exit 1
fi

installed=node_modules/.package-lock.json
if [ "${1:-}" = --all ]; then
  if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ] || [ ! -e node_modules/.bin/tap ]; then
    say "Installing dependencies and test tools …"
    npm ci --no-audit --no-fund --loglevel=error >&2
    touch "$installed"
  fi
  project=tsconfig.json
  stamp=build/.stamp-all
  sources="src test bench examples tsconfig.json package-lock.json"
else
  if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
    say "Installing dependencies …"
    # Who has the test tools keeps them.
    tools="--omit=dev"
    if [ -e node_modules/.bin/tap ]; then tools=""; fi
    # shellcheck disable=SC2086 # an option or nothing
    npm ci $tools --no-audit --no-fund --loglevel=error >&2
    touch "$installed"
  fi
  project=tsconfig.build.json
  stamp=build/.stamp
  sources="src examples tsconfig.json tsconfig.build.json package-lock.json"
fi

# shellcheck disable=SC2086 # a list of names
if [ ! -e "$stamp" ] || [ -n "$(find $sources -newer "$stamp" -print -quit)" ]; then
  say "Building …"
  began="$(mktemp)"
  node_modules/.bin/tsc -p "$project" >&2
  # What changed while the compiler ran is newer than the stamp.
  touch -r "$began" "$stamp"
  rm -f "$began"
  if [ "$project" = tsconfig.json ]; then touch -r "$stamp" build/.stamp; fi
fi
