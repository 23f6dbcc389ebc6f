// The page of the bench of the live path (loadtest/live): it does what the bench commands, see loadtest/live/page.

import type { Report } from './messages.ts'
import { View, type Transport } from './view.ts'

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

let open: View | undefined

/** Milliseconds, or the error that comes first. */
async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}

interface State {
  peer: string
  restarts: number
  /** Of the channel control, which tells whether the association lives. */
  channel: string
  /** Peer connections that the view has made. */
  connections: number
  path: string
  liveness: { liveness: string; micros: number }[]
  report: Report
}

function viewed(): View {
  if (open === undefined) throw new Error('no view is open')
  return open
}

const commands = {
  /** Views for some seconds after a warm-up and reports what was measured. */
  async view(args: { transport: Transport; warmMillis: number; millis: number }): Promise<Report & { path: string }> {
    const view = await View.make()
    try {
      await view.open(args.transport)
      await within(30_000, 'first data', view.first)
      await sleep(args.warmMillis)
      view.reset()
      await sleep(args.millis)
      const report = await within(10_000, 'report', view.report())
      return { ...report, path: await view.path() }
    } finally {
      view.close()
    }
  },

  /** From the start of signaling, to which the page is not connected, to the first live frame. */
  async connect(args: { transport: Transport; timeoutMillis: number }): Promise<{ millis: number; path: string }> {
    const view = await View.make()
    try {
      const start = performance.now()
      await within(args.timeoutMillis, 'first data', Promise.all([view.open(args.transport), view.first]))
      const millis = performance.now() - start
      return { millis, path: await view.path() }
    } finally {
      view.close()
    }
  },

  /** Opens a view that stays, for what is done to its network meanwhile. */
  async open(args: { transport: Transport }): Promise<null> {
    open?.close()
    open = await View.make()
    await open.open(args.transport)
    await within(30_000, 'first data', open.first)
    open.reset()
    return null
  },

  /** Counts anew, and restarts ICE if it is to. */
  async reset(args: { restart: boolean }): Promise<null> {
    viewed().reset()
    if (args.restart) viewed().peer?.restart()
    return null
  },

  /** What has become of the view that stays. */
  async state(): Promise<State> {
    const view = viewed()
    const { peer } = view
    return {
      peer: peer?.state ?? '', restarts: peer?.counters.restarts ?? 0, channel: view.channel?.readyState ?? '',
      connections: view.connections, path: await view.path(), liveness: view.liveness,
      report: await within(10_000, 'report', view.report()),
    }
  },

  async close(): Promise<null> {
    open?.close()
    open = undefined
    return null
  },

  async clock(): Promise<{ resolution: number; isolated: boolean; agent: string }> {
    let resolution = Infinity
    for (let last = performance.now(), i = 0; i < 100_000; i++) {
      const now = performance.now()
      if (now > last) resolution = Math.min(resolution, now - last)
      last = now
    }
    return { resolution, isolated: crossOriginIsolated, agent: navigator.userAgent }
  },
}

interface Command {
  id: number
  name: keyof typeof commands
  args: never
}

async function run(command: Command): Promise<object> {
  try {
    return { value: await commands[command.name](command.args) }
  } catch (cause) {
    return { error: cause instanceof Error ? cause.message : String(cause) }
  }
}

for (;;) {
  const response = await fetch('/command')
  if (response.status === 204) continue
  const command = (await response.json()) as Command
  const result = await run(command)
  await fetch(`/result/${command.id}`, { method: 'POST', body: JSON.stringify(result) })
}
