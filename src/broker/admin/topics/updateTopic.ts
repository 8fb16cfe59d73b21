import {
  optionalBoolean,
  optionalInt,
  optionalText,
  RequestCode,
  requiredInt,
  requiredText
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { parseAttributeChanges } from '../attributes.ts'
import { changeFailed, success } from '../refusals.ts'
import { putTopic, topicRefusal, topicSettingsOf, type WantedTopic } from './settings.ts'

/** UPDATE_AND_CREATE_TOPIC (17). Facts: broker.md 2.8. Name servers learn of it at once (Registration). */
export const updateTopic: Handler = {
  code: RequestCode.UPDATE_AND_CREATE_TOPIC,
  needsLeader: true,
  async handle(request, caller, broker) {
    const fields = request.extFields
    try {
      const wanted: WantedTopic = {
        topicName: requiredText(fields, 'topic'),
        readQueueNums: requiredInt(fields, 'readQueueNums'),
        writeQueueNums: requiredInt(fields, 'writeQueueNums'),
        perm: requiredInt(fields, 'perm'),
        topicFilterType:
          optionalText(fields, 'topicFilterType') === 'MULTI_TAG' ? 'MULTI_TAG' : 'SINGLE_TAG',
        topicSysFlag: optionalInt(fields, 'topicSysFlag') ?? 0,
        order: optionalBoolean(fields, 'order') ?? false,
        attributeChanges: parseAttributeChanges(optionalText(fields, 'attributes') ?? '')
      }
      const refusal = topicRefusal(request, wanted, broker)
      if (refusal !== null) return refusal
      await putTopic(topicSettingsOf(wanted, broker.topics.find(wanted.topicName)), caller, broker)
      await broker.registration.told()
      return success()
    } catch (error) {
      return changeFailed(error)
    }
  }
}
