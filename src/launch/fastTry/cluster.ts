import { Admin, ClientError } from '../../client/index.ts'
import type { Member } from './layout.ts'
import type { Session } from './session.ts'

export const CLUSTER = 'RaftCluster'
const LEADER_BROKER_ID = 0
const CALL_TIMEOUT_MS = 2000

export interface ClusterView {
  /** The name server answered. */
  reachable: boolean
  /** The member that the name server has as leader and that is alive. */
  leader: Member | null
}

/** A node that runs and is in no group: what its operator has to do next. False too when it does not answer. */
export async function waitsToBeAdded(session: Session, member: Member): Promise<boolean> {
  const { layout, platform } = session
  const admin = new Admin({
    nameServers: layout.namesrvAddress,
    platform,
    callTimeoutMs: CALL_TIMEOUT_MS
  })
  try {
    const { membership } = await admin.brokers.raftStatus(`127.0.0.1:${member.port}`)
    return membership === 'waiting' || membership === 'removed'
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    return false
  } finally {
    await admin.close()
  }
}

/** What the name server says of the cluster now. */
export async function readCluster(session: Session): Promise<ClusterView> {
  const { layout, platform, processes } = session
  const admin = new Admin({
    nameServers: layout.namesrvAddress,
    platform,
    callTimeoutMs: CALL_TIMEOUT_MS
  })
  try {
    const groups = await admin.nameServers.clusterBrokers(CLUSTER)
    for (const { addresses } of groups) {
      const port = Number(addresses.get(LEADER_BROKER_ID)?.split(':').at(-1))
      const member = [...layout.brokers, ...layout.further].find(broker => broker.port === port)
      if (member !== undefined && (await processes.pid(member)) !== null) {
        return { reachable: true, leader: member }
      }
    }
    return { reachable: true, leader: null }
  } catch (error) {
    // Without a broker the name server does not know the cluster; both are ordinary here.
    if (!(error instanceof ClientError)) throw error
    return { reachable: error.responseCode !== null, leader: null }
  } finally {
    await admin.close()
  }
}
