export { BLANK_BYTES, entryPosition } from './place.ts'
export { Raft } from './raft.ts'
export { defaultLimits, defaultTimings } from './settings.ts'
export * from './types.ts'
