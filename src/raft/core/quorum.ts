import type { Progress } from './progress.ts'
import type { LeaderRole, RaftState } from './state.ts'
import type { Member, NodeId } from './types.ts'

const scratch: number[] = []

/** The greatest value that a majority of the voters has reached; `own` is this node's. Learners do not count. */
export function quorumValue(
  s: RaftState,
  role: LeaderRole,
  own: number,
  reached: (p: Progress) => number
): number {
  scratch.length = 0
  for (const voter of s.voters) {
    if (voter.id === s.selfId) {
      scratch.push(own)
      continue
    }
    const p = role.progress.get(voter.uid)
    scratch.push(p === undefined ? 0 : reached(p))
  }
  scratch.sort((a, b) => b - a)
  return scratch[s.majority - 1] ?? 0
}

/** Voters for which `holds`, this node included without asking. */
export function countVoters(role: LeaderRole, holds: (p: Progress) => boolean): number {
  let count = 1
  for (const p of role.progress.values()) if (p.voter && holds(p)) count++
  return count
}

/** Of the disk behind the present or last connection with `id`. */
export function progressOf(s: RaftState, role: LeaderRole, id: NodeId): Progress | undefined {
  const link = s.links.get(id)
  return link === undefined ? undefined : role.progress.get(link.uid)
}

export function voterOf(s: RaftState, id: NodeId): Member | undefined {
  return s.voters.find(voter => voter.id === id)
}
