export { Forwarder } from './forwarder.ts'
export {
  directCaller,
  FORWARDED_REQUEST,
  forwardKeyName,
  forwardKeyRoom,
  markNotLeader,
  unwrapForwarded,
  wrapForwarded
} from './mark.ts'
