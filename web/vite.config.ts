import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const pages = ['index.html', 'share/index.html'].map((name) => path(`live/${name}`)).filter((file) => existsSync(file))

// The pages that the local stack serves under /live/. Everything is a file of its own, since their policy allows no
// inline scripts and no data: URLs.
export default defineConfig({
  root: path('live'),
  base: './',
  publicDir: path('public'),
  appType: 'mpa',
  build: {
    outDir: path('../build/local/web/live'),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: pages },
  },
  worker: { format: 'es' },
})
