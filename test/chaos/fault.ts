import type { Scene } from './scene.ts'
import { pause } from './topics.ts'

/** What happens to a cluster under load; ends when the harm is over, not when the cluster is whole again. */
export interface Fault {
  name: string
  /** Resolves to a note on what was done. `began` is called with the nodes concerned when the first harm is done. */
  run(scene: Scene, began: (...nodes: string[]) => void): Promise<string>
  /** It takes what only our own broker has. */
  ownOnly?: boolean
  /** A node may be elected meanwhile; where not, one is a complaint. */
  calm?: boolean
}

/** So many sends must be acknowledged while a node sleeps: it lacks them. */
export const SLEPT_SENDS = 100
export const HOLD_MS_MIN = 1500
export const HOLD_MS_MAX = 6000

export type Role = 'leader' | 'follower'

export async function nodeOf(scene: Scene, role: Role): Promise<string> {
  return role === 'leader' ? scene.leader() : (await scene.followers())[0]!
}

export function hold(scene: Scene): Promise<void> {
  return pause(scene.random.between(HOLD_MS_MIN, HOLD_MS_MAX))
}

/** One of the leader, and one of a follower. */
export function roles(
  name: string,
  make: (role: Role) => Fault['run'],
  more: Partial<Fault> = {}
): Fault[] {
  return (['leader', 'follower'] as const).map(role => ({
    name: `${name}-${role}`,
    run: make(role),
    ...more
  }))
}
