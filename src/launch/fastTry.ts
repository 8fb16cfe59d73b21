import process from 'node:process'
import { runMqadmin } from '../admin/index.ts'
import { createRealPlatform } from '../platform/index.ts'
import { commandIo } from './environment.ts'
import { run, VERBS, type Verb } from './fastTry/commands.ts'
import { parsePortOffset, readLayout } from './fastTry/layout.ts'
import { Processes } from './fastTry/processes.ts'
import { main } from './lifetime.ts'

const USAGE = `Usage: scripts/fast-try.sh [${VERBS.join('|')}] [namesrv|n0|n1|n2|n3|n4|leader]

A name server and three brokers on this machine. Without a word: start. Without a name: all of them.
  start     what is not running yet; the whole cluster also sends a few messages
  stop      gracefully; a leader hands over first and serves on until its clients have moved
  restart   stop and start
  kill      kill -9
  status    who runs, who leads
  clean     kill all and remove their data, logs and configuration

n3 and n4 are further brokers, which the group does not have at first: "start n3" starts one and says how it is added.

The brokers run on copies of conf/dledger/broker-n0.conf … n4.conf below the state directory (/tmp/rmqstore/conf), where
mqadmin updateBrokerConfig and you may change them. A copy is kept until "clean", or until the file that it was made from changes.
PORT_OFFSET=1000 in the environment moves every port and the state directory by that much.`

await main(async () => {
  const [verb = 'start', target, ...more] = process.argv.slice(2)
  if (verb === 'help' || verb === '-h' || verb === '--help') {
    console.log(USAGE)
    return
  }
  if (!isVerb(verb) || more.length > 0) {
    console.error(USAGE)
    process.exitCode = 1
    return
  }
  const platform = createRealPlatform()
  const root = process.env['ROCKETMQ_HOME'] ?? '.'
  const layout = await readLayout(root, parsePortOffset(process.env['PORT_OFFSET']), platform.disk)
  await run(
    {
      platform,
      layout,
      processes: new Processes(root, platform),
      print: line => console.log(line),
      mqadmin: (...argv) => runMqadmin(argv, commandIo(platform))
    },
    verb,
    target ?? null
  )
})

function isVerb(word: string): word is Verb {
  return (VERBS as readonly string[]).includes(word)
}
