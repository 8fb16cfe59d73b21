export { RemotingClient, type RemotingClientOptions } from './client.ts'
export { RemotingError, type RemotingErrorCode } from './errors.ts'
export { clientLimits, type RemotingLimits, serverLimits } from './limits.ts'
export { RemotingServer, type RemotingServerOptions } from './server.ts'
export type {
  CloseListener,
  Connection,
  ConnectionListener,
  FrameHandler,
  RequestHandler,
  RequestHead,
  Reservation,
  ResponseReceiver
} from './types.ts'
