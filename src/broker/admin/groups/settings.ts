import {
  groupProblem,
  type RemotingCommand,
  SubscriptionGroupConfig
} from '../../../protocol/index.ts'
import { type GroupSettings, QUEUE_ID_MAX } from '../../../store/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Caller } from '../../dispatch/handler.ts'
import { LimitReachedError } from '../../topics/index.ts'
import { type AttributeRules, alterAttributes, wholeNumber } from '../attributes.ts'
import { groupProblemText, invalidParameter } from '../refusals.ts'

/** Attributes of groups that are known (5.3). */
const attributeRules: AttributeRules = {
  'priority.factor': wholeNumber(0, 999_999_999)
}

/** A group's settings as the bodies show them. */
export function groupConfigOf(settings: GroupSettings): SubscriptionGroupConfig {
  const { attributes, ...rest } = settings
  return SubscriptionGroupConfig.of({
    ...rest,
    attributes: new Map(Object.entries((attributes as Record<string, string> | undefined) ?? {}))
  })
}

/** Why the group cannot be made or changed so; null: it can. */
export function groupRefusal(
  request: RemotingCommand,
  wanted: SubscriptionGroupConfig
): RemotingCommand | null {
  const problem = groupProblem(wanted.groupName)
  if (problem !== null) return invalidParameter(request, groupProblemText(problem))
  if (wanted.retryQueueNums < 0 || wanted.retryQueueNums > QUEUE_ID_MAX + 1)
    return invalidParameter(
      request,
      `group[${wanted.groupName}] cannot have ${wanted.retryQueueNums} retry queues: use 0 to ${QUEUE_ID_MAX + 1}`
    )
  return null
}

/** The group as it shall be: what the request leaves out has the original's defaults. Throws AttributeError. */
export function groupSettingsOf(
  wanted: SubscriptionGroupConfig,
  present: GroupSettings | undefined
): GroupSettings {
  const before = present?.['attributes'] as Record<string, string> | undefined
  const attributes = alterAttributes(
    present === undefined ? undefined : (before ?? {}),
    wanted.attributes,
    attributeRules
  )
  return { ...wanted, attributes }
}

/** Puts the group into the log. Rejects with LimitReachedError, NotLeaderError, StoreError. */
export async function putGroup(
  settings: GroupSettings,
  caller: Caller,
  broker: BrokerContext
): Promise<void> {
  const known = broker.groups.find(settings.groupName) !== undefined
  const groupsMax = broker.config.values.maxGroups
  if (!known && broker.store.tables.groups.size >= groupsMax)
    throw new LimitReachedError(
      `subscription group [${settings.groupName}] was not made: maxGroups is ${groupsMax}`
    )
  await broker.store.execute({ type: 'putGroup', group: settings })
  broker.logger.info(known ? 'Subscription group changed' : 'Subscription group made', {
    group: settings.groupName,
    consumeEnable: settings.consumeEnable,
    by: caller.address
  })
}
