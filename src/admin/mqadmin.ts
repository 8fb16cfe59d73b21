import { asError, ClientError } from '../client/index.ts'
import * as brokers from './brokerCommands.ts'
import * as cluster from './clusterCommands.ts'
import { type Command, CommandContext, UsageError } from './command.ts'
import { setConsumeMode } from './consumeModeCommand.ts'
import * as groups from './groupCommands.ts'
import type { CommandIo } from './io.ts'
import * as messages from './messageQueries.ts'
import * as nameServers from './nameServerCommands.ts'

import * as offsets from './offsetCommands.ts'
import { parseArguments } from './parse.ts'
import * as prints from './printCommands.ts'
import * as raft from './raftCommands.ts'
import * as sends from './sendConsumeCommands.ts'
import * as statistics from './statisticsCommands.ts'
import * as topics from './topicCommands.ts'
import * as topicQueries from './topicQueries.ts'
import { overviewText, usageText } from './usage.ts'

/** In the order in which the overview lists them, which is the original's; what it does not have comes last. */
export const COMMANDS: readonly Command[] = [
  topics.updateTopic,
  topics.deleteTopic,
  groups.updateSubGroup,
  groups.deleteSubGroup,
  brokers.updateBrokerConfig,
  topics.updateTopicPerm,
  topicQueries.topicRoute,
  topicQueries.topicStatus,
  topicQueries.topicClusterList,
  brokers.brokerStatus,
  messages.queryMsgById,
  messages.queryMsgByKey,
  messages.queryMsgByUniqueKey,
  messages.queryMsgByOffset,
  prints.printMsg,
  prints.printMsgByQueue,
  brokers.brokerConsumeStats,
  groups.producerConnection,
  groups.consumerConnection,
  groups.consumerProgress,
  offsets.cloneGroupOffset,
  cluster.clusterList,
  topicQueries.topicList,
  nameServers.updateKvConfig,
  nameServers.deleteKvConfig,
  nameServers.wipeWritePerm,
  nameServers.addWritePerm,
  offsets.resetOffsetByTime,
  offsets.skipAccumulatedMessage,
  topics.updateOrderConf,
  brokers.cleanExpiredCQ,
  brokers.deleteExpiredCommitLog,
  topics.cleanUnusedTopic,
  statistics.statsAll,
  topicQueries.allocateMQ,
  sends.checkMsgSendRT,
  nameServers.getNamesrvConfig,
  nameServers.updateNamesrvConfig,
  brokers.getBrokerConfig,
  groups.getConsumerConfig,
  statistics.queryCq,
  sends.sendMessage,
  sends.consumeMessage,
  setConsumeMode,
  raft.raftStatus,
  raft.raftAddMember,
  raft.raftUpdateMember,
  raft.raftRemoveMember,
  raft.raftTransferLeader,
  raft.raftForceRecover
]

/**
 * Runs one command line, without the program's name. Resolves to the exit status: 0 when it did what it says, else 1
 * with one sentence on stderr. Never rejects. `more`: commands of the program's own, behind the original's.
 */
export async function runMqadmin(
  argv: readonly string[],
  io: CommandIo,
  more: readonly Command[] = []
): Promise<number> {
  const commands = [...COMMANDS, ...more]
  const [name, ...words] = argv
  if (name === undefined) {
    io.stdout(overviewText(commands))
    return 0
  }
  if (name.toLowerCase() === 'help') return help(commands, words[0], io)
  const command = find(commands, name)
  if (command === undefined) return unknown(name, io)
  let context: CommandContext | null = null
  try {
    const args = parseArguments(command, words)
    if (args === null) {
      io.stdout(usageText(command))
      return 0
    }
    context = new CommandContext(args, io)
    await command.run(context)
    return 0
  } catch (error) {
    if (error instanceof UsageError) io.stdout(usageText(command))
    io.stderr(`mqadmin ${command.name}: ${sentence(error)}\n`)
    return 1
  } finally {
    await context?.close()
  }
}

function help(commands: readonly Command[], name: string | undefined, io: CommandIo): number {
  if (name === undefined) {
    io.stdout(overviewText(commands))
    return 0
  }
  const command = find(commands, name)
  if (command === undefined) return unknown(name, io)
  io.stdout(usageText(command))
  return 0
}

/** Case does not matter, as in the original. */
function find(commands: readonly Command[], name: string): Command | undefined {
  return commands.find(command => command.name.toLowerCase() === name.toLowerCase())
}

function unknown(name: string, io: CommandIo): number {
  io.stderr(`The sub command ${name} not exist.\n`)
  return 1
}

/** What went wrong in one line, with the server and its response code where a server said it. */
function sentence(error: unknown): string {
  const text = asError(error).message.trim().split('\n')[0]!
  if (!(error instanceof ClientError)) return text
  const details: string[] = []
  if (error.responseCode !== null) details.push(`code ${error.responseCode}`)
  if (error.address !== null && !text.includes(error.address)) details.push(`from ${error.address}`)
  return details.length === 0 ? text : `${text} (${details.join(' ')})`
}
