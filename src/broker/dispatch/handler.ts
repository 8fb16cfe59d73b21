import type { RemotingCommand } from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import type { BrokerContext } from './context.ts'

/** Who asks. A request that another member of the group forwarded comes over that member's connection. */
export interface Caller {
  /** Where the answer goes, and what a client table may keep; the member's connection when `forwarded`. */
  readonly connection: Connection
  /** `ip:port` of the client itself, IPv6 in brackets. */
  readonly address: string
  /** 8 or 20 bytes: the client as a stored message's born host. */
  readonly hostBytes: Buffer
  /** It came through another member: it must not be forwarded again (one hop). */
  readonly forwarded: boolean
  /** How long the member held it before it came here, ms; 0 when it came directly. */
  readonly heldMs: number
}

/** Null: answered later through `caller.connection.respond`, or never. */
export type Answer = RemotingCommand | null | Promise<RemotingCommand | null>

/**
 * One request code. What the dispatcher must know is data. A throw or a rejection is answered with SYSTEM_ERROR (1) and its text;
 * a NotLeaderError of a handler that needs the leader makes the dispatcher wait for the next leader and ask it instead.
 */
export interface Handler {
  readonly code: number
  /** Only the leader may do it: other members forward it, and hold it up to `forwardHoldMillis` while there is no leader. */
  readonly needsLeader: boolean
  /**
   * What the client gets when no leader comes: `refuse` (default) answers SERVICE_NOT_AVAILABLE (14), `silence` nothing,
   * for requests whose every error a client takes for "no offset" (remoting.md 2.7).
   */
  readonly withoutLeader?: 'refuse' | 'silence'
  /** Answered also by a node that was removed from its group; all else is refused there. */
  readonly outsideToo?: true
  /** Doing it twice is as good as once: when a leader goes away with it, the next one is asked again. */
  readonly repeatable?: true
  /** How long the leader may hold a request of this code, ms: a member that forwards it is patient for so much longer. */
  heldMs?(request: RemotingCommand): number
  handle(request: RemotingCommand, caller: Caller, broker: BrokerContext): Answer
}
