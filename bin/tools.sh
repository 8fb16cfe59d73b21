#!/usr/bin/env bash
# tools.sh CLASS [ARGUMENT ...]: CLASS is the original's name of a tool, for example
# org.apache.rocketmq.example.quickstart.Producer
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/runserver.sh" tools "$@"
