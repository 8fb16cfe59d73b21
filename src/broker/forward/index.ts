export { Forwarder, type RunHere } from './forwarder.ts'
export { callerOf, forwardKeyName, forwardKeyRoom, isMarked, markNotLeader } from './mark.ts'
