import {
  type NameProblem,
  type RemotingCommand,
  ResponseCode,
  response,
  topicProblemText,
  Version
} from '../../protocol/index.ts'
import { LimitReachedError } from '../topics/index.ts'
import { AttributeError } from './attributes.ts'

/** A parameter that cannot be: 29 for clients of 5.0 and later, 1 for those before, as their own servers answer (observed.md). */
export function invalidParameter(request: RemotingCommand, remark: string): RemotingCommand {
  return response(
    request.version >= Version.V5_0_0 ? ResponseCode.INVALID_PARAMETER : ResponseCode.SYSTEM_ERROR,
    remark
  )
}

export function systemError(remark: string): RemotingCommand {
  return response(ResponseCode.SYSTEM_ERROR, remark)
}

/** What a limit or an impossible attribute of a topic or group is answered with. Anything else is thrown on. */
export function changeFailed(error: unknown): RemotingCommand {
  if (error instanceof LimitReachedError || error instanceof AttributeError)
    return systemError(error.message)
  throw error
}

export function success(body: Buffer | null = null): RemotingCommand {
  return response(ResponseCode.SUCCESS, null, null, body)
}

/** As the original refuses to change one of its own. */
export function systemTopicText(topic: string): string {
  return `The topic[${topic}] is conflict with system topic.`
}

export function topicUnknown(topic: string): RemotingCommand {
  return response(ResponseCode.TOPIC_NOT_EXIST, `topic[${topic}] not exist`)
}

/** What is wrong with a group's name. */
export function groupProblemText(kind: NameProblem): string {
  return topicProblemText(kind).replaceAll('topic', 'group')
}
