import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

export default defineConfig({
  root: path('.'),
  base: './',
  logLevel: 'warn',
  publicDir: path('../public'),
  build: { outDir: path('../../build/local/web/bench'), emptyOutDir: true, target: 'esnext' },
  worker: { format: 'es' },
})
