export { recallMessage } from './recall.ts'
export { TimerService } from './timerService.ts'
