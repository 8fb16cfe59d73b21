import {
  CheckClientRequestBody,
  RequestCode,
  ResponseCode,
  response
} from '../../protocol/index.ts'
import type { Handler } from '../dispatch/handler.ts'
import { FilterSyntaxError, SQL92 } from '../filter/index.ts'
import { isTagType } from './subscription.ts'

/**
 * CHECK_CLIENT_CONFIG (46): sent before a consumer with a filter other than tags starts. 23 with the compiler's words when
 * the expression does not compile, 1 while `enablePropertyFilter` is off. Facts: broker.md 4.4; the words were recorded.
 */
export const checkClientConfig: Handler = {
  code: RequestCode.CHECK_CLIENT_CONFIG,
  needsLeader: false,
  handle(request, _caller, broker) {
    const { expressionType, subString } = CheckClientRequestBody.decode(
      request.body
    ).subscriptionData
    if (isTagType(expressionType)) return response(ResponseCode.SUCCESS)
    if (!broker.config.values.enablePropertyFilter)
      return response(
        ResponseCode.SYSTEM_ERROR,
        `The broker does not support consumer to filter message by ${expressionType}`
      )
    // The original has no words for it.
    if (expressionType !== SQL92)
      return response(
        ResponseCode.SUBSCRIPTION_PARSE_FAILED,
        `no filter of the type "${expressionType}": TAG or ${SQL92}`
      )
    const filter = broker.filters.compile(subString)
    return filter instanceof FilterSyntaxError
      ? response(ResponseCode.SUBSCRIPTION_PARSE_FAILED, filter.message)
      : response(ResponseCode.SUCCESS)
  }
}
