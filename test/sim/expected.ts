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
