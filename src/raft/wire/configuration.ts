import protobuf from 'protobufjs/light.js'
import type { Configuration, Member } from '../core/types.ts'
import './codec.ts'
import { WireError } from './frame.ts'

/** Body of a configuration entry (raft.md 4.7, Membership). */
const MEMBERS_MAX = 64
const ROLE_VOTER = 0
const ROLE_LEARNER = 1

const memberType = new protobuf.Type('Member')
  .add(new protobuf.Field('id', 1, 'string'))
  .add(new protobuf.Field('uid', 2, 'string'))
  .add(new protobuf.Field('raftAddress', 3, 'string'))
  .add(new protobuf.Field('brokerAddress', 4, 'string'))
  .add(new protobuf.Field('role', 5, 'uint32'))
  .add(new protobuf.Field('priority', 6, 'uint32'))
const configurationType = new protobuf.Type('Membership')
  .add(new protobuf.Field('version', 1, 'uint64'))
  .add(new protobuf.Field('members', 2, 'Member', 'repeated'))
  .add(new protobuf.Field('clusterId', 3, 'string'))
  .add(memberType)
configurationType.setup()

interface Parsed {
  version: number
  clusterId: string
  members: (Omit<Member, 'role'> & { role: number })[]
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const members = configuration.members.map(member => ({
    ...member,
    role: member.role === 'voter' ? ROLE_VOTER : ROLE_LEARNER
  }))
  const { version, clusterId } = configuration
  return configurationType.encode({ version, clusterId, members }).finish()
}

/** Throws WireError when it is none. */
export function decodeConfiguration(body: Buffer): Configuration {
  let parsed: Parsed
  try {
    parsed = configurationType.decode(body) as unknown as Parsed
  } catch (error) {
    throw new WireError('the configuration does not parse', { cause: error })
  }
  const members = parsed.members.map(decodeMember)
  const uids = new Set(members.map(member => member.uid))
  const voters = members.filter(member => member.role === 'voter').map(member => member.id)
  const wrong = uids.size !== members.length || new Set(voters).size !== voters.length
  if (voters.length === 0 || members.length > MEMBERS_MAX || wrong) {
    throw new WireError(
      `a configuration of ${members.length} members with ${uids.size} disks, voters ${voters.join()}`
    )
  }
  if (parsed.clusterId === '') throw new WireError('a configuration without a cluster id')
  return { version: parsed.version, clusterId: parsed.clusterId, members }
}

function decodeMember(member: Parsed['members'][number]): Member {
  const { id, uid, raftAddress, brokerAddress, role, priority } = member
  if (role !== ROLE_VOTER && role !== ROLE_LEARNER) {
    throw new WireError(`member ${id} has the unknown role ${role}`)
  }
  const roleName = role === ROLE_VOTER ? 'voter' : 'learner'
  return { id, uid, role: roleName, raftAddress, brokerAddress, priority }
}
