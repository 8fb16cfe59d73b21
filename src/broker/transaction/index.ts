export { DueQueue } from './dueQueue.ts'
export { TransactionService } from './transactionService.ts'
