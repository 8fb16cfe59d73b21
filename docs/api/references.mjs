// Docstrings name the section of the facts that they rest on, as in "(remoting.md 2.4)"; readers of the pages have no use for it.
import { Converter } from 'typedoc'

const REFERENCE =
  /\s*(?:\((?:remoting|broker|mqadmin)\.md [\d., ]+\)|[:,] (?:remoting|broker|mqadmin)\.md [\d., ]*\d)/g

export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      for (const part of reflection.comment?.summary ?? []) {
        part.text = part.text.replace(REFERENCE, '')
      }
    }
  })
}
