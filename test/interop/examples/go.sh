# shellcheck shell=bash
# The programs of the Go client, and what each must print. Sourced by run.sh.

# The examples share a group, so each consumer ends before the next one begins.
if wanted simple; then
  begin producer-simple producer-simple
  expect producer-simple 10 'send message success' 60 'send message error'
  begin consumer-simple consumer-simple
  expect consumer-simple 10 'subscribe callback' 60
  finish producer-simple consumer-simple
fi
