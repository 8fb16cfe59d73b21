export type { BrokerContext } from './context.ts'
export { Dispatcher } from './dispatcher.ts'
export type { Answer, Caller, Handler } from './handler.ts'
export { LargeAnswers, type Pace } from './largeAnswers.ts'
