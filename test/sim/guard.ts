/**
 * During a run nothing may reach the real clock, timers or chance: who does is named, once. The simulator itself has
 * taken what it needs before.
 */
export function guardGlobals(reached: (what: string) => void): () => void {
  const undo: (() => void)[] = []
  const refuse = (target: object, name: string, what: string): void => {
    const before = Object.getOwnPropertyDescriptor(target, name)
    if (before === undefined) return
    Object.defineProperty(target, name, {
      configurable: true,
      writable: true,
      enumerable: before.enumerable ?? false,
      value: () => {
        const error = new Error(`${what} was reached`)
        reached(error.stack ?? error.message)
        throw error
      }
    })
    undo.push(() => Object.defineProperty(target, name, before))
  }
  for (const name of ['setTimeout', 'setInterval', 'setImmediate']) refuse(globalThis, name, name)
  refuse(Date, 'now', 'Date.now')
  refuse(Math, 'random', 'Math.random')
  refuse(performance, 'now', 'performance.now')
  refuse(globalThis.crypto, 'getRandomValues', 'crypto.getRandomValues')
  refuse(globalThis.crypto, 'randomUUID', 'crypto.randomUUID')
  const RealDate = Date
  globalThis.Date = new Proxy(RealDate, {
    construct(target, values, newTarget) {
      if (values.length === 0) {
        const error = new Error('new Date() was reached')
        reached(error.stack ?? error.message)
        throw error
      }
      return Reflect.construct(target, values, newTarget) as object
    }
  })
  undo.push(() => {
    globalThis.Date = RealDate
  })
  return () => {
    for (const restore of undo.reverse()) restore()
  }
}
