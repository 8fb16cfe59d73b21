#!/usr/bin/env bash
# Makes the API pages of the TypeScript client in build/api, from its docstrings. Fails when an export has none, or a link leads nowhere.
# The generator needs a compiler with a JavaScript API, which ours is not, so its packages stand apart, in docs/api.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/build.sh
cd docs/api
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
node_modules/.bin/typedoc
