import { BROKER_OR_CLUSTER, type Command, required, UsageError, value } from './command.ts'

/** How the clients of 5.x that ask their brokers read a topic (401; mqadmin.md, 5.3). */
export const setConsumeMode: Command = {
  name: 'setConsumeMode',
  description: 'Let a group read a topic by PULL or by POP',
  oneOf: ['b', 'c'],
  options: [
    ...BROKER_OR_CLUSTER,
    required('t', 'topicName', 'name of the topic'),
    required('g', 'groupName', 'name of the consumer group'),
    required('m', 'mode', 'PULL or POP'),
    value('q', 'popShareQueueNum', 'clients that share a queue by POP; 0 or less: all (default 0)')
  ],
  async run(context) {
    const { args, admin } = context
    const topic = args.need('t')
    const consumerGroup = args.need('g')
    const mode = args.need('m').toUpperCase()
    if (mode !== 'PULL' && mode !== 'POP')
      throw new UsageError(`the mode is PULL or POP, not ${mode}`)
    const popShareQueueNum = args.whole('q', 0)
    for (const address of await context.targets()) {
      await admin.brokers.setRequestMode(address, { topic, consumerGroup, mode, popShareQueueNum })
      context.print('set consume mode to %s success.%n', address)
    }
    context.write(
      `topic[${topic}] group[${consumerGroup}] consume mode[${mode}] popShareQueueNum[${popShareQueueNum}]`
    )
  }
}
