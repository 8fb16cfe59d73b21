import { booleanKey, intKey, type Keys, longKey } from './keys.ts'

/** Keys that RocketMQ does not have. */
export const ownKeys = {
  shutdownGraceSeconds: intKey(
    35,
    'now',
    'A stopping member of a group forwards for so long, until its clients have moved to the new leader, s.',
    0,
    600
  ),
  forwardHoldMillis: intKey(
    2_000,
    'now',
    'A request waits so long for a leader before it is refused, ms.',
    0,
    10_000
  ),
  forwardHoldMaxRequests: intKey(
    4_096,
    'now',
    'Requests that may wait for a leader.',
    0,
    1_000_000
  ),
  forwardHoldMaxBytes: longKey(
    33_554_432,
    'now',
    'Bytes of requests that may wait for a leader.',
    0
  ),
  forwardTimeoutMillis: intKey(
    3_000,
    'now',
    'Patience with the leader’s answer to a forwarded request, ms.',
    100,
    60_000
  ),
  enableTopicMessageTypeCheck: booleanKey(
    false,
    'now',
    'Sends must be of the type that their topic’s attribute message.type names; the key of 5.3’s proxy.'
  ),
  sendRetryWindowMillis: intKey(
    30_000,
    'now',
    'A send that was not answered is remembered for so long, so that its repetition is stored once, ms; 0: not at all.',
    0,
    600_000
  ),
  tailCacheBytes: longKey(
    67_108_864,
    'start',
    'Newest part of the log kept in memory, bytes.',
    4_194_304
  ),
  snapshotBytesPerSecond: longKey(
    67_108_864,
    'start',
    'How fast snapshots leave for members that fell behind the beginning of the log, bytes a second in all; a quarter of it while commits are slow.',
    65_536,
    10_737_418_240
  ),
  scrubBytesPerSecond: longKey(
    8_388_608,
    'start',
    'How fast everything on the disk is read in the background to find damage, bytes a second; an eighth of it while sends wait; 0 = never.',
    0,
    10_737_418_240
  ),
  scrubIntervalHours: intKey(
    168,
    'start',
    'From the beginning of one such round to the next one’s.',
    1,
    87_600
  ),
  maxTopics: intKey(
    50_000,
    'now',
    'Topics that may be made by sending or by heartbeats.',
    16,
    10_000_000
  ),
  maxTransactionsInDoubt: intKey(
    500_000,
    'now',
    'Half messages without an end; further ones are refused as busy.',
    1,
    100_000_000
  ),
  maxGroups: intKey(
    50_000,
    'now',
    'Consumer groups that may be made by being met.',
    16,
    10_000_000
  ),
  maxClientsPerGroup: intKey(
    10_000,
    'now',
    'Members of one producer or consumer group.',
    1,
    1_000_000
  ),
  maxSubscriptionsPerGroup: intKey(
    1_000,
    'now',
    'Topics to which one group may subscribe.',
    1,
    1_000_000
  )
} as const satisfies Keys
