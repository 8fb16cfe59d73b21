export type { BrokerContext } from './context.ts'
export { Dispatcher } from './dispatcher.ts'
export type { Caller, Handler } from './handler.ts'
export { LargeAnswers } from './largeAnswers.ts'
