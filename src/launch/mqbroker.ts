import process from 'node:process'
import { Command } from 'commander'
import { importantKeys, LiveConfig, openBroker } from '../broker/index.ts'
import { allowGarbage, createRealPlatform } from '../platform/index.ts'
import { parsePropertiesFile } from '../protocol/index.ts'
import { openLogging, readEnvironment } from './environment.ts'
import { main, serveWithoutConsole, stopOnSignal } from './lifetime.ts'

/** The original's statuses: -3 for a start that was refused, -1 for one that failed later. */
const START_FAILED = 253
const ENDED_BY_ITSELF = 255
/** Against pauses; memory of a broker is to stay below 600 MB. */
const GARBAGE_BYTES = 192 * 1024 * 1024

interface Options {
  configFile?: string
  namesrvAddr?: string
  printConfigItem?: boolean
  printImportantConfig?: boolean
}

await main(async () => {
  const options = new Command('mqbroker')
    .option('-c, --configFile <file>', 'Broker config properties file')
    .option('-n, --namesrvAddr <addresses>', 'Name servers, separated by ";"')
    .option('-p, --printConfigItem', 'Print all config items and exit')
    .option('-m, --printImportantConfig', 'Print the config items that matter most and exit')
    .helpOption('-h, --help', 'Print help')
    .parse()
    .opts<Options>()
  const environment = readEnvironment()
  const platform = createRealPlatform()
  const entries = new Map<string, string>()
  if (options.configFile !== undefined) {
    const file = parsePropertiesFile(await platform.disk.readFile(options.configFile))
    for (const [key, value] of file.entries) entries.set(key, value)
  }
  const namesrvAddr =
    options.namesrvAddr ?? entries.get('namesrvAddr') ?? environment.namesrvAddress
  if (namesrvAddr !== undefined) entries.set('namesrvAddr', namesrvAddr)
  const config = new LiveConfig(
    entries,
    {
      rocketmqHome: environment.rocketmqHome,
      storePathRootDir: `${environment.userHome}/store`,
      ...(options.configFile === undefined ? {} : { brokerConfigPath: options.configFile })
    },
    platform
  )
  if (options.printConfigItem === true) {
    for (const [key, value] of Object.entries(config.values)) console.log(`${key}=${value}`)
    return
  }
  if (options.printImportantConfig === true) {
    for (const key of importantKeys) console.log(`${key}=${config.values[key]}`)
    return
  }
  serveWithoutConsole()
  allowGarbage(GARBAGE_BYTES)
  const logging = openLogging(environment)
  const logger = logging.logger('broker')
  const broker = await openBroker(config, platform, logger, {
    onFatal: reason => {
      process.stderr.write(`${reason}\n`)
      logging.close().then(
        () => process.exit(ENDED_BY_ITSELF),
        () => process.exit(ENDED_BY_ITSELF)
      )
    }
  })
  stopOnSignal(async () => {
    await broker.stop()
    await logging.close()
  })
  await broker.start()
  const { brokerName } = config.settings
  const tail = namesrvAddr === undefined ? '' : ` and name server is ${namesrvAddr}`
  console.log(
    `The broker[${brokerName}, ${broker.address}] boot success. serializeType=JSON${tail}`
  )
}, START_FAILED)
