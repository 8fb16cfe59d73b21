import type { Store, StoreOptions } from './types.ts'

export declare function openStore(options: StoreOptions): Promise<Store>
