# shellcheck shell=bash
# The programs of the Java client, and what each must print. Sourced by run.sh. They have RocketMQ's 3 s for a send in them, and
# begin cold: not for a machine that is busy with something else.

# Consumers of a topic that is made after their start hear of it up to 30 s later.
topics TopicTest TopicTest1 TopicTest1234 OperationTopic BatchTest TagFilterTest SqlFilterTest TestTopic TimerTopic RequestTopic \
  Jodie_topic_1023

if wanted quickstart; then
  begin quickstart-Producer quickstart.Producer
  expect quickstart-Producer 1000 'SendResult \[sendStatus=SEND_OK' 90
  begin quickstart-Consumer quickstart.Consumer
  expect quickstart-Consumer 1000 'Receive New Messages: \[MessageExt' 90
  finish quickstart-Producer quickstart-Consumer
fi

if wanted simple; then
  begin simple-Producer simple.Producer
  expect simple-Producer 128 'sendStatus=SEND_OK' 60
  begin simple-AsyncProducer simple.AsyncProducer
  expect simple-AsyncProducer 100 '^[0-9]+ +OK [0-9A-F]+' 60
  # It signs its requests, which brokers without access control do not look at.
  begin simple-AclClient simple.AclClient
  expect simple-AclClient 128 'sendStatus=SEND_OK' 60
  expect simple-AclClient 100 'Receive New Messages' 90
  finish simple-AclClient
  begin simple-OnewayProducer simple.OnewayProducer
  # It prints nothing and ends after 5 s; what it sends is consumed below.
  begin simple-PushConsumer simple.PushConsumer
  expect simple-PushConsumer 200 'Receive New Messages' 90
  begin simple-LitePullConsumerSubscribe simple.LitePullConsumerSubscribe
  expect simple-LitePullConsumerSubscribe 8 'MessageExt \[brokerName=RaftNode00' 90
  begin simple-LitePullConsumerAssign simple.LitePullConsumerAssign
  expect simple-LitePullConsumerAssign 4 'MessageExt \[brokerName=RaftNode00' 90
  # The topic that it reads besides: made by a send to it.
  begin simple-TopicTest1 operation.Producer -g other -t TopicTest1 -a TagA -k k -c 20
  expect simple-TopicTest1 20 'sendStatus=SEND_OK' 60
  begin simple-LitePullConsumerAssignWithSubExpression simple.LitePullConsumerAssignWithSubExpression
  expect simple-LitePullConsumerAssignWithSubExpression 4 'MessageExt \[brokerName=RaftNode00' 90
  begin simple-PullConsumer simple.PullConsumer
  sees simple-PullConsumer 'Diff Total: 0' 90 consumerProgress -g please_rename_unique_group_name_5
  begin simple-PullScheduleService simple.PullScheduleService
  expect simple-PullScheduleService 4 'pullStatus=FOUND' 90
  finish simple-OnewayProducer simple-PushConsumer simple-LitePullConsumerSubscribe simple-LitePullConsumerAssign \
    simple-LitePullConsumerAssignWithSubExpression simple-PullConsumer simple-PullScheduleService
fi

if wanted pop && [ "$version" != 4.9.8 ]; then
  # It tells every broker, followers too, that its group receives by POP.
  begin pop-PopConsumer simple.PopConsumer
  expect pop-PopConsumer 1 'Consumer Started' 60
  begin pop-Producer simple.Producer
  expect pop-Producer 128 'sendStatus=SEND_OK' 60
  expect pop-PopConsumer 128 'Receive New Messages' 120
  finish pop-PopConsumer pop-Producer
fi

if wanted operation; then
  begin operation-Producer operation.Producer -g operation -t OperationTopic -a TagA -k keys -c 10
  expect operation-Producer 10 'sendStatus=SEND_OK' 60
  begin operation-Consumer operation.Consumer -g operation -t OperationTopic -s TagA -f false
  expect operation-Consumer 10 'MessageExt' 60
  begin operation-Consumer-failing operation.Consumer -g operation2 -t OperationTopic -s TagA -f true
  # Every second one fails and comes again 10 s later.
  expect operation-Consumer-failing 12 'MessageExt' 90
  finish operation-Consumer operation-Consumer-failing
fi

if wanted batch; then
  begin batch-SimpleBatchProducer batch.SimpleBatchProducer
  expect batch-SimpleBatchProducer 1 'sendStatus=SEND_OK' 60
  begin batch-SplitBatchProducer batch.SplitBatchProducer
  expect batch-SplitBatchProducer 1 'sendStatus=SEND_OK' 120
  finish batch-SimpleBatchProducer batch-SplitBatchProducer
fi

if wanted broadcast; then
  begin broadcast-1 broadcast.PushConsumer
  begin broadcast-2 broadcast.PushConsumer
  expect broadcast-1 1 'Broadcast Consumer Started' 60
  expect broadcast-2 1 'Broadcast Consumer Started' 60
  begin broadcast-Producer operation.Producer -g operation -t TopicTest -a TagA -k keys -c 20
  expect broadcast-1 20 'Receive New Messages' 90
  expect broadcast-2 20 'Receive New Messages' 90
  finish broadcast-1 broadcast-2 broadcast-Producer
fi

if wanted filter; then
  begin filter-TagFilterProducer filter.TagFilterProducer
  expect filter-TagFilterProducer 60 'sendStatus=SEND_OK' 60
  begin filter-TagFilterConsumer filter.TagFilterConsumer
  expect filter-TagFilterConsumer 40 'Receive New Messages' 90 'TAGS=TagB'
  finish filter-TagFilterProducer filter-TagFilterConsumer
  begin filter-SqlFilterProducer filter.SqlFilterProducer
  expect filter-SqlFilterProducer 10 'sendStatus=SEND_OK' 60
  begin filter-SqlFilterConsumer filter.SqlFilterConsumer
  # Of a = 0 … 3 those with TagA or TagB.
  expect filter-SqlFilterConsumer 3 'Receive New Messages' 90 'TAGS=TagC|Exception'
  finish filter-SqlFilterProducer filter-SqlFilterConsumer
fi

if wanted ordermessage; then
  begin ordermessage-Producer ordermessage.Producer
  expect ordermessage-Producer 100 'sendStatus=SEND_OK' 60
  begin ordermessage-Consumer ordermessage.Consumer
  begin ordermessage-Sender operation.Producer -g operation -t TopicTest -a TagC -k keys -c 20
  expect ordermessage-Consumer 20 'Receive New Messages' 90
  finish ordermessage-Producer ordermessage-Consumer ordermessage-Sender
fi

if wanted schedule; then
  begin schedule-Consumer schedule.ScheduledMessageConsumer
  begin schedule-Producer schedule.ScheduledMessageProducer
  # Level 3: ten seconds.
  expect schedule-Consumer 100 'Receive message\[msgId=[0-9A-F]+ +[0-9]+ +ms later' 90
  finish schedule-Consumer schedule-Producer
  if [ "$version" != 4.9.8 ]; then
    begin timer-Consumer schedule.TimerMessageConsumer
    begin timer-Producer schedule.TimerMessageProducer
    expect timer-Producer 10 'sendStatus=SEND_OK' 60
    expect timer-Consumer 10 'Receive message\[msgId=[0-9A-F]+ +[0-9]+ +ms later' 90
    finish timer-Consumer timer-Producer
  fi
fi

if wanted transaction; then
  begin transaction-Producer transaction.TransactionProducer
  expect transaction-Producer 10 'sendStatus=SEND_OK' 60
  # All ten are in doubt; a third each is unknown for good, committed, rolled back when the broker asks.
  begin transaction-Consumer operation.Consumer -g transaction -t TopicTest1234 -s '*' -f false
  expect transaction-Consumer 3 'MessageExt' 90
  finish transaction-Producer transaction-Consumer
fi

if wanted rpc; then
  begin rpc-ResponseConsumer rpc.ResponseConsumer
  expect rpc-ResponseConsumer 1 'Consumer Started' 60
  # The first request finds the consumer on its way; its answer may come after its 3 s.
  begin rpc-First rpc.AsyncRequestProducer
  expect rpc-ResponseConsumer 1 'reply to .*SEND_OK' 90
  begin rpc-AsyncRequestProducer rpc.AsyncRequestProducer
  expect rpc-AsyncRequestProducer 1 'replyMessage: MessageExt' 60
  if [ "$version" = 4.9.8 ]; then
    begin rpc-RequestProducer rpc.RequestProducer
    expect rpc-RequestProducer 1 'replyMessage: MessageExt' 60
    finish rpc-RequestProducer
  fi
  finish rpc-ResponseConsumer rpc-First rpc-AsyncRequestProducer
fi

if wanted tracemessage; then
  begin tracemessage-TraceProducer tracemessage.TraceProducer
  expect tracemessage-TraceProducer 128 'sendStatus=SEND_OK' 60
  begin tracemessage-TracePushConsumer tracemessage.TracePushConsumer
  expect tracemessage-TracePushConsumer 20 'Receive New Messages' 90
  begin tracemessage-records operation.Consumer -g tracereader -t RMQ_SYS_TRACE_TOPIC -s '*' -f false
  expect tracemessage-records 2 'MessageExt.*RMQ_SYS_TRACE_TOPIC' 90
  begin tracemessage-OpenTracingProducer tracemessage.OpenTracingProducer
  expect tracemessage-OpenTracingProducer 1 'sendStatus=SEND_OK' 60 '^java.*Exception'
  begin tracemessage-OpenTracingPushConsumer tracemessage.OpenTracingPushConsumer
  expect tracemessage-OpenTracingPushConsumer 1 'Receive New Messages' 90 -
  begin tracemessage-OpenTracingTransactionProducer tracemessage.OpenTracingTransactionProducer
  expect tracemessage-OpenTracingTransactionProducer 1 'sendStatus=SEND_OK' 60 -
  finish tracemessage-TraceProducer tracemessage-TracePushConsumer tracemessage-records tracemessage-OpenTracingProducer \
    tracemessage-OpenTracingPushConsumer tracemessage-OpenTracingTransactionProducer
fi

if wanted namespace; then
  begin namespace-Producer namespace.ProducerWithNamespace
  expect namespace-Producer 100 'Topic:.*NAMESPACE_TOPIC send success' 60
  begin namespace-PushConsumer namespace.PushConsumerWithNamespace
  expect namespace-PushConsumer 100 'Msg topic is:NAMESPACE_TOPIC' 90
  begin namespace-PullConsumer namespace.PullConsumerWithNamespace
  # It waits 20 s at the end of each queue.
  expect namespace-PullConsumer 20 'Topic is:.*NAMESPACE_TOPIC' 90
  finish namespace-Producer namespace-PushConsumer namespace-PullConsumer
fi

if wanted openmessaging; then
  export OMS_RMQ_DIRECT_NAME_SRV=true
  begin openmessaging-Producer openmessaging.SimpleProducer
  expect openmessaging-Producer 2 'Send async message OK' 60 -
  begin openmessaging-PushConsumer openmessaging.SimplePushConsumer
  expect openmessaging-PushConsumer 1 'Received one message' 60 -
  begin openmessaging-PullConsumer openmessaging.SimplePullConsumer
  expect openmessaging-PullConsumer 1 'Received one message' 60 -
  finish openmessaging-Producer openmessaging-PushConsumer openmessaging-PullConsumer
fi

if wanted benchmark; then
  local_options=(-n 127.0.0.1:9876)
  begin benchmark-Consumer benchmark.Consumer "${local_options[@]}" -t BenchmarkTest -w 4
  begin benchmark-Producer benchmark.Producer "${local_options[@]}" -t BenchmarkTest -w 4 -s 1024 -k true -q 20000
  expect benchmark-Producer 1 '(Send|Response) Failed: 0' 60 'Failed: [1-9]|Exception'
  expect benchmark-Consumer 1 'Consume TPS|TPS: *[1-9]' 60
  begin benchmark-BatchProducer benchmark.BatchProducer "${local_options[@]}" -t BenchmarkTest -w 2 -s 128 -b 16
  expect benchmark-BatchProducer 2 'Send TPS: *[1-9].*Failed: *0' 60 'Failed: +[1-9]|Exception'
  finish benchmark-Consumer benchmark-Producer benchmark-BatchProducer
  # A quarter unknown, of whose checks a quarter is unknown again, a tenth rolled back.
  begin benchmark-TransactionProducer benchmark.TransactionProducer "${local_options[@]}" -t TransactionBenchmark -w 4 -i 20 \
    -su 0.25 -cu 0.25 -cr 0.1 -sr 0.1
  expect benchmark-TransactionProducer 4 '[Cc]heck: [1-9].*nexpectedCheck: 0 .*uplicatedCheck: 0' 120 \
    'unexpected check|nexpectedCheck: [1-9]|uplicatedCheck: [1-9]|Failed: [1-9]'
  finish benchmark-TransactionProducer
  if [ "$version" != 4.9.8 ]; then
    # Their -n takes the value of -t.
    begin benchmark-TimerConsumer benchmark.timer.TimerConsumer -t TimerBenchmark
    begin benchmark-TimerProducer benchmark.timer.TimerProducer -t TimerBenchmark -tc 2 -ms 128 -st 10 -mt 20
    expect benchmark-TimerProducer 1 'Send TPS: [1-9].*Send Failed: 0' 60 'Send Failed: [1-9]'
    # The first is due two minutes after the start.
    expect benchmark-TimerConsumer 1 'Consume TPS: [1-9]' 240
    finish benchmark-TimerConsumer benchmark-TimerProducer
  fi
fi
