export { LogAlarm } from './logAlarm.ts'
export { recallMessage } from './recall.ts'
export { TimerService } from './timerService.ts'
