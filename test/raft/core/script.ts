import type { Limits, MembershipChange, NodeId } from '../../../src/raft/core/index.ts'
import type { TestEntry } from './book.ts'
import { Cluster } from './cluster.ts'
import { isKeyEffect, showEffect, showMessage } from './show.ts'
import type { NodeSettings, TestNode, TestSnapshot } from './testNode.ts'

/**
 * The commands of the golden scripts. Nothing moves by itself: `tick`, `deliver`, `save`, `write` move one thing and show
 * all that comes of it; `run` moves everything but time until nothing moves, `elapse` time too; both show key lines only.
 */
export class Script {
  #cluster = new Cluster(1)
  readonly #lines: string[] = []
  #verbose: boolean = true
  readonly #heldWrites = new Set<NodeId>()
  readonly #heldSaves = new Set<NodeId>()
  readonly #heldCopies = new Set<NodeId>()
  readonly #silentLinks = new Set<string>()
  #token = 0
  #requestId = 0
  readonly #refusals = new Set<string>()

  run(text: string): string {
    this.#lines.length = 0
    for (const line of text.split('\n')) {
      const words = line.trim().split(/\s+/)
      const name = words[0] ?? ''
      const command = this.#commands[name]
      if (command === undefined) throw new Error(`unknown command: ${line}`)
      this.#verbose = name !== 'run' && name !== 'elapse'
      if (words.includes('verbose')) this.#verbose = true
      command(
        words.slice(1).filter(word => !word.includes('=') && word !== 'verbose'),
        new Map(words.filter(w => w.includes('=')).map(w => w.split('=') as [string, string]))
      )
    }
    return this.#lines.length === 0 ? 'ok' : this.#lines.join('\n')
  }

  readonly #commands: Record<string, (words: string[], named: Map<string, string>) => void> = {
    'add-nodes': (words, named) => this.#addNodes(words, named),
    start: words => this.#each(words[0], node => this.#cluster.start(node.id)),
    connect: () => void this.#cluster.connectAll(),
    tick: words =>
      this.#each(words[0], node => node.step({ kind: 'tick', count: Number(words[1] ?? 1) })),
    elapse: words => this.#elapse(Number(words[0])),
    run: () => this.#settle(true),
    deliver: words => this.#deliver(words[0], words[1], false),
    lose: words => this.#deliver(words[0], words[1], true),
    late: words => this.#deliverLate(words[0], words[1]),
    save: words => this.#each(words[0], node => void node.finishSave()),
    write: words => this.#each(words[0], node => void node.finishWrite()),
    sync: words => this.#each(words[0], node => node.sync()),
    'hold-writes': words => void this.#heldWrites.add(words[0] ?? ''),
    'hold-saves': words => void this.#heldSaves.add(words[0] ?? ''),
    'hold-copies': words => void this.#heldCopies.add(words[0] ?? ''),
    copied: words => this.#each(words[0], node => void node.finishCopy()),
    offer: words =>
      this.#each(words[0], node => {
        const { facts } = this.#cluster.snapshots.get(words[1] ?? '') as TestSnapshot
        const from = facts.snapshotId.split('-')[0] as NodeId
        const term = node.core?.term ?? 0
        const message = { type: 'snapshotOffer', term, leaderId: from, ...facts } as const
        node.step({ kind: 'receive', from, message, entries: [] })
      }),
    switch: words => this.#each(words[0], node => void this.#cluster.switchLog(node)),
    'lose-copy': words =>
      this.#each(words[0], node => {
        const copy = node.copying
        node.copying = null
        if (copy === null) return
        node.step({
          kind: 'snapshotAbandoned',
          snapshotId: copy.snapshotId,
          reason: 'it went lost'
        })
      }),
    release: words => {
      this.#heldCopies.delete(words[0] ?? '')
      this.#heldWrites.delete(words[0] ?? '')
      this.#heldSaves.delete(words[0] ?? '')
    },
    mute: words => void this.#silentLinks.add(`${words[0]} ${words[1]}`),
    unmute: words => void this.#silentLinks.delete(`${words[0]} ${words[1]}`),
    propose: (words, named) => this.#propose(words, named),
    unblock: words => this.#cluster.unblock(words[0] ?? '', words[1] ?? ''),
    block: words => this.#cluster.block(words[0] ?? '', words[1] ?? ''),
    isolate: words => this.#others(words[0], other => this.#cluster.block(words[0] ?? '', other)),
    rejoin: words => this.#others(words[0], other => this.#cluster.unblock(words[0] ?? '', other)),
    kill: (words, named) =>
      this.#each(words[0], node => {
        node.kill(Number(named.get('writes') ?? 0), Number(named.get('saves') ?? 0))
        this.#cluster.disconnectAll(node.id)
      }),
    'power-loss': (words, named) =>
      this.#each(words[0], node => {
        node.losePower(Number(named.get('entries') ?? 0), Number(named.get('saves') ?? 0))
        this.#cluster.disconnectAll(node.id)
      }),
    'forget-lost': words => this.#cluster.forgetLost(words),
    backup: words => this.#each(words[0], node => node.backup()),
    'put-back': words => this.#each(words[0], node => node.putBack()),
    'lose-state': words => this.#each(words[0], node => node.loseState()),
    wipe: words => this.#each(words[0], node => node.wipe()),
    gone: words =>
      this.#each(words[0], node => node.step({ kind: 'peerGone', peer: words[1] ?? '' })),
    fault: words => this.#fault(words, true),
    'lose-headers': words => this.#loseHeaders(words),
    damage: words => this.#fault(words, false),
    'force-recover': words =>
      this.#each(words[0], node => {
        node.settings = { ...node.settings, forceRecoverWithout: words.slice(1) }
      }),
    slow: words =>
      this.#each(words[0], node => node.step({ kind: 'storageSlow', slow: words[1] === 'on' })),
    'fail-storage': words =>
      this.#each(words[0], node => node.step({ kind: 'storageFailed', reason: 'EIO: fsync' })),
    disk: words =>
      this.#each(words[0], node =>
        node.step({
          kind: 'diskPressure',
          level: words[1] as 'room' | 'refuse' | 'full',
          freePermille: Number(words[2])
        })
      ),
    transfer: words =>
      this.#each(words[0], node => node.step({ kind: 'transfer', target: words[1] ?? null })),
    add: (words, named) =>
      this.#change(words, {
        op: 'add',
        id: words[1] ?? '',
        raftAddress: named.get('address') ?? null,
        priority: named.has('priority') ? Number(named.get('priority')) : null
      }),
    remove: words => this.#change(words, { op: 'remove', id: words[1] ?? '' }),
    update: (words, named) =>
      this.#change(words, {
        op: 'update',
        id: words[1] ?? '',
        raftAddress: named.get('address') ?? null,
        priority: named.has('priority') ? Number(named.get('priority')) : null
      }),
    'force-recover-now': words =>
      this.#each(words[0], node => node.step({ kind: 'forceRecover', without: words.slice(1) })),
    members: words => this.#each(words[0], node => this.#showMembers(node)),
    read: words =>
      this.#each(words[0], node => node.step({ kind: 'readIndex', id: Number(words[1]) })),
    trim: words => this.#each(words[0], node => void node.trim(Number(words[1]))),
    stop: words => this.#each(words[0], node => node.step({ kind: 'stop' })),
    packets: () => this.#packets(),
    status: () => this.#status(),
    log: words => this.#each(words[0], node => this.#showLog(node))
  }

  #addNodes(words: string[], named: Map<string, string>): void {
    this.#cluster = new Cluster(Number(named.get('seed') ?? 1))
    this.#cluster.onEffect = (node, effect) => {
      const text = this.#verbose || isKeyEffect(effect) ? showEffect(effect) : null
      if (text === null) return
      // Who is refused asks again and again.
      if (effect.kind === 'refuseHello' && this.#refusals.has(`${node.id} ${text}`)) return
      if (effect.kind === 'refuseHello') this.#refusals.add(`${node.id} ${text}`)
      this.#lines.push(`${node.id} ${text}`)
    }
    const limits: Partial<Limits> = {
      ...(named.has('frames') ? { windowFrames: Number(named.get('frames')) } : {}),
      ...(named.has('frame') ? { frameBytes: Number(named.get('frame')) } : {}),
      ...(named.has('tail') ? { tailEntries: Number(named.get('tail')) } : {}),
      ...(named.has('uncommitted') ? { uncommittedEntries: Number(named.get('uncommitted')) } : {})
    }
    const settings: Partial<NodeSettings> = {
      limits,
      flush: named.get('flush') === 'async' ? 'async' : 'sync',
      preferredLeaderId: named.get('preferred') ?? null,
      segmentBytes: Number(named.get('segment') ?? 1 << 30)
    }
    const spares = Number(named.get('spares') ?? 0)
    this.#cluster.addNodes(Number(words[0]), words[1] !== 'empty', settings, spares)
    if (words[1] === 'led') {
      // The usual beginning: all up, n0 leads term 1, its first entry is committed and applied everywhere.
      const founders = [...this.#cluster.nodes.keys()].slice(0, Number(words[0]))
      for (const id of founders) this.#cluster.start(id)
      this.#cluster.connectAll()
      this.#cluster.node('n0').step({ kind: 'tick', count: 40 })
      this.#settle(true)
      this.#lines.length = 0
      this.#lines.push('n0 leads term 1, entry 1 is committed and applied everywhere')
    }
  }

  #change(words: string[], change: MembershipChange): void {
    const requestId = ++this.#requestId
    this.#each(words[0], node => node.step({ kind: 'changeMembership', requestId, change }))
  }

  #showMembers(node: TestNode): void {
    const { core } = node
    const list = core?.configuration?.members.map(
      m => `${m.id}/${m.uid}${m.role === 'learner' ? ' (learner)' : ''}`
    )
    const committed = core?.committedConfiguration?.version ?? 0
    this.#lines.push(
      `${node.id} is ${core?.membership}, configuration ${core?.configuration?.version ?? '-'} (committed ${committed}): ${list?.join(', ') ?? '-'}`
    )
  }

  #each(which: string | undefined, run: (node: TestNode) => void): void {
    const nodes = [...this.#cluster.nodes.values()]
    if (which === 'all') for (const node of nodes) run(node)
    else run(this.#cluster.node(which ?? ''))
  }

  #others(id: string | undefined, run: (other: NodeId) => void): void {
    for (const other of this.#cluster.nodes.keys()) if (other !== id) run(other)
  }

  #propose(words: string[], named: Map<string, string>): void {
    const entryKind = named.get('kind') === 'commands' ? 2 : 1
    for (let count = Number(named.get('count') ?? 1); count > 0; count--)
      this.#each(words[0], node =>
        node.step({
          kind: 'propose',
          entryKind,
          sizeBytes: Number(words[1] ?? 100),
          token: ++this.#token
        })
      )
  }

  #loseHeaders(words: string[]): void {
    this.#each(words[0], node => {
      for (const word of words.slice(1)) {
        node.bad.add(Number(word))
        node.headless.add(Number(word))
      }
    })
  }

  #fault(words: string[], nextStart: boolean): void {
    this.#each(words[0], node => {
      const faults = words
        .slice(1)
        .map(word => node.faultOf(node.written[Number(word) - 1] as TestEntry))
      for (const fault of faults) node.bad.add(fault.index)
      if (!nextStart) node.step({ kind: 'damaged', faults })
    })
  }

  /** Packets from one to another, in the order in which they were sent on each connection; "all": one round of everything. */
  #deliver(from: string | undefined, to: string | undefined, lose: boolean): void {
    const chosen = []
    for (const c of this.#cluster.connections) {
      if (from === 'all' || (c.dialer === from && c.acceptor === to))
        chosen.push(...c.requests.splice(0))
      if (from === 'all' || (c.acceptor === from && c.dialer === to))
        chosen.push(...c.replies.splice(0))
    }
    for (const packet of chosen) {
      const text = `${packet.from} -> ${packet.to} ${showMessage(packet.message)}`
      this.#lines.push(`${lose ? 'lost' : 'delivered'} ${text}`)
      if (!lose) this.#cluster.deliver(packet)
    }
  }

  /** What was under way from one to another when their connection broke. */
  #deliverLate(from: string | undefined, to: string | undefined): void {
    const { stale } = this.#cluster
    for (const packet of stale.filter(late => late.from === from && late.to === to)) {
      stale.splice(stale.indexOf(packet), 1)
      this.#lines.push(`late ${packet.from} -> ${packet.to} ${showMessage(packet.message)}`)
      this.#cluster.deliver(packet)
    }
  }

  #settle(connect: boolean): void {
    for (let round = 0; round < 500; round++) {
      let moved = connect && this.#cluster.connectAll()
      for (const node of this.#cluster.nodes.values()) {
        if (!this.#heldSaves.has(node.id)) while (node.finishSave()) moved = true
        if (!this.#heldWrites.has(node.id)) while (node.finishWrite()) moved = true
        while (node.finishApply()) moved = true
        while (node.finishRead()) moved = true
        if (this.#heldCopies.has(node.id)) continue
        while (node.finishSnapshot()) moved = true
        while (node.finishCopy()) moved = true
        if (this.#cluster.switchLog(node)) moved = true
      }
      for (const c of this.#cluster.connections) {
        const packets = [...c.requests.splice(0), ...c.replies.splice(0)]
        for (const packet of packets) {
          moved = true
          if (!this.#silentLinks.has(`${packet.from} ${packet.to}`)) this.#cluster.deliver(packet)
        }
      }
      if (!moved) return
    }
    throw new Error('does not settle')
  }

  #elapse(ticks: number): void {
    for (let tick = 1; tick <= ticks; tick++) {
      const before = this.#lines.length
      for (const node of this.#cluster.nodes.values()) node.step({ kind: 'tick', count: 1 })
      this.#settle(true)
      if (this.#lines.length > before) this.#lines.splice(before, 0, `after ${tick} ticks:`)
    }
  }

  #packets(): void {
    for (const c of this.#cluster.connections)
      for (const { from, to, message } of [...c.requests, ...c.replies])
        this.#lines.push(`${from} -> ${to} ${showMessage(message)}`)
  }

  #status(): void {
    for (const node of this.#cluster.nodes.values()) {
      const { core } = node
      if (core === null) {
        this.#lines.push(`${node.id} down`)
        continue
      }
      const flags = `${core.ready ? ' ready' : ''}${core.recovering ? ' recovering' : ''}${core.damaged ? ' damaged' : ''}`
      this.#lines.push(
        `${node.id} ${core.role} t${core.term} leader=${core.leaderId ?? '-'} last=${core.lastIndex}/t${core.lastTerm} durable=${core.durableIndex} commit=${core.commitIndex} applied=${node.applied}${flags}`
      )
      for (const p of core.peerStatuses())
        this.#lines.push(
          `   ${p.id} ${p.state} match=${p.matchIndex} next=${p.nextIndex} inFlight=${p.inFlightBytes}${p.active ? '' : ' silent'}`
        )
    }
  }

  #showLog(node: TestNode): void {
    const terms = node.log.map(entry => `${entry.index}/t${entry.term}`).join(' ')
    const disk = node.written.map(entry => `${entry.index}/t${entry.term}`).join(' ')
    this.#lines.push(`${node.id} log ${terms === '' ? '-' : terms}`)
    if (disk !== terms) this.#lines.push(`${node.id} disk ${disk === '' ? '-' : disk}`)
  }
}
