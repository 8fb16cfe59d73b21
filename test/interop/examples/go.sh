# shellcheck shell=bash
# The programs of the Go client, and what each must print. Sourced by run.sh. Left out: those that need TLS, redis or a broker
# at port 10911.

# A Go consumer does not start without its topic, on RocketMQ either.
topics TopicTest test min ns%test-topic namespace%test RequestTopic

produces() {
  begin "producer-$1" "producer-$1"
  expect "producer-$1" "$2" 'send message success' 60 'send message error|panic:'
}

if wanted producer; then
  produces simple 10
  produces async 10
  produces batch 1
  produces delay 10
  produces interceptor 10
  produces tag 3
  produces trace 1
  produces namespace 10
  produces acl 10
  finish producer-simple producer-async producer-batch producer-delay producer-interceptor producer-tag producer-trace \
    producer-namespace producer-acl

  # They share a group: each has ended before the next one begins.
  begin consumer-simple consumer-simple
  expect consumer-simple 10 'subscribe callback' 90
  finish consumer-simple
  begin consumer-namespace consumer-namespace
  expect consumer-namespace 1 'subscribe callback' 90
  finish consumer-namespace
fi

# These read TopicTest, and get new messages every second.
if wanted consumer; then
  sends() {
    while :; do
      "$here/../../../bin/mqadmin" sendMessage -t "$1" -p hello -c "$2" >"$logs/sends" 2>&1 || true
      sleep 1
    done
  }
  sends TopicTest TagA &
  pids[sends]=$!
  for name in tag orderly strategy trace interceptor retry-concurrent retry-order; do
    begin "consumer-$name" "consumer-$name"
    expect "consumer-$name" 3 'subscribe (orderly )?callback' 90
    finish "consumer-$name"
  done
  finish sends
  sends min '' &
  pids[sends]=$!
  begin consumer-broadcast-1 consumer-broadcast
  begin consumer-broadcast-2 consumer-broadcast
  expect consumer-broadcast-1 3 'subscribe callback' 90
  expect consumer-broadcast-2 3 'subscribe callback' 90
  finish consumer-broadcast-1 consumer-broadcast-2 sends
  sends ns%test-topic testPull &
  pids[sends]=$!
  begin consumer-pull-poll consumer-pull-poll
  expect consumer-pull-poll 2 'messageQueue:' 90
  finish consumer-pull-poll
  begin consumer-pull-pull consumer-pull-pull
  expect consumer-pull-pull 2 'pull message successfully' 90
  finish consumer-pull-pull sends
fi

if wanted transaction; then
  begin producer-transaction producer-transaction
  expect producer-transaction 10 'send message success' 60 'send message error|panic:'
  # All are in doubt; the broker asks about each.
  expect producer-transaction 6 'checkLocalTransaction (COMMIT_MESSAGE|ROLLBACK_MESSAGE)' 90 'unknow msg|panic:'
  finish producer-transaction
fi

if wanted rpc; then
  begin consumer-rpc consumer-rpc
  expect consumer-rpc 1 'Consumer Started' 60
  begin producer-rpc-first producer-rpc-async
  expect consumer-rpc 1 'reply to' 90
  begin producer-rpc-async producer-rpc-async
  expect producer-rpc-async 1 'Requst to .* responseMsg' 60
  begin producer-rpc-sync producer-rpc-sync
  expect producer-rpc-sync 1 'Requst to .* responseMsg' 60
  finish consumer-rpc producer-rpc-first producer-rpc-async producer-rpc-sync
fi

if wanted admin; then
  begin admin-topic admin-topic
  # It creates its topic at a broker that is not there, and deletes it at none.
  expect admin-topic 1 'TBW102' 60 panic:
  begin admin-group admin-group
  expect admin-group 0 '.' 1 panic:
  finish admin-topic admin-group
fi
