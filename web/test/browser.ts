import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import { build, preview } from 'vite'

/** Flags of every Chromium that a test starts. */
const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
]

/** A camera and a microphone that are made up, and nobody to ask for them or for the screen. */
export const fakeDevices = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream']

export function launch(executablePath: string, args: string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath, timeout: 120_000, args: [...flags, ...args] })
}

export interface Site {
  /** Ends with /. */
  url: string
  close(): Promise<void>
}

/** Builds the pages of a folder and serves them on this machine. */
export async function serve(root: string, publicDir: string | false = false): Promise<Site> {
  const outDir = mkdtempSync(join(tmpdir(), 'insighthub-page-'))
  const config = { root, configFile: false, logLevel: 'warn', base: './', appType: 'mpa' } as const
  await build({ ...config, publicDir, build: { outDir, emptyOutDir: true, target: 'es2022' }, worker: { format: 'es' } })
  const server = await preview({ ...config, build: { outDir }, preview: { host: '127.0.0.1', port: 0 } })
  return {
    url: server.resolvedUrls!.local[0]!,
    close: async () => {
      await server.close()
      rmSync(outDir, { recursive: true })
    },
  }
}
