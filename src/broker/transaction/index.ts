export { TransactionService } from './transactionService.ts'
