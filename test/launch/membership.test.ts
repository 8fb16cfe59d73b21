import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Producer, PullConsumer, type SendResult } from '../../src/client/index.ts'
import { bin, freePort, Program, runProgram } from './programs.ts'

/** Growing and shrinking a group as an operator does it: processes of bin, and mqadmin. */

t.setTimeout(180_000)

const GROUP = 'RaftNode00'
const CLUSTER = 'RaftCluster'
const TOPIC = 'Grows'

interface Node {
  readonly id: string
  readonly port: number
  readonly raftPort: number
}

async function drawNode(id: string): Promise<Node> {
  return { id, port: await freePort(), raftPort: await freePort() }
}

function startBroker(t: Test, nameServer: string, node: Node, peers: readonly Node[]): Program {
  const home = join(t.testdirName, node.id)
  mkdirSync(home, { recursive: true })
  const file = join(home, 'broker.conf')
  const addresses = peers.map(({ id, raftPort }) => `${id}-127.0.0.1:${raftPort}`)
  const lines = [
    `brokerClusterName=${CLUSTER}`,
    `brokerName=${GROUP}`,
    `listenPort=${node.port}`,
    'brokerIP1=127.0.0.1',
    `namesrvAddr=${nameServer}`,
    `storePathRootDir=${home}/store`,
    'enableDLegerCommitLog=true',
    `dLegerGroup=${GROUP}`,
    `dLegerPeers=${addresses.join(';')}`,
    `dLegerSelfId=${node.id}`,
    'mappedFileSizeCommitLog=8388608',
    'shutdownGraceSeconds=1'
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return new Program(t, bin('mqbroker'), ['-c', file], {
    env: { LEDGERMQ_LOG_DIR: join(home, 'logs') }
  })
}

t.test('a group grows from three to five and shrinks to three under load', async t => {
  t.testdir()
  const port = await freePort()
  const nameServer = `127.0.0.1:${port}`
  const file = join(t.testdirName, 'namesrv.conf')
  writeFileSync(file, `listenPort=${port}\nkvConfigPath=${t.testdirName}/kv.json\n`)
  await new Program(t, bin('mqnamesrv'), ['-c', file]).says(/boot success/)
  const mqadmin = async (...argv: string[]): Promise<string> => {
    const { status, stdout, stderr } = await runProgram(t, bin('mqadmin'), [
      ...argv,
      '-n',
      nameServer
    ])
    if (status !== 0) throw new Error(`mqadmin ${argv.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }
  const founders = await Promise.all(['n0', 'n1', 'n2'].map(drawNode))
  const brokers = founders.map(node => startBroker(t, nameServer, node, founders))
  await Promise.all(brokers.map(broker => broker.says(/boot success/)))

  const producer = new Producer({ nameServers: nameServer, group: 'P' })
  t.teardown(() => producer.close())
  await producer.start()
  const sent: SendResult[] = []
  const failed: unknown[] = []
  let stopped = false
  const load = (async () => {
    while (!stopped) {
      const body = `message ${sent.length}`
      await producer.send({ topic: TOPIC, body }).then(
        result => sent.push(result),
        error => failed.push(error)
      )
    }
  })()
  await until(
    () => sent.length > 20,
    () => `sends, failed: ${failed[0]}`
  )
  failed.length = 0

  const [n3, n4] = [await drawNode('n3'), await drawNode('n4')]
  startBroker(t, nameServer, n3, [...founders, n3])
  startBroker(t, nameServer, n4, [...founders, n3, n4])
  for (const { id } of [n3, n4]) {
    t.match(
      await mqadmin('raftAddMember', '-c', CLUSTER, '-i', id),
      `${id} is a voter of the group`
    )
  }
  t.match(await mqadmin('clusterList'), new RegExp(`${GROUP} +5 +127.0.0.1:${n4.port}`))
  // The leader goes too: it hands over first.
  const leader = /#Leader +(n\d)/.exec(await mqadmin('raftStatus', '-c', CLUSTER))?.[1] ?? ''
  const other = founders.find(({ id }) => id !== leader)!.id
  for (const id of [leader, other]) {
    t.match(await mqadmin('raftRemoveMember', '-c', CLUSTER, '-i', id), `${id} was removed`)
  }
  const status = await mqadmin('raftStatus', '-c', CLUSTER)
  t.equal(status.match(/^n\d .*(leader|voter)/gm)?.length, 3, status)
  const before = sent.length
  await until(() => sent.length > before + 20, 'sends to the group as it is now')
  stopped = true
  await load
  t.same(failed, [], `of ${sent.length + failed.length} sends none failed`)

  const consumer = new PullConsumer({ nameServers: nameServer, group: 'C' })
  t.teardown(() => consumer.close())
  await consumer.start()
  for (const { queue, queueOffset } of [sent[0]!, sent.at(-1)!]) {
    const { messages } = await consumer.fetch(queue, queueOffset, {
      maxMessages: 1,
      waitMs: 10_000
    })
    t.equal(messages.length, 1, 'what was acknowledged is there')
  }
  const out = founders.find(({ id }) => id === leader)!
  await until(
    async () =>
      (await mqadmin('raftStatus', '-b', `127.0.0.1:${out.port}`)).includes(
        'removed from the group'
      ),
    'the removed node to know it'
  )
})

async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string)
): Promise<void> {
  const deadline = performance.now() + 40_000
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error(`waited in vain for ${typeof what === 'string' ? what : what()}`)
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
