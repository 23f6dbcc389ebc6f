// The worker: it loads the module of the first message, then replies to requests in their
// order.

import { DetectorModule, text } from './detector.ts'
import { DetectorError } from './error.ts'
import type { Reply, Request } from './messages.ts'
import { Scorer } from './scorer.ts'

interface WorkerScope {
  onmessage: ((event: MessageEvent<Request>) => void) | null
  postMessage(reply: Reply, transfer: Transferable[]): void
}

const scope = globalThis as unknown as WorkerScope
let scorer: Promise<Scorer> | undefined

scope.onmessage = ({ data: request }) => {
  if (request.kind === 'load' && scorer === undefined) {
    scorer = load(request)
    scorer.catch(() => {}) // load has replied
    return
  }
  handle(request).then(
    (reply) => scope.postMessage(reply, transfers(reply)),
    (cause: unknown) => scope.postMessage(failure(request.id, cause), []),
  )
}

async function load({ id, module: url }: Request & { kind: 'load' }): Promise<Scorer> {
  try {
    const module = await DetectorModule.load(fetch(url))
    const { threshold, slots, machines, maxSensors } = module
    scope.postMessage({ kind: 'loaded', id, threshold, slots, machines, maxSensors }, [])
    return new Scorer(module, () => performance.now())
  } catch (cause) {
    scope.postMessage(failure(id, cause), [])
    throw cause
  }
}

async function handle(request: Request): Promise<Reply> {
  if (scorer === undefined) throw new DetectorError('load', 'the first message must load the module')
  return (await scorer).handle(request)
}

function failure(id: number, cause: unknown): Reply {
  return { kind: 'failed', id, code: cause instanceof DetectorError ? cause.code : 'load', reason: text(cause) }
}

function transfers(reply: Reply): Transferable[] {
  switch (reply.kind) {
    case 'scored':
      return [...new Set([reply.times.buffer as ArrayBuffer, reply.values.buffer, reply.scores.buffer, reply.flags.buffer])]
    case 'saved':
      return [reply.state.buffer]
    default:
      return []
  }
}
