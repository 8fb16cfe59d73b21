import {
  KVTable,
  optionalText,
  RequestCode,
  ResponseCode,
  requiredText,
  response
} from '../protocol/index.ts'
import type { RequestHandler } from '../remoting/index.ts'
import type { NameServerContext } from './context.ts'

/** KV configuration (broker.md 1.7). A change is answered when it is durable. */
export function kvHandlers(context: NameServerContext): [number, RequestHandler][] {
  const { kv, log } = context

  const put: RequestHandler = async request => {
    const namespace = optionalText(request.extFields, 'namespace')
    const key = optionalText(request.extFields, 'key')
    if (namespace === null || key === null) {
      return response(ResponseCode.SYSTEM_ERROR, 'namespace or key is null')
    }
    await kv.put(namespace, key, requiredText(request.extFields, 'value'))
    log.info('KV entry written', { namespace, key })
    return response(ResponseCode.SUCCESS)
  }

  const get: RequestHandler = request => {
    const namespace = requiredText(request.extFields, 'namespace')
    const key = requiredText(request.extFields, 'key')
    const value = kv.get(namespace, key)
    if (value !== null) return response(ResponseCode.SUCCESS, null, { value })
    const remark = `No config item, Namespace: ${namespace} Key: ${key}`
    return response(ResponseCode.QUERY_NOT_FOUND, remark)
  }

  const remove: RequestHandler = async request => {
    const namespace = requiredText(request.extFields, 'namespace')
    const key = requiredText(request.extFields, 'key')
    await kv.delete(namespace, key)
    log.info('KV entry deleted', { namespace, key })
    return response(ResponseCode.SUCCESS)
  }

  const list: RequestHandler = request => {
    const namespace = requiredText(request.extFields, 'namespace')
    const body = kvBody(context, namespace)
    if (body !== null) return response(ResponseCode.SUCCESS, null, null, body)
    return response(ResponseCode.QUERY_NOT_FOUND, `No config item, Namespace: ${namespace}`)
  }

  return [
    [RequestCode.PUT_KV_CONFIG, put],
    [RequestCode.GET_KV_CONFIG, get],
    [RequestCode.DELETE_KV_CONFIG, remove],
    [RequestCode.GET_KVLIST_BY_NAMESPACE, list]
  ]
}

/** KVTable of a namespace; null: there is none. */
export function kvBody({ kv }: NameServerContext, namespace: string): Buffer | null {
  const entries = kv.list(namespace)
  if (entries === null) return null
  return KVTable.encode({ table: new Map(entries) })
}
