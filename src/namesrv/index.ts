export { NamesrvConfig, NamesrvConfigError, type NamesrvHome } from './config.ts'
export { NameServer } from './nameServer.ts'
