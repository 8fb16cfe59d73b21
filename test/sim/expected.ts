/** What a long campaign must have met (raft.md 5.10): each kind of fault at each role that it means something for. */

const CORE_FAULTS = [
  'kill',
  'powerLoss',
  'storageFailed',
  'isolate',
  'block',
  'reset',
  'stale',
  'slow',
  'disk',
  'transfer'
]
const CORE_ROLES = ['leader', 'follower', 'candidate', 'preCandidate', 'recovering']

export const CORE_EXPECTED: readonly string[] = [
  ...CORE_FAULTS.flatMap(fault => CORE_ROLES.map(role => `fault ${fault} ${role}`)),
  'fault damage leader',
  'fault damage follower',
  'fault gone follower',
  'fault wipe leader',
  'fault wipe follower',
  'fault trim leader',
  'power loss of all',
  'first start',
  'start damaged',
  'start recovering',
  'transfer true',
  'transfer false',
  'calm'
]

const CLUSTER_FAULTS: readonly [fault: string, roles: readonly string[]][] = [
  ['kill', ['leader', 'follower', 'recovering', 'down']],
  ['killLeader', ['leader']],
  ['killAll', ['all']],
  ['killInElection', ['leader', 'follower', 'candidate']],
  ['powerLoss', ['leader', 'follower', 'down', 'recovering']],
  ['powerLossAll', ['all']],
  ['isolate', ['leader', 'follower', 'down']],
  ['split', ['all']],
  ['oneWay', ['leader', 'follower']],
  ['flap', ['leader', 'follower']],
  ['cut', ['leader', 'follower']],
  ['slowLink', ['leader', 'follower']],
  ['slowDisk', ['leader', 'follower']],
  ['diskStall', ['leader', 'follower']],
  ['stall', ['leader', 'follower']],
  ['stallClient', ['up']],
  ['clockJump', ['leader', 'follower', 'up']],
  ['restart', ['leader', 'follower']],
  ['failWrite', ['leader', 'follower']],
  ['failSync', ['leader', 'follower']],
  ['failRead', ['leader', 'follower']],
  ['failState', ['leader', 'follower']],
  ['diskFull', ['leader', 'follower']],
  ['bitRot', ['leader', 'follower']],
  ['rotAtStart', ['starting']],
  ['hardCase', ['leader', 'follower']],
  ['wipe', ['leader', 'follower']],
  ['killNameServer', ['up', 'down']],
  ['transfer', ['leader']],
  ['trim', ['leader']],
  ['addMember', ['leader']],
  ['removeMember', ['leader']],
  ['preferMember', ['leader']]
]

export const CLUSTER_EXPECTED: readonly string[] = [
  ...CLUSTER_FAULTS.flatMap(([fault, roles]) => roles.map(role => `${fault} ${role}`)),
  'went on without one',
  'offset answered leader',
  'offset answered follower',
  'offset one-way leader',
  'offset one-way follower',
  'timed delivered',
  'timed recalled'
]
