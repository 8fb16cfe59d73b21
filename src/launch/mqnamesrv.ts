import process from 'node:process'
import { Command } from 'commander'
import { NameServer, NamesrvConfig } from '../namesrv/index.ts'
import { createRealPlatform } from '../platform/index.ts'
import { parsePropertiesFile } from '../protocol/index.ts'
import { openLogging, readEnvironment } from './environment.ts'
import { main, serveWithoutConsole, stopOnSignal } from './lifetime.ts'

/** The original's status for a start that failed: -3. */
const START_FAILED = 253

interface Options {
  configFile?: string
  printConfigItem?: boolean
}

await main(async () => {
  const options = new Command('mqnamesrv')
    .option('-c, --configFile <file>', 'Name server config properties file')
    .option('-n, --namesrvAddr <addresses>', 'Taken for compatibility; a name server needs none')
    .option('-p, --printConfigItem', 'Print all config items and exit')
    .helpOption('-h, --help', 'Print help')
    .parse()
    .opts<Options>()
  const environment = readEnvironment()
  const platform = createRealPlatform()
  let entries: ReadonlyMap<string, string> = new Map()
  if (options.configFile !== undefined) {
    entries = parsePropertiesFile(await platform.disk.readFile(options.configFile)).entries
    console.log(`load config properties file OK, ${options.configFile}`)
  }
  const config = NamesrvConfig.parse(entries, {
    userHome: environment.userHome,
    rocketmqHome: environment.rocketmqHome,
    configFile: options.configFile
  })
  if (options.printConfigItem === true) {
    for (const [key, value] of config.entries()) console.log(`${key}=${value}`)
    return
  }
  serveWithoutConsole()
  const logging = openLogging(environment)
  const logger = logging.logger('namesrv')
  const server = new NameServer(config, platform, logger)
  stopOnSignal(async () => {
    await server.stop()
    logger.info('name server stopped')
    await logging.close()
  })
  await server.start()
  logger.info('name server started', { port: server.port, pid: process.pid })
  console.log('The Name Server boot success. serializeType=JSON')
}, START_FAILED)
