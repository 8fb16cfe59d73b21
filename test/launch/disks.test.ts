import { randomBytes } from 'node:crypto'
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import type { SendResult } from '../../src/client/index.ts'
import { BrokerGroup } from './brokerGroup.ts'

/**
 * Disks that are exchanged, copied, put back from a backup, or lose a part: brokers as processes of bin. In the hard cases one node
 * slept through acknowledged sends, one has a disk that may not be believed, and these two start without the one that has everything.
 */

t.setTimeout(240_000)

/** Longer than two nodes need to elect one of them. */
const WATCHED_MS = 1500
const SMALL = 'mappedFileSizeCommitLog=1048576'

/** Nobody leads for a while, and this one says why it does not help. */
async function waits(t: Test, group: BrokerGroup, id: string): Promise<void> {
  await group.until(`${id} to say that it recovers`, async () => {
    return (await group.statusOrNull(id))?.trouble === 'recovering'
  })
  const untilMs = performance.now() + WATCHED_MS
  while (performance.now() < untilMs) {
    for (const each of group.ids) {
      const role = (await group.statusOrNull(each))?.role
      if (role === 'leader') t.fail(`${each} leads`)
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** n2 lacks what the others acknowledged after it was killed; then these go too, n0 in order: it remembers what was committed. */
async function sendWithoutN2(group: BrokerGroup, body: string): Promise<SendResult> {
  await group.kill('n2')
  const sent = await group.send(body)
  await group.kill('n1')
  await group.end('n0', 'SIGTERM')
  return sent
}

/** Not a test of its own: what tap starts for a test ends with the innermost one. */
async function step(t: Test, title: string, run: () => Promise<void>): Promise<void> {
  t.comment(title)
  await run()
}

t.test('disks that are not those of before', async t => {
  const group = await BrokerGroup.start(t, [SMALL])
  const first = await group.send('first')

  await step(t, 'a store serves one process, and one node of the group', async () => {
    const second = await group.another('n1').ended
    t.match(second, { status: 253, stderr: /n1\/store is held by another process/ })
  })

  await step(t, 'two nodes with exchanged disks do not start', async () => {
    await group.kill(...group.ids)
    const aside = join(t.testdirName, 'aside')
    const exchange = (): void => {
      renameSync(group.store('n1'), aside)
      renameSync(group.store('n2'), group.store('n1'))
      renameSync(aside, group.store('n2'))
    }
    exchange()
    for (const [id, other] of [
      ['n1', 'n2'],
      ['n2', 'n1']
    ] as const) {
      const { status, stderr } = await group.run(id).ended
      t.equal(status, 253)
      t.match(stderr, `is the directory of ${other}, and this node is ${id} by its dLegerSelfId`)
    }
    exchange()
    await group.boot(...group.ids)
    await group.whole()
    t.same(await group.bodies(first), ['first'])
  })

  await step(t, 'another boot of the machine does not matter under SYNC_FLUSH', async () => {
    const sent = await sendWithoutN2(group, 'synced')
    await Promise.all([
      group.run('n1', { LEDGERMQ_BOOT_ID: 'another' }).says(/boot success/),
      group.boot('n2')
    ])
    t.equal(await group.leader(['n1', 'n2']), 'n1', 'the sleeper cannot win')
    t.same(await group.bodies(sent), ['synced'])
    await group.boot('n0')
    await group.whole()
  })

  await step(
    t,
    'a backup that was put back neither votes nor leads; an operator may go on with it, and who has more stays out',
    async () => {
      await group.kill('n1')
      const backup = join(t.testdirName, 'backup')
      cpSync(group.store('n1'), backup, { recursive: true, preserveTimestamps: true })
      await group.boot('n1')
      await group.whole()
      await sendWithoutN2(group, 'acknowledged by n0 and n1')
      rmSync(group.store('n1'), { recursive: true })
      cpSync(backup, group.store('n1'), { recursive: true, preserveTimestamps: true })
      await group.boot('n1', 'n2')
      await waits(t, group, 'n1')

      const ask = async (id: string, ...without: string[]): Promise<string> =>
        (await group.admin.brokers.raftForceRecover(group.address(id), without)).text
      t.match(await ask('n2', 'n0'), /this node is whole and votes anyway/)
      t.match(await ask('n1', 'n0', 'n2'), /no majority.*see "Disaster"/)
      t.match(await ask('n1', 'n9'), /n9 is no voter; voters are n0, n1, n2/)
      const argv = ['raftForceRecover', '-b', group.address('n1'), '-i', 'n0']
      const forced = await group.mqadmin(...argv)
      t.match(forced, { status: 0, text: /ONLY THEY HAVE WILL BE MISSING.*WARNING/s })
      await group.leader(['n1', 'n2'])
      const instead = await group.send('instead')
      t.same(await group.bodies(instead), ['instead'])

      const back = group.run('n0')
      const { status, stderr } = await back.ended
      t.equal(status, 255, 'it ends by itself')
      t.match(stderr, /conflict below the commit index.*start this node with an empty one/)
      rmSync(group.store('n0'), { recursive: true })
      await group.boot('n0')
      await group.whole()
      await group.kill(await group.leader())
      t.same(await group.bodies(instead), ['instead'], 'also without the leader of then')
    }
  )
})

t.test('disks that lost something', async t => {
  // Two hours later: what is in sealed segments is older than fileReservedTime.
  const later = join(t.testdirName, 'later.mjs')
  const group = await BrokerGroup.start(t, [
    SMALL,
    'flushDiskType=ASYNC_FLUSH',
    'fileReservedTime=1',
    'deleteWhen=04'
  ])
  writeFileSync(later, 'const now = Date.now\nDate.now = () => now() + 7_200_000\n')

  await step(
    t,
    'under ASYNC_FLUSH a node of another boot waits for those that may have more',
    async () => {
      const sent = await sendWithoutN2(group, 'unsynced')
      const rebooted = { LEDGERMQ_BOOT_ID: 'another' }
      await Promise.all([group.run('n1', rebooted).says(/boot success/), group.boot('n2')])
      await waits(t, group, 'n1')
      // It must not forget it either.
      await group.kill('n1')
      await group.run('n1', rebooted).says(/boot success/)
      await waits(t, group, 'n1')
      await group.boot('n0')
      await group.whole()
      t.same(await group.bodies(sent), ['unsynced'])
    }
  )

  await step(
    t,
    'a state database that is lost behind a trimmed log comes back by itself',
    async () => {
      // Not to be compressed.
      const padding = randomBytes(75_000).toString('base64')
      for (let i = 0; i < 32; i += 1) await group.send(`${i} ${padding}`)
      await Promise.all(group.ids.map(id => group.end(id, 'SIGTERM')))
      const env = { LEDGERMQ_NODE_OPTIONS: `--import=${pathToFileURL(later)}` }
      await Promise.all(group.ids.map(id => group.run(id, env).says(/boot success/)))
      const kept = await group.send('two hours later')
      for (const id of group.ids)
        await group.admin.brokers.deleteExpiredCommitLog(group.address(id))
      for (const id of group.ids) {
        await group.until(`${id} to trim its log`, async () => {
          const info = await group.admin.brokers.runtimeInfo(group.address(id))
          return Number(info.get('commitLogMinOffset')) > 0
        })
      }
      const [lost = ''] = group.ids.filter(id => id !== 'n2')
      await group.kill(lost)
      rmSync(join(group.store(lost), 'state'), { recursive: true })
      await group.run(lost, env).says(/boot success/)
      await group.whole()
      const said = readFileSync(join(group.store(lost), '..', 'logs', 'broker.log'), 'utf8')
      t.match(said, /It serves nobody until it has got a snapshot from a leader/)
      t.match(said, /is installed/)
      t.same(await group.bodies(kept), ['two hours later'])
    }
  )
})
