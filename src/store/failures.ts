import { NotLeaderError } from '../raft/index.ts'
import { StoreError } from './types.ts'

/** What a promise of the store rejects with; every other reason means that the leadership is elsewhere. */
export function failureOf(reason: string, leaderId: string | null): Error {
  switch (reason) {
    case 'busy':
      return new StoreError('busy', 'too much waits for its commit: try again')
    case 'timeout':
      return new StoreError('timeout', 'not committed in time: it may still be')
    case 'stopped':
      return new StoreError('stopped', 'the store is being stopped')
    case 'tooLarge':
      return new StoreError('tooLarge', 'the command is larger than an entry of the log')
    default:
      return new NotLeaderError(leaderId)
  }
}
