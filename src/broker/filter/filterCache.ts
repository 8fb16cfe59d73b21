import type { Logger } from '../../platform/index.ts'
import { expressionCharactersMax, FilterSyntaxError } from './parser.ts'
import { SqlFilter } from './sqlFilter.ts'

const expressionsMax = 1_000
const charactersMax = 262_144

/** Expressions compiled lately, errors too: members of a group send the same one with each heartbeat, and share its filter. */
export class FilterCache {
  readonly #logger: Logger
  /** The one used last stands last. */
  readonly #kept = new Map<string, SqlFilter | FilterSyntaxError>()
  #characters = 0

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Of the expression type SQL92. Never throws. */
  compile(expression: string): SqlFilter | FilterSyntaxError {
    const known = this.#kept.get(expression)
    if (known !== undefined) {
      this.#kept.delete(expression)
      this.#kept.set(expression, known)
      return known
    }
    const made = this.#make(expression)
    // What is too long to compile would only push all others out.
    if (expression.length > expressionCharactersMax) return made
    this.#kept.set(expression, made)
    this.#characters += expression.length
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= expressionsMax && this.#characters <= charactersMax) break
      this.#kept.delete(oldest)
      this.#characters -= oldest.length
    }
    return made
  }

  #make(expression: string): SqlFilter | FilterSyntaxError {
    try {
      return new SqlFilter(expression)
    } catch (error) {
      if (!(error instanceof FilterSyntaxError)) throw error
      this.#logger.warn('Filter expression refused', {
        expression: expression.slice(0, 200),
        reason: error.message
      })
      return error
    }
  }
}
