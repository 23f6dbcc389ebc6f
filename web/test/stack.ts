import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The real signaling service, a real gateway and the built pages, on one origin. */
export interface Stack {
  /** Without / at the end. */
  origin: string
  signaling: string
  site: string
  gateway: string
  /** A request to web/test/gateway below /test/. */
  order(path: string, body?: unknown): Promise<unknown>
  close(): Promise<void>
}

/** Builds and starts all of it. */
export async function start(): Promise<Stack> {
  const dir = mkdtempSync(join(tmpdir(), 'insighthub-live-'))
  const pages = join(dir, 'pages')
  const programs = join(dir, 'bin')
  execFileSync('go', ['build', '-o', `${programs}/`, './signaling', './web/test/gateway'], { cwd: root, stdio: 'inherit' })
  await build({ configFile: join(root, 'web/vite.config.ts'), logLevel: 'warn', build: { outDir: pages, emptyOutDir: true } })
  const log: string[] = []
  const child = spawn(join(programs, 'gateway'), ['serve', '-signaling', join(programs, 'signaling'), '-pages', pages], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log.push(text)
    if (log.length > 2000) log.shift()
    if (process.env['STACK_LOG'] !== undefined) process.stderr.write(text)
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const line = await Promise.race([
    new Promise<string>((resolve) => createInterface(child.stdout).once('line', resolve)),
    exited.then(() => {
      throw new Error(`web/test/gateway ended at its start:\n${log.join('')}`)
    }),
  ])
  const { origin, signaling, site, gateway } = JSON.parse(line) as Record<'origin' | 'signaling' | 'site' | 'gateway', string>
  return {
    origin, signaling, site, gateway,
    async order(path, body) {
      const response = await fetch(`${origin}/test/${path}`, { method: 'POST', ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
      const text = await response.text()
      if (!response.ok) throw new Error(`${path}: ${response.status} ${text}\n${log.slice(-20).join('')}`)
      return text === '' ? undefined : JSON.parse(text)
    },
    async close() {
      child.kill('SIGTERM')
      await exited
      rmSync(dir, { recursive: true })
    },
  }
}
