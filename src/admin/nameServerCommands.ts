import { type Command, type CommandContext, required } from './command.ts'

const namespace = required('s', 'namespace', 'namespace of the entry')
const key = required('k', 'key', 'name of the entry')
const brokerName = required('b', 'brokerName', 'name of the broker group')

export const updateKvConfig: Command = {
  name: 'updateKvConfig',
  description: 'Put a key and its value into the name servers',
  options: [namespace, key, required('v', 'value', 'its value')],
  async run(context) {
    const { args, admin } = context
    await admin.nameServers.putKv(args.need('s'), args.need('k'), args.need('v'))
    context.print('create or update kv config to namespace success.%n')
  }
}

export const deleteKvConfig: Command = {
  name: 'deleteKvConfig',
  description: 'Delete a key from the name servers',
  options: [namespace, key],
  async run(context) {
    const { args, admin } = context
    await admin.nameServers.deleteKv(args.need('s'), args.need('k'))
    context.print('delete kv config from namespace success.%n')
  }
}

export const wipeWritePerm: Command = {
  name: 'wipeWritePerm',
  description: "Take away a broker group's write permission in the name servers",
  options: [brokerName],
  async run(context) {
    await changeWritePerm(context, 'wipe')
  }
}

export const addWritePerm: Command = {
  name: 'addWritePerm',
  description: 'Give a broker group its write permission back in the name servers',
  options: [brokerName],
  async run(context) {
    await changeWritePerm(context, 'add')
  }
}

/** Each name server is asked even if one before it failed: the first failure is told at the end. */
async function changeWritePerm(context: CommandContext, verb: 'wipe' | 'add'): Promise<void> {
  const { nameServers } = context.admin
  const name = context.args.need('b')
  let failure: unknown = null
  for (const server of nameServers.addresses) {
    try {
      const changed =
        verb === 'wipe'
          ? await nameServers.wipeWritePerm(server, name)
          : await nameServers.addWritePerm(server, name)
      context.print(
        '%s write perm of broker[%s] in name server[%s] OK, %d%n',
        verb,
        name,
        server,
        changed
      )
    } catch (error) {
      context.print('%s write perm of broker[%s] in name server[%s] Failed%n', verb, name, server)
      failure ??= error
    }
  }
  if (failure !== null) throw failure
}

export const getNamesrvConfig: Command = {
  name: 'getNamesrvConfig',
  description: "Show the name servers' settings",
  options: [],
  async run(context) {
    const { nameServers } = context.admin
    for (const server of nameServers.addresses) {
      context.print('============%s============%n', server)
      for (const [name, text] of await nameServers.config(server)) {
        context.print('%-50s=  %s%n', name, text)
      }
    }
  }
}

export const updateNamesrvConfig: Command = {
  name: 'updateNamesrvConfig',
  description: "Change the name servers' setting",
  options: [required('k', 'key', 'name of the setting'), required('v', 'value', 'its new value')],
  async run(context) {
    const { args, admin } = context
    await admin.nameServers.updateConfig(args.need('k'), args.need('v'))
    context.print('update name server config success!%s%n', admin.nameServers.addresses.join(';'))
    context.print('%s : %s%n', args.need('k'), args.need('v'))
  }
}
