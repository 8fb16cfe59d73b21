import { booleanKey, enumKey, intKey, type Keys, keysWithoutEffect, longKey } from './keys.ts'

const revive = 'Every message comes back when its own time is over; there is no revive topic.'
const buffer = 'What is in flight is in memory and in the log; there is no other buffer.'

/** Keys of POP (5.3; broker.md 2.4). */
export const popKeys = {
  popPollingSize: intKey(1_024, 'now', 'Pops of one group that may wait for one topic and queue.'),
  maxPopPollingSize: longKey(100_000, 'now', 'Pops that may wait, all together.'),
  popPollingMapSize: intKey(100_000, 'none', 'What waits is limited by maxPopPollingSize.'),
  popLongPollingForceNotifyInterval: intKey(800, 'none', 'A pop that waits is woken by a match.'),
  popFromRetryProbability: intKey(
    20,
    'now',
    'Pops that look into the retry topic first, per cent.',
    0,
    100
  ),
  enableRetryTopicV2: booleanKey(
    false,
    'now',
    'Retry topics of POP are named %RETRY%group+topic, else %RETRY%group_topic.'
  ),
  retrieveMessageFromPopRetryTopicV1: booleanKey(
    true,
    'now',
    'With enableRetryTopicV2: each other pop reads the retry topic of the old name.'
  ),
  popResponseReturnActualRetryTopic: booleanKey(
    false,
    'now',
    'Answer retried messages under the name of their retry topic.'
  ),
  clearRetryTopicWhenDeleteTopic: booleanKey(
    true,
    'now',
    'With a topic its retry topics of POP go.'
  ),
  initPopOffsetByCheckMsgInMem: booleanKey(
    true,
    'now',
    'A new group that starts at the end begins at the first message of a young queue.'
  ),
  enablePopMessageThreshold: booleanKey(false, 'now', 'popInflightMessageThreshold counts.'),
  popInflightMessageThreshold: longKey(
    10_000,
    'now',
    'Messages of one queue that a group may have in flight before pops pass it over.'
  ),
  popCkMaxBufferSize: intKey(
    200_000,
    'now',
    'Batches in flight, all together; beyond it pops find nothing. Twice as many by changes of the invisible time.',
    1,
    10_000_000
  ),
  reviveQueueNum: intKey(8, 'now', 'Numbers for revive queues in handles.', 1, 998),
  defaultMessageRequestMode: enumKey(
    ['PULL', 'POP'],
    'PULL',
    'now',
    'How clients of 5.x read when nothing else is set (401).'
  ),
  defaultPopShareQueueNum: intKey(
    -1,
    'now',
    'Clients that share a queue by POP; up to 0: all share all.',
    -1
  ),
  serverLoadBalancerEnable: booleanKey(
    true,
    'now',
    'Assign queues to the clients that ask (400), else all of them.'
  ),
  loadBalancePollNameServerInterval: longKey(
    30_000,
    'now',
    'Age at which a route is asked for again for 400, ms.',
    1
  ),
  enablePopLog: booleanKey(false, 'none', 'See the level of the log.'),
  enablePopBatchAck: booleanKey(
    false,
    'none',
    'Batches of acknowledgements (200151) are always taken.'
  ),
  enablePopBufferMerge: booleanKey(false, 'none', buffer),
  popCkStayBufferTime: intKey(10_000, 'none', buffer),
  popCkStayBufferTimeOut: intKey(3_000, 'none', buffer),
  popCkOffsetMaxQueueSize: intKey(20_000, 'none', buffer),
  popConsumerKVServiceEnable: booleanKey(false, 'none', buffer),
  popConsumerKVServiceInit: booleanKey(false, 'none', buffer),
  popConsumerKVServiceLog: booleanKey(false, 'none', buffer),
  popReviveMaxAttemptTimes: intKey(16, 'none', 'A revival is tried until it is done.'),
  appendAckAsync: booleanKey(
    false,
    'none',
    'Acknowledgements are answered when they are committed.'
  ),
  appendCkAsync: booleanKey(false, 'none', 'Pops are answered when they are committed.'),
  enableSkipLongAwaitingAck: booleanKey(false, 'none', revive),
  reviveAckWaitMs: longKey(180_000, 'none', revive),
  reviveInterval: longKey(1_000, 'none', revive),
  reviveMaxSlow: longKey(3, 'none', revive),
  reviveScanTime: longKey(10_000, 'none', revive),
  skipWhenCKRePutReachMaxTimes: booleanKey(false, 'none', revive),
  ...keysWithoutEffect(revive, { popReviveMaxReturnSizePerRead: 16_384 }),
  ...keysWithoutEffect(buffer, { popConsumerFSServiceInit: true }),
  ...keysWithoutEffect('A pop in order that waits is woken when its queue is free, as with true.', {
    enableNotifyAfterPopOrderLockRelease: true
  })
} as const satisfies Keys
