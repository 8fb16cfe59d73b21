import {
  CheckClientRequestBody,
  RequestCode,
  ResponseCode,
  response
} from '../../protocol/index.ts'
import type { Handler } from '../dispatch/handler.ts'
import { isTagType } from './subscription.ts'

/** CHECK_CLIENT_CONFIG (46): sent before a consumer with a filter other than tags starts. Facts: broker.md 4.4; SQL92 is not served. */
export const checkClientConfig: Handler = {
  code: RequestCode.CHECK_CLIENT_CONFIG,
  needsLeader: false,
  handle(request) {
    const { expressionType } = CheckClientRequestBody.decode(request.body).subscriptionData
    if (isTagType(expressionType)) return response(ResponseCode.SUCCESS)
    return response(
      ResponseCode.SYSTEM_ERROR,
      `The broker does not support consumer to filter message by ${expressionType}`
    )
  }
}
