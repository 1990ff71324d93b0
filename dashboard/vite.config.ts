import { defineConfig } from 'vite'

/** `vite build dashboard` makes the static page of dist/dashboard; the API serves it. */
export default defineConfig({
  build: {
    outDir: '../dist/dashboard',
    emptyOutDir: true,
    target: 'es2023',
    // What light-dark() in the style sheets needs; older browsers show neither theme well anyway.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // Data URLs would need their own word in the content security policy.
    assetsInlineLimit: 0,
    // The map library is most of the page and is loaded once.
    chunkSizeWarningLimit: 2000,
  },
  worker: { format: 'es' },
})
